use keelgate_entities::kinds::Service;
use serde_json::{Value, json};

use crate::response::Body;
use crate::testing::*;
use crate::{Exchange, Response};

fn answer(config: Value) -> Response {
    let plugin = compiled("request-termination", config);
    access(plugin, &mut exchange("GET", "/a")).unwrap()
}

#[test]
fn a_message_is_answered() {
    let message = |config| match answer(config) {
        Response {
            status,
            body: Body::Message(message, false),
            ..
        } => (status.as_u16(), message),
        other => panic!("{other:?}"),
    };
    assert_eq!(message(json!({})), (503, "Service unavailable".to_owned()));
    let not_found = (404, "Not found".to_owned());
    assert_eq!(message(json!({"status_code": 404})), not_found);
    let tea = json!({"status_code": 418, "message": "tea"});
    assert_eq!(message(tea), (418, "tea".to_owned()));
}

#[test]
fn statuses_without_a_message_are_empty_or_have_their_page() {
    for status in [200, 204, 403, 599] {
        let body = answer(json!({"status_code": status})).body;
        assert!(
            matches!(body, Body::Bytes(body) if body.is_empty()),
            "{status}"
        );
    }
    for status in [400, 413, 504] {
        let body = answer(json!({"status_code": status})).body;
        assert!(matches!(body, Body::ErrorPage), "{status}");
    }
}

#[test]
fn a_body_is_answered_as_it_is() {
    let config =
        json!({"status_code": 200, "body": "{\"a\":1}", "content_type": "application/json"});
    let response = answer(config);
    assert_eq!(
        values(&response.headers, "content-type"),
        ["application/json"]
    );
    assert!(matches!(response.body, Body::Bytes(body) if body == "{\"a\":1}"));
    let plain = answer(json!({"body": "x"}));
    assert!(plain.headers.is_empty());
}

#[test]
fn without_its_trigger_a_request_passes() {
    let plugin = compiled("request-termination", json!({"trigger": "X-Stop"}));
    let through = |mut exchange: Exchange<'static>| access(plugin, &mut exchange).is_none();
    assert!(through(exchange("GET", "/a?x-stop")));
    assert!(!through(exchange("GET", "/a?X-Stop")));
    assert!(!through(with_headers(
        exchange("GET", "/a"),
        &[("x-stop", "")]
    )));
}

#[test]
fn an_echo_tells_what_was_received_and_matched() {
    let plugin = compiled(
        "request-termination",
        json!({"echo": true, "status_code": 200}),
    );
    assert!(plugin.phases().request_body);
    let service: Service = serde_json::from_value(json!({
        "id": ALICE, "name": "s", "protocol": "http", "host": "h", "port": 80,
    }))
    .unwrap();
    let mut exchange = with_body(
        exchange("POST", "/a/b?x=1&y&x=2"),
        "application/json",
        "{\"q\":1}",
    );
    exchange.service = Some(&service);
    exchange.captures = vec![
        ("1".to_owned(), "b".to_owned()),
        ("n".to_owned(), "b".to_owned()),
    ];
    let response = access(plugin, &mut exchange).unwrap();
    let Body::Bytes(body) = &response.body else {
        panic!("{response:?}")
    };
    let echo: Value = serde_json::from_slice(body).unwrap();
    let request = json!({
        "scheme": "http", "host": "example.test", "port": 8000, "method": "POST", "path": "/a/b",
        "headers": {"host": "example.test", "content-type": "application/json"},
        "query": {"x": ["1", "2"], "y": true},
        "body": {"q": 1}, "raw_body": "{\"q\":1}",
        "uri_captures": {"unnamed": ["b"], "named": {"n": "b"}},
    });
    assert_eq!(echo["request"], request);
    assert_eq!(echo["kong"]["hostname"], "node.test");
    assert_eq!(echo["matched_service"]["name"], "s");
    assert!(echo["matched_service"].get("path").is_none());
    assert!(echo.get("matched_route").is_none() && echo.get("message").is_none());
    let json = "application/json; charset=utf-8";
    assert_eq!(values(&response.headers, "content-type"), [json]);
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("request-termination", json!({})).unwrap();
    assert_eq!(config["status_code"], 503);
    compiled("request-termination", config);
    let problem =
        |config| validated("request-termination", config).unwrap_err()["fields"]["config"].clone();
    let both = "message cannot be used with content_type or body";
    assert_eq!(problem(json!({"message": "a", "body": "b"})), both);
    let no_body = "content_type requires a body";
    assert_eq!(problem(json!({"content_type": "text/plain"})), no_body);
    let echo = "echo cannot be used with content_type and body";
    assert_eq!(problem(json!({"echo": true, "body": "b"})), echo);
    let range = "value should be between 100 and 599";
    assert_eq!(problem(json!({"status_code": 99}))["status_code"], range);
}
