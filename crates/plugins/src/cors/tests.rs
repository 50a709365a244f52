use crate::HeaderMap;
use serde_json::{Value, json};

use crate::response::Body;
use crate::testing::*;

const PREFLIGHT: &[(&str, &str)] = &[
    ("origin", "http://a.test"),
    ("access-control-request-method", "PUT"),
    ("access-control-request-headers", "x-a, x-b"),
];

fn preflight(config: Value, headers: &[(&str, &str)]) -> HeaderMap {
    let plugin = compiled("cors", config);
    let mut exchange = with_headers(exchange("OPTIONS", "/a"), headers);
    let response = access(plugin, &mut exchange).unwrap();
    assert_eq!(response.status, 200);
    assert!(matches!(response.body, Body::Bytes(body) if body.is_empty()));
    // What the preflight response has is complete.
    exchange.response.headers = response.headers.clone();
    plugin.header_filter(&mut exchange);
    assert_eq!(exchange.response.headers, response.headers);
    response.headers
}

fn simple(config: Value, origin: Option<&str>) -> HeaderMap {
    let plugin = compiled("cors", config);
    let origin: Vec<_> = origin
        .map(|origin| ("origin", origin))
        .into_iter()
        .collect();
    let mut exchange = with_headers(exchange("GET", "/a"), &origin);
    assert!(access(plugin, &mut exchange).is_none());
    plugin.header_filter(&mut exchange);
    exchange.response.headers
}

const METHODS: &str = "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT";

#[test]
fn a_preflight_request_is_answered() {
    let expected = headers(&[
        ("access-control-allow-origin", "*"),
        ("access-control-allow-headers", "x-a, x-b"),
        ("access-control-allow-methods", METHODS),
    ]);
    assert_eq!(preflight(json!({}), PREFLIGHT), expected);
    assert_eq!(preflight(json!({"origins": ["*"]}), PREFLIGHT), expected);
}

#[test]
fn what_is_allowed_is_a_setting() {
    let config = json!({
        "origins": ["http://a.test", "http://b.test"], "methods": ["GET", "PUT"],
        "headers": ["x-c", "x-d"], "max_age": 5, "private_network": true, "credentials": true,
    });
    let private = ("access-control-request-private-network", "true");
    let mut expected = vec![
        ("vary", "Origin"),
        ("access-control-allow-origin", "http://a.test"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-headers", "x-c,x-d"),
        ("access-control-allow-methods", "GET,PUT"),
        ("access-control-max-age", "5"),
    ];
    assert_eq!(preflight(config.clone(), PREFLIGHT), headers(&expected));
    expected.push(("access-control-allow-private-network", "true"));
    let asked = [PREFLIGHT, &[private]].concat();
    assert_eq!(preflight(config, &asked), headers(&expected));
}

#[test]
fn an_unknown_origin_gets_no_permission() {
    let two = json!({"origins": ["http://b.test", "http://c.test"]});
    let answer = preflight(two.clone(), PREFLIGHT);
    assert!(!answer.contains_key("access-control-allow-origin"));
    assert_eq!(values(&answer, "vary"), ["Origin"]);
    assert_eq!(
        simple(two.clone(), Some("null")),
        headers(&[("vary", "Origin")])
    );
    assert_eq!(simple(two, None), headers(&[("vary", "Origin")]));
}

#[test]
fn one_plain_origin_is_told_to_everybody() {
    let expected = headers(&[
        ("vary", "Origin"),
        ("access-control-allow-origin", "a.test"),
    ]);
    let config = json!({"origins": ["a.test"]});
    assert_eq!(simple(config.clone(), Some("http://b.test")), expected);
    assert_eq!(simple(config, None), expected);
}

#[test]
fn with_credentials_the_origin_is_named() {
    let config = json!({"credentials": true, "exposed_headers": ["x-e", "x-f"]});
    let expected = headers(&[
        ("vary", "Origin"),
        ("access-control-allow-origin", "null"),
        ("access-control-allow-credentials", "true"),
        ("access-control-expose-headers", "x-e,x-f"),
    ]);
    assert_eq!(simple(config.clone(), Some("null")), expected);
    let expected = headers(&[
        ("access-control-allow-origin", "*"),
        ("access-control-expose-headers", "x-e,x-f"),
    ]);
    assert_eq!(simple(config, None), expected);
}

#[test]
fn the_upstream_may_answer_preflight_requests() {
    let plugin = compiled("cors", json!({"preflight_continue": true}));
    let mut exchange = with_headers(exchange("OPTIONS", "/a"), PREFLIGHT);
    assert!(access(plugin, &mut exchange).is_none());
    plugin.header_filter(&mut exchange);
    assert!(exchange.response.headers.is_empty());
}

#[test]
fn options_requests_that_ask_for_nothing_are_no_preflight() {
    let plugin = compiled("cors", json!({}));
    let mut no_method = with_headers(exchange("OPTIONS", "/a"), &PREFLIGHT[..1]);
    assert!(access(plugin, &mut no_method).is_none());
    let mut no_origin = with_headers(exchange("OPTIONS", "/a"), &PREFLIGHT[1..]);
    assert!(access(plugin, &mut no_origin).is_none());
}

#[test]
fn an_upstream_that_varies_keeps_its_own() {
    let plugin = compiled("cors", json!({"origins": ["http://(a|b).test"]}));
    let mut exchange = with_headers(exchange("GET", "/a"), &PREFLIGHT[..1]);
    exchange.response.headers = headers(&[
        ("vary", "Accept"),
        ("access-control-allow-origin", "http://upstream.test"),
    ]);
    plugin.header_filter(&mut exchange);
    let response = &exchange.response.headers;
    assert_eq!(values(response, "vary"), ["Accept", "Origin"]);
    assert_eq!(
        values(response, "access-control-allow-origin"),
        ["http://a.test"]
    );
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("cors", json!({})).unwrap();
    assert_eq!(
        config["methods"],
        json!(METHODS.split(',').collect::<Vec<_>>())
    );
    assert_eq!(config["origins"], json!(null));
    compiled("cors", config);
    let error = validated("cors", json!({"origins": ["(a"]})).unwrap_err();
    assert_eq!(
        error["fields"]["config"]["origins"][0],
        "'(a' is not a valid regex"
    );
    let error = validated("cors", json!({"methods": ["get"]})).unwrap_err();
    let methods = METHODS.replace(',', ", ");
    let problem = format!("expected one of: {methods}");
    assert_eq!(error["fields"]["config"]["methods"][0], problem);
}
