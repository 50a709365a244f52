use std::net::TcpListener;
use std::time::Duration;

use bytes::Bytes;
use keelgate_entities::kinds::{Consumer, Route, Service};
use serde_json::{Value, json};

use crate::Exchange;
use crate::exchange::Try;
use crate::testing::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn asked<'r>(lines: &[(&str, &str)]) -> Exchange<'r> {
    let mut exchange = with_headers(exchange("GET", "/a?b=1"), lines);
    exchange.service = Some(leaked::<Service>(json!({
        "id": "00000000-0000-4000-8000-000000000001", "name": "s", "protocol": "http",
        "host": "h.test", "port": 80,
    })));
    exchange.route = Some(leaked::<Route>(json!({
        "id": "00000000-0000-4000-8000-000000000002", "name": "r", "protocols": ["http"],
    })));
    exchange.consumer = Some(leaked::<Consumer>(json!({
        "id": "00000000-0000-4000-8000-000000000003", "username": "alice",
    })));
    exchange
}

/// The spans that a server gets of a request which was proxied at the second attempt.
fn spans(mut config: Value, mut exchange: Exchange<'static>) -> (Vec<Value>, Exchange<'static>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    config["http_endpoint"] = json!(format!("http://{address}/api/v2/spans"));
    let plugin = compiled("zipkin", config);
    assert!(access(plugin, &mut exchange).is_none());
    plugin.header_filter(&mut exchange);
    plugin.body_filter(&mut exchange, Bytes::new(), true);
    let attempt = |at, failed| Try {
        address: ([192, 0, 2, 1], 8080).into(),
        at: exchange.times.received_at + Duration::from_millis(at),
        chosen_in: Duration::from_micros(30),
        failed,
    };
    exchange.outcome.tries = vec![attempt(2, Some(502)), attempt(5, None)];
    exchange.outcome.took = Duration::from_secs(60);
    plugin.log(&mut exchange);
    let (mut connection, _) = server.accept().unwrap();
    let (head, body) = receive(&mut connection, 202);
    assert!(
        head.starts_with("POST /api/v2/spans HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.to_ascii_lowercase()
            .contains("content-type: application/json\r\n")
    );
    (serde_json::from_slice(&body).unwrap(), exchange)
}

#[test]
fn a_server_gets_spans_of_request_proxy_and_attempts() {
    let lines = [
        ("x-b3-traceid", TRACE),
        ("x-b3-spanid", SPAN),
        ("x-b3-sampled", "1"),
        ("zipkin-tags", "who=me; lc=you"),
    ];
    let config = json!({"static_tags": [{"name": "dc", "value": "x"}], "sample_ratio": 0});
    let (spans, exchange) = spans(config, asked(&lines));
    let [failed, last, proxy, request] = spans.as_slice() else {
        panic!("{spans:?}");
    };
    for span in &spans {
        assert_eq!(span["traceId"], TRACE);
        assert_eq!(span["localEndpoint"]["serviceName"], "kong");
    }
    assert_eq!(request["id"], SPAN);
    assert_eq!(request["kind"], "SERVER");
    assert_eq!(request["name"], "GET");
    assert_eq!(request["timestamp"], NOW * 1_000_000);
    assert_eq!(request["duration"], 60_000_000);
    assert!(request.get("parentId").is_none());
    let expected = json!({"ipv4": "192.0.2.7", "port": 8000});
    assert_eq!(request["remoteEndpoint"], expected);
    let expected = json!({
        "dc": "x", "who": "me", "lc": "kong", "http.method": "GET", "http.host": "example.test",
        "http.path": "/a", "http.protocol": "HTTP/1.1", "http.status_code": "200",
        "kong.node.id": "00000000-0000-0000-0000-000000000001",
        "kong.consumer": "00000000-0000-4000-8000-000000000003",
    });
    assert_eq!(request["tags"], expected);
    assert_eq!(proxy["name"], "GET (proxy)");
    assert_eq!(proxy["parentId"], SPAN);
    let expected = json!({"serviceName": "s", "ipv4": "192.0.2.1", "port": 8080});
    assert_eq!(proxy["remoteEndpoint"], expected);
    assert_eq!(proxy["tags"]["kong.route_name"], "r");
    assert_eq!(proxy["tags"]["peer.hostname"], "upstream.test");
    let annotations = proxy["annotations"].as_array().unwrap();
    let names: Vec<_> = annotations.iter().map(|one| &one["value"]).collect();
    assert_eq!(names, ["kas", "kaf", "khs", "khf", "kbs", "kbf"]);
    assert_eq!(failed["name"], "GET (balancer try 1)");
    assert_eq!(failed["tags"]["error"], "true");
    assert_eq!(failed["tags"]["http.status_code"], "502");
    assert_eq!(last["tags"]["kong.balancer.try"], "2");
    assert!(last["tags"].get("error").is_none());
    assert_eq!(last["duration"], 30);
    // The upstream is told of the proxy's span.
    let headers = &exchange.headers;
    assert_eq!(headers["x-b3-traceid"], TRACE);
    assert_eq!(headers["x-b3-spanid"], proxy["id"].as_str().unwrap());
    assert_eq!(headers["x-b3-parentspanid"], SPAN);
    assert_eq!(headers["x-b3-sampled"], "1");
}

#[test]
fn a_new_trace_is_made_as_configured() {
    let config = json!({
        "sample_ratio": 1, "traceid_byte_count": 8, "http_span_name": "method_path",
        "phase_duration_flavor": "tags", "header_type": "ignore", "default_header_type": "b3-single",
        "http_response_header_for_traceid": "x-trace",
    });
    let (spans, exchange) = spans(config, asked(&[("x-b3-traceid", TRACE)]));
    let request = &spans[3];
    let trace = request["traceId"].as_str().unwrap();
    assert_eq!(trace.len(), 16);
    assert_eq!(request["name"], "GET /a");
    assert!(request["tags"]["kong.rewrite.duration_ms"].is_string());
    assert!(request.get("annotations").is_none());
    assert_eq!(exchange.response.headers["x-trace"], trace);
    let told = exchange.headers["b3"].to_str().unwrap();
    assert!(told.starts_with(&format!("{trace}-")), "{told}");
}

#[test]
fn traces_are_passed_on_without_a_server() {
    let plugin = compiled("zipkin", json!({}));
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let mut exchange = asked(&[("traceparent", &parent)]);
    assert!(access(plugin, &mut exchange).is_none());
    let told = exchange.headers["traceparent"].to_str().unwrap();
    assert!(
        told.starts_with(&format!("00-{TRACE}-")) && told != parent,
        "{told}"
    );
    plugin.log(&mut exchange);
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("zipkin", json!({})).unwrap();
    assert_eq!(config["sample_ratio"], 0.001);
    assert_eq!(config["propagation"]["default_format"], "b3");
    assert_eq!(config["http_endpoint"], Value::Null);
    compiled("zipkin", config);
    let own = json!({"static_tags": [{"name": "lc", "value": "x"}]});
    validated("zipkin", own).unwrap_err();
    let tag = json!({"name": "a", "value": "x"});
    let error = validated("zipkin", json!({"static_tags": [tag, tag]})).unwrap_err();
    let problem = "repeated tags are not allowed: a";
    assert_eq!(error["fields"]["config"]["static_tags"], problem);
}
