use crate::HeaderMap;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::testing::*;

fn transformed(config: Value, received: &[(&str, &str)], body: &str) -> (HeaderMap, Bytes) {
    let plugin = compiled("response-transformer", config);
    let mut exchange = exchange("GET", "/a");
    exchange.response.headers = headers(received);
    plugin.header_filter(&mut exchange);
    let body = Bytes::copy_from_slice(body.as_bytes());
    let body = if plugin.phases().body_filter && plugin.wants_whole_body(&exchange) {
        plugin.body_filter(&mut exchange, body, true)
    } else {
        body
    };
    (exchange.response.headers, body)
}

fn json_body(config: Value, body: Value) -> Value {
    let received = [
        ("content-type", "application/json"),
        ("content-length", "9"),
    ];
    let (headers, body) = transformed(config, &received, &body.to_string());
    assert!(!headers.contains_key("content-length"));
    serde_json::from_slice(&body).unwrap()
}

const RECEIVED: &[(&str, &str)] = &[("x-a", "A"), ("x-b", "B1"), ("x-b", "B2")];

#[test]
fn headers_are_changed() {
    let changed = |config| transformed(config, RECEIVED, "").0;
    let removed = changed(json!({"remove": {"headers": ["X-B", "x-nope"]}}));
    assert_eq!(removed, headers(&[("x-a", "A")]));
    let renamed = changed(json!({"rename": {"headers": ["x-b:x-z", "x-nope:x-q"]}}));
    assert_eq!(
        renamed,
        headers(&[("x-a", "A"), ("x-z", "B1"), ("x-z", "B2")])
    );
    let replaced = changed(json!({"replace": {"headers": ["x-b:r", "x-nope:r"]}}));
    assert_eq!(replaced, headers(&[("x-a", "A"), ("x-b", "r")]));
    let added = changed(json!({"add": {"headers": ["x-a:no", "x-c:a:b"]}}));
    assert_eq!(values(&added, "x-a"), ["A"]);
    assert_eq!(values(&added, "x-c"), ["a:b"]);
    let appended = changed(json!({"append": {"headers": ["x-b:3", "x-new:n"]}}));
    assert_eq!(values(&appended, "x-b"), ["B1", "B2", "3"]);
    assert_eq!(values(&appended, "x-new"), ["n"]);
}

#[test]
fn changes_are_judged_by_the_response_as_it_came() {
    let config = json!({
        "remove": {"headers": ["x-b"]}, "rename": {"headers": ["x-a:x-r"]},
        "replace": {"headers": ["x-r:v"]}, "add": {"headers": ["x-r:no", "x-s:s"]},
        "append": {"headers": ["x-s:t"]},
    });
    let (changed, _) = transformed(config, RECEIVED, "");
    assert_eq!(values(&changed, "x-r"), ["no"]);
    assert_eq!(values(&changed, "x-s"), ["s", "t"]);
    assert_eq!(changed.len(), 3);
}

#[test]
fn fields_are_changed() {
    let body = || json!({"a": "1", "b": {"c": 2}, "d": [1, 2], "e": null, "f": false});
    let changed = |config| {
        let mut changed = json_body(config, body());
        let unchanged = body();
        // Only what changed.
        let object = changed.as_object_mut().unwrap();
        object.retain(|name, value| unchanged.get(name) != Some(value));
        changed
    };
    let removed = json_body(
        json!({"remove": {"json": ["a", "b.c", "d[1]", "e"]}}),
        body(),
    );
    assert_eq!(removed, json!({"b": {"c": 2}, "d": [1, 2], "f": false}));
    let renamed = json_body(
        json!({"rename": {"json": ["a:z", "e:a", "nope:q"]}}),
        body(),
    );
    assert_eq!(renamed["z"], "1");
    assert_eq!(renamed["a"], json!(null));
    let add = json!({"add": {
        "json": ["n:1", "a:no", "t:true", "e:no", "f:yes", "x:nan?"],
        "json_types": ["number", "string", "boolean", "string", "string", "number"],
    }});
    assert_eq!(changed(add), json!({"n": 1, "t": true, "f": "yes"}));
    let replace =
        json!({"replace": {"json": ["a:2", "e:1.5", "n:1"], "json_types": ["string", "number"]}});
    assert_eq!(changed(replace), json!({"a": "2", "e": 1.5}));
    let append = json!({"append": {
        "json": ["a:2", "new:x", "d:3", "e:4", "b:5"],
        "json_types": ["string", "string", "number"],
    }});
    let expected = json!({
        "a": ["1", "2"], "new": ["x"], "d": [1, 2, 3], "e": ["4"], "b": {"c": 2, "1": "5"},
    });
    assert_eq!(changed(append), expected);
}

#[test]
fn other_bodies_pass_as_they_are() {
    let config = json!({"add": {"json": ["k:v"], "headers": ["x-new:n"]}});
    let json = [
        ("content-type", "application/json"),
        ("content-length", "9"),
    ];
    for body in ["{broken", "[1,{\"a\":2}]", "5", ""] {
        let (changed, passed) = transformed(config.clone(), &json, body);
        assert_eq!(passed, body);
        assert_eq!(values(&changed, "x-new"), ["n"]);
    }
    let text = [("content-type", "text/plain"), ("content-length", "9")];
    let (changed, passed) = transformed(config, &text, "{}");
    assert_eq!(passed, "{}");
    assert_eq!(values(&changed, "content-length"), ["9"]);
}

#[test]
fn formats_in_the_syntax_of_json_are_json() {
    for kind in [
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/problem+json",
        "text/plain, application/json",
    ] {
        let (_, body) = transformed(
            json!({"add": {"json": ["k:v"]}}),
            &[("content-type", kind)],
            "{}",
        );
        assert_eq!(body, r#"{"k":"v"}"#, "{kind}");
    }
    for kind in ["application/jsonp", "text/json", "application"] {
        let (_, body) = transformed(
            json!({"add": {"json": ["k:v"]}}),
            &[("content-type", kind)],
            "{}",
        );
        assert_eq!(body, "{}", "{kind}");
    }
}

#[test]
fn phases_without_changes_are_left_out() {
    let phases = |config| compiled("response-transformer", config).phases();
    assert_eq!(phases(json!({})), crate::Phases::default());
    assert!(!phases(json!({"add": {"headers": ["a:b"]}})).body_filter);
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("response-transformer", json!({"add": {"headers": ["a:b"]}})).unwrap();
    let none = json!({"json": [], "json_types": [], "headers": []});
    let expected = json!({
        "remove": {"json": [], "headers": []}, "rename": {"json": [], "headers": []},
        "replace": none, "append": none,
        "add": {"json": [], "json_types": [], "headers": ["a:b"]},
    });
    assert_eq!(config, expected);
    compiled("response-transformer", config);
    let error = validated("response-transformer", json!({"add": {"headers": ["a"]}})).unwrap_err();
    assert_eq!(
        error["fields"]["config"]["add"]["headers"][0],
        "invalid value: a"
    );
    let error = validated(
        "response-transformer",
        json!({"rename": {"headers": ["a:b c"]}}),
    );
    let problem = &error.unwrap_err()["fields"]["config"]["rename"]["headers"][0];
    assert_eq!(*problem, "'b c' is not a valid header");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_body_makes_it_panic(body in "[\\[\\]{}:\"a-c0-9, ]{0,32}") {
        let config = json!({
            "remove": {"json": ["a"]}, "rename": {"json": ["b:c"]}, "replace": {"json": ["c:1"]},
            "add": {"json": ["a:1"]}, "append": {"json": ["b:1"]},
        });
        transformed(config, &[("content-type", "application/json")], &body);
    }
}
