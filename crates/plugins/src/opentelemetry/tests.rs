use std::net::TcpListener;
use std::time::{Duration, UNIX_EPOCH};

use http::StatusCode;
use keelgate_entities::kinds::Service;
use serde_json::{Value, json};

use crate::Exchange;
use crate::exchange::Try;
use crate::testing::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// A message of protobuf, read without knowing what it says: fields by their numbers.
#[derive(Clone, Debug)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return value;
        }
    }
}

fn take<'b>(bytes: &mut &'b [u8], length: usize) -> &'b [u8] {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken
}

fn message(mut bytes: &[u8]) -> Vec<(u64, Field)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut bytes) as usize;
                Field::Bytes(take(&mut bytes, length).to_vec())
            }
            5 => {
                let number = u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap());
                Field::Number(number.into())
            }
            other => panic!("no wire type: {other}"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

/// All values of a field of messages or bytes.
fn all(message: &[(u64, Field)], number: u64) -> Vec<Vec<u8>> {
    let fields = message.iter().filter(|(other, _)| *other == number);
    fields
        .map(|(_, field)| match field {
            Field::Bytes(bytes) => bytes.clone(),
            Field::Number(number) => panic!("a number: {number}"),
        })
        .collect()
}

fn only(message: &[(u64, Field)], number: u64) -> Vec<u8> {
    let mut found = all(message, number);
    assert_eq!(found.len(), 1, "field {number}");
    found.remove(0)
}

fn number(message: &[(u64, Field)], at: u64) -> Option<u64> {
    let (_, field) = message.iter().find(|(other, _)| *other == at)?;
    match field {
        Field::Number(number) => Some(*number),
        Field::Bytes(bytes) => panic!("bytes: {bytes:?}"),
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The attributes in a field of a message.
fn attributes(of: &[(u64, Field)], at: u64) -> Value {
    let pairs = all(of, at).into_iter().map(|pair| {
        let pair = message(&pair);
        let value = message(&only(&pair, 2));
        let value = match value.as_slice() {
            [(1, Field::Bytes(value))] => json!(text(value.clone())),
            [(3, Field::Number(value))] => json!(value),
            other => panic!("an odd value: {other:?}"),
        };
        (text(only(&pair, 1)), value)
    });
    Value::Object(pairs.collect())
}

/// The resource of an export, and the spans or records in it.
fn exported(body: &[u8]) -> (Value, Vec<Vec<(u64, Field)>>) {
    let of_resource = message(&only(&message(body), 1));
    let resource = attributes(&message(&only(&of_resource, 1)), 1);
    let of_scope = message(&only(&of_resource, 2));
    assert_eq!(text(only(&message(&only(&of_scope, 1)), 1)), "keelgate");
    let items = all(&of_scope, 2);
    (resource, items.iter().map(|item| message(item)).collect())
}

/// A request that was proxied at the second attempt.
fn proxied<'r>() -> Exchange<'r> {
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let mut exchange = with_headers(exchange("GET", "/a"), &[("traceparent", &parent)]);
    exchange.service = Some(leaked::<Service>(json!({
        "id": "00000000-0000-4000-8000-000000000001", "name": "s", "protocol": "http",
        "host": "h.test", "port": 80,
    })));
    exchange
}

fn finish(exchange: &mut Exchange<'_>) {
    let attempt = |at, failed| Try {
        address: ([192, 0, 2, 1], 80).into(),
        at: UNIX_EPOCH + Duration::from_secs(NOW) + Duration::from_millis(at),
        chosen_in: Duration::ZERO,
        failed,
    };
    exchange.outcome.target = "/a".to_owned();
    exchange.outcome.tries = vec![attempt(2, Some(502)), attempt(5, None)];
    exchange.outcome.took = Duration::from_millis(12);
}

#[test]
fn a_collector_gets_a_span_of_the_request_and_of_each_attempt() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = collector.local_addr().unwrap();
    let config = json!({
        "traces_endpoint": format!("http://{address}/v1/traces"), "sampling_rate": 1,
        "headers": {"X-Token": "t"}, "resource_attributes": {"service.name": "edge", "a": "b"},
        "http_response_header_for_traceid": "x-trace", "header_type": "preserve",
        "queue": {"max_batch_size": 3, "max_coalescing_delay": 3600},
    });
    let plugin = compiled("opentelemetry", config);
    let mut exchange = proxied();
    assert!(access(plugin, &mut exchange).is_none());
    let told = exchange.headers["traceparent"].to_str().unwrap().to_owned();
    assert!(
        told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-01"),
        "{told}"
    );
    plugin.header_filter(&mut exchange);
    assert_eq!(exchange.response.headers["x-trace"], TRACE);
    finish(&mut exchange);
    plugin.log(&mut exchange);

    let (mut connection, _) = collector.accept().unwrap();
    let (head, body) = receive(&mut connection, 200);
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    let head = head.to_ascii_lowercase();
    assert!(
        head.contains("\r\ncontent-type: application/x-protobuf\r\n"),
        "{head}"
    );
    assert!(head.contains("\r\nx-token: t\r\n"), "{head}");
    let (resource, spans) = exported(&body);
    assert_eq!(resource["service.name"], "edge");
    assert_eq!(resource["a"], "b");
    assert_eq!(
        resource["service.instance.id"],
        "00000000-0000-0000-0000-000000000001"
    );
    let [request, failed, last] = spans.as_slice() else {
        panic!("{} spans", spans.len());
    };
    for span in &spans {
        assert_eq!(hex(&only(span, 1)), TRACE);
    }
    assert_eq!(hex(&only(request, 4)), SPAN);
    assert_eq!(text(only(request, 5)), "kong");
    assert_eq!(number(request, 6), Some(2));
    assert_eq!(number(request, 7), Some(NOW * 1_000_000_000));
    assert_eq!(number(request, 8), Some(NOW * 1_000_000_000 + 12_000_000));
    let about = attributes(request, 9);
    assert_eq!(about["http.method"], "GET");
    assert_eq!(about["http.url"], "http://example.test/a");
    assert_eq!(about["http.status_code"], 200);
    for call in [failed, last] {
        assert_eq!(only(call, 4), only(request, 2));
        assert_eq!(text(only(call, 5)), "kong.balancer");
        assert_eq!(attributes(call, 9)["net.peer.ip"], "192.0.2.1");
    }
    assert_eq!(attributes(failed, 9)["http.status_code"], 502);
    assert_eq!(number(&message(&only(failed, 15)), 3), Some(2));
    assert_eq!(number(failed, 8), number(last, 7));
    // The upstream was told the span of the call.
    assert_eq!(told.split('-').nth(2).unwrap(), hex(&only(last, 2)));
}

#[test]
fn what_is_not_recorded_goes_on_and_is_not_sent() {
    for (sampling_rate, flags) in [(0.0, "01"), (1.0, "00")] {
        let config = json!({
            "traces_endpoint": "http://127.0.0.1:9/", "sampling_rate": sampling_rate,
            "propagation": {"extract": ["w3c"], "inject": ["w3c"], "default_format": "w3c"},
        });
        let plugin = compiled("opentelemetry", config);
        let mut exchange = proxied();
        let parent = format!("00-{TRACE}-{SPAN}-{flags}");
        exchange.headers = headers(&[("traceparent", &parent)]);
        assert!(access(plugin, &mut exchange).is_none());
        let told = exchange.headers["traceparent"].to_str().unwrap();
        assert!(
            told.starts_with(&format!("00-{TRACE}-")) && told.ends_with("-00"),
            "{told}"
        );
        plugin.log(&mut exchange);
    }
}

#[test]
fn records_tell_their_trace() {
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = collector.local_addr().unwrap();
    let config = json!({
        "traces_endpoint": "http://127.0.0.1:9/", "sampling_rate": 0,
        "logs_endpoint": format!("http://{address}/v1/logs"), "header_type": "preserve",
        "queue": {"max_batch_size": 1},
    });
    let plugin = compiled("opentelemetry", config);
    let mut exchange = proxied();
    assert!(access(plugin, &mut exchange).is_none());
    exchange.response.status = StatusCode::BAD_GATEWAY;
    finish(&mut exchange);
    plugin.log(&mut exchange);
    let (mut connection, _) = collector.accept().unwrap();
    let (head, body) = receive(&mut connection, 200);
    assert!(head.starts_with("POST /v1/logs HTTP/1.1\r\n"), "{head}");
    let (_, records) = exported(&body);
    let record = &records[0];
    assert_eq!(hex(&only(record, 9)), TRACE);
    assert_eq!(number(record, 2), Some(17));
    let body = message(&only(record, 5));
    let body: Value = serde_json::from_slice(&only(&body, 1)).unwrap();
    assert_eq!(body["response"]["status"], 502);
    assert_eq!(body["trace_id"], json!({"w3c": TRACE}));
}

#[test]
fn settings_are_completed_and_checked() {
    let endpoint = "http://h.test/v1/traces";
    let config = validated("opentelemetry", json!({"traces_endpoint": endpoint})).unwrap();
    assert_eq!(config["queue"]["max_batch_size"], 200);
    assert_eq!(config["queue"]["max_entries"], 10_000);
    assert_eq!(config["header_type"], "preserve");
    assert_eq!(config["propagation"]["default_format"], "w3c");
    assert_eq!(config["propagation"]["extract"], Value::Null);
    assert_eq!(config["connect_timeout"], 1000);
    compiled("opentelemetry", config);
    let old = validated("opentelemetry", json!({"endpoint": endpoint})).unwrap();
    assert_eq!(old["traces_endpoint"], endpoint);
    let error = validated("opentelemetry", json!({})).unwrap_err();
    let problem =
        "at least one of these fields must be non-empty: 'traces_endpoint', 'logs_endpoint'";
    assert_eq!(error["fields"]["config"]["@entity"], json!([problem]));
}
