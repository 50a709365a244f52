use bytes::Bytes;
use serde_json::{Value, json};

use crate::Exchange;
use crate::response::Body;
use crate::testing::*;

fn refusal(config: Value, mut exchange: Exchange<'static>) -> Option<(u16, String)> {
    let plugin = compiled("request-size-limiting", config);
    access(plugin, &mut exchange).map(|response| match response.body {
        Body::Error(message) => (response.status.as_u16(), message),
        other => panic!("{other:?}"),
    })
}

fn told(size: &str) -> Exchange<'static> {
    with_headers(exchange("POST", "/a"), &[("content-length", size)])
}

fn chunked(size: usize) -> Exchange<'static> {
    let mut exchange = with_headers(exchange("POST", "/a"), &[("transfer-encoding", "chunked")]);
    exchange.request_body = Some(Bytes::from(vec![b'a'; size]));
    exchange
}

fn ten_bytes() -> Value {
    json!({"allowed_payload_size": 10, "size_unit": "bytes"})
}

fn too_large(status: u16) -> Option<(u16, String)> {
    Some((status, "Request size limit exceeded".to_owned()))
}

#[test]
fn large_bodies_are_refused() {
    assert_eq!(refusal(ten_bytes(), told("10")), None);
    assert_eq!(refusal(ten_bytes(), told("11")), too_large(413));
    assert_eq!(refusal(ten_bytes(), chunked(10)), None);
    assert_eq!(refusal(ten_bytes(), chunked(11)), too_large(413));
    assert_eq!(refusal(ten_bytes(), exchange("GET", "/a")), None);
    let waiting = with_headers(told("11"), &[("expect", "100-Continue")]);
    assert_eq!(refusal(ten_bytes(), waiting), too_large(417));
}

#[test]
fn units_are_binary() {
    let kilobyte = || json!({"allowed_payload_size": 1, "size_unit": "kilobytes"});
    assert_eq!(refusal(kilobyte(), told("1024")), None);
    assert_eq!(refusal(kilobyte(), told("1025")), too_large(413));
    assert_eq!(refusal(json!({}), told("134217728")), None);
    assert_eq!(refusal(json!({}), told("134217729")), too_large(413));
}

#[test]
fn sizes_may_be_required() {
    let config = || json!({"require_content_length": true});
    let required = Some((411, "A valid Content-Length header is required".to_owned()));
    assert_eq!(refusal(config(), exchange("POST", "/a")), required);
    assert_eq!(refusal(config(), told("x")), required);
    assert_eq!(refusal(config(), chunked(1)), None);
}

#[test]
fn only_bodies_of_unknown_size_are_read() {
    let plugin = compiled("request-size-limiting", ten_bytes());
    assert!(plugin.phases().request_body);
    assert!(plugin.wants_request_body(&chunked(1)));
    assert!(!plugin.wants_request_body(&told("5")));
    assert!(!plugin.wants_request_body(&exchange("GET", "/a")));
    let mut stream = exchange("POST", "/a");
    stream.version = http::Version::HTTP_2;
    assert!(plugin.wants_request_body(&stream));
    stream.request_body = Some(Bytes::from_static(b"eleven byte"));
    assert_eq!(refusal(ten_bytes(), stream), too_large(413));
}

#[test]
fn settings_are_completed() {
    let config = validated("request-size-limiting", json!({})).unwrap();
    let expected = json!({
        "allowed_payload_size": 128, "size_unit": "megabytes", "require_content_length": false,
    });
    assert_eq!(config, expected);
    compiled("request-size-limiting", config);
}
