use http::StatusCode;
use serde_json::json;

use crate::response::Body;
use crate::testing::*;
use crate::{Exchange, Response};

fn refusal(response: Option<Response>) -> (StatusCode, String, Option<String>) {
    let response = response.unwrap();
    let challenge = response.headers.get("www-authenticate");
    let challenge = challenge.map(|value| value.to_str().unwrap().to_owned());
    match response.body {
        Body::Error(message) => (response.status, message, challenge),
        other => panic!("{other:?}"),
    }
}

fn unauthorized(message: &str) -> (StatusCode, String, Option<String>) {
    let challenge = Some("Key".to_owned());
    (StatusCode::UNAUTHORIZED, message.to_owned(), challenge)
}

fn assert_alice(exchange: &Exchange<'_>) {
    assert_eq!(exchange.consumer.unwrap().id, ALICE);
    assert_eq!(exchange.credential.unwrap().id, KEY);
    let header = |name: &str| values(&exchange.headers, name);
    assert_eq!(header("x-consumer-id"), [ALICE.to_string()]);
    assert_eq!(header("x-consumer-username"), ["alice"]);
    assert_eq!(header("x-consumer-custom-id"), ["alice-cid"]);
    assert_eq!(header("x-credential-identifier"), [KEY.to_string()]);
    assert!(header("x-anonymous-consumer").is_empty());
}

#[test]
fn a_known_key_lets_the_request_through() {
    let plugin = compiled("key-auth", json!({}));
    for mut exchange in [
        with_headers(exchange("GET", "/a"), &[("apikey", "ka")]),
        exchange("GET", "/a?b=1&apikey=k%61"),
    ] {
        assert!(access(plugin, &mut exchange).is_none());
        assert_alice(&exchange);
    }
}

#[test]
fn requests_without_a_known_key_are_refused() {
    let plugin = compiled("key-auth", json!({}));
    let refused = |target: &str, headers: &[(&str, &str)]| {
        let mut exchange = with_headers(exchange("GET", target), headers);
        let response = access(plugin, &mut exchange);
        assert!(exchange.consumer.is_none());
        refusal(response)
    };
    let no_key = unauthorized("No API key found in request");
    let unknown = unauthorized("Unauthorized");
    let duplicate = unauthorized("Duplicate API key found");
    assert_eq!(refused("/a", &[]), no_key);
    assert_eq!(refused("/a?apikey", &[]), no_key);
    assert_eq!(refused("/a?apikey=", &[]), no_key);
    assert_eq!(refused("/a?apikey=ka", &[("apikey", "")]), no_key);
    assert_eq!(refused("/a", &[("apikey", "zz")]), unknown);
    assert_eq!(refused("/a?apikey=ka", &[("apikey", "zz")]), unknown);
    assert_eq!(refused("/a?apikey=ka&apikey=ka", &[]), duplicate);
    assert_eq!(
        refused("/a", &[("apikey", "ka"), ("apikey", "kb")]),
        duplicate
    );
}

#[test]
fn the_key_of_an_unknown_consumer_is_unknown() {
    let plugin = compiled("key-auth", json!({}));
    let mut exchange = exchange("GET", "/a?apikey=kn");
    let refused = refusal(access(plugin, &mut exchange));
    assert_eq!(refused, unauthorized("Unauthorized"));
}

#[test]
fn places_that_are_switched_off_are_not_searched() {
    let plugin = compiled("key-auth", json!({"key_in_query": false}));
    let mut in_query = exchange("GET", "/a?apikey=ka");
    assert!(access(plugin, &mut in_query).is_some());
    let plugin = compiled("key-auth", json!({"key_in_header": false}));
    let mut in_header = with_headers(exchange("GET", "/a"), &[("apikey", "ka")]);
    assert!(access(plugin, &mut in_header).is_some());
    assert!(!plugin.phases().request_body);
}

#[test]
fn a_name_with_underscores_also_names_the_header_with_dashes() {
    let plugin = compiled("key-auth", json!({"key_names": ["none", "my_key"]}));
    let mut exchange = with_headers(exchange("GET", "/a"), &[("My-Key", "ka")]);
    assert!(access(plugin, &mut exchange).is_none());
}

#[test]
fn keys_are_found_in_bodies() {
    let plugin = compiled("key-auth", json!({"key_in_body": true}));
    assert!(plugin.phases().request_body);
    assert!(!plugin.wants_request_body(&exchange("GET", "/a")));
    let multipart = "--B\r\nContent-Disposition: form-data; name=\"apikey\"\r\n\r\nka\r\n--B--\r\n";
    for (kind, body) in [
        ("application/x-www-form-urlencoded", "x=1&apikey=ka"),
        ("application/json; charset=utf-8", r#"{"apikey":"ka"}"#),
        ("multipart/form-data; boundary=B", multipart),
    ] {
        let mut exchange = with_body(exchange("POST", "/a"), kind, body);
        assert!(plugin.wants_request_body(&exchange));
        assert!(access(plugin, &mut exchange).is_none(), "{kind}");
        assert_eq!(exchange.request_body.as_deref(), Some(body.as_bytes()));
    }
    for (kind, body) in [
        ("text/plain", "apikey=ka"),
        ("application/json", "{"),
        ("application/json", r#"{"apikey":5}"#),
    ] {
        let mut exchange = with_body(exchange("POST", "/a"), kind, body);
        let refused = refusal(access(plugin, &mut exchange));
        assert_eq!(
            refused,
            unauthorized("No API key found in request"),
            "{kind}"
        );
    }
}

#[test]
fn a_hidden_key_does_not_reach_the_upstream() {
    let plugin = compiled(
        "key-auth",
        json!({"hide_credentials": true, "key_in_body": true}),
    );
    let body = "a=%2f&apikey=ka";
    let kind = "application/x-www-form-urlencoded";
    let mut exchange = with_body(exchange("POST", "/a?b=%2f&apikey=ka&c=2"), kind, body);
    assert!(access(plugin, &mut exchange).is_none());
    assert_eq!(exchange.query.as_deref(), Some("b=%2f&c=2"));
    assert_eq!(exchange.request_body.as_deref(), Some(&b"a=%2F"[..]));
    assert_eq!(values(&exchange.headers, "content-length"), ["5"]);

    let mut exchange = with_headers(crate::testing::exchange("GET", "/a"), &[("apikey", "ka")]);
    assert!(access(plugin, &mut exchange).is_none());
    assert!(!exchange.headers.contains_key("apikey"));
}

#[test]
fn what_the_client_says_about_itself_is_overwritten() {
    let plugin = compiled("key-auth", json!({"anonymous": "bob"}));
    let spoofed = [
        ("x-consumer-id", "x"),
        ("x-consumer-username", "root"),
        ("x-consumer-custom-id", "y"),
        ("x-credential-identifier", "z"),
        ("x-anonymous-consumer", "no"),
    ];
    let mut exchange = with_headers(exchange("GET", "/a"), &spoofed);
    assert!(access(plugin, &mut exchange).is_none());
    assert_eq!(exchange.consumer.unwrap().id, BOB);
    assert!(exchange.credential.is_none());
    let header = |name: &str| values(&exchange.headers, name);
    assert_eq!(header("x-consumer-id"), [BOB.to_string()]);
    assert_eq!(header("x-consumer-username"), ["bob"]);
    assert!(header("x-consumer-custom-id").is_empty());
    assert!(header("x-credential-identifier").is_empty());
    assert_eq!(header("x-anonymous-consumer"), ["true"]);
}

#[test]
fn the_anonymous_consumer_may_be_named_by_id_and_must_exist() {
    let plugin = compiled("key-auth", json!({"anonymous": BOB}));
    let mut no_key = exchange("GET", "/a");
    assert!(access(plugin, &mut no_key).is_none());
    assert_eq!(no_key.consumer.unwrap().id, BOB);

    let plugin = compiled("key-auth", json!({"anonymous": "nobody"}));
    let mut with_key = exchange("GET", "/a?apikey=ka");
    assert!(access(plugin, &mut with_key).is_none());
    assert_alice(&with_key);
    let mut no_key = exchange("GET", "/a");
    let (status, message, _) = refusal(access(plugin, &mut no_key));
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(message, "An unexpected error occurred");
}

#[test]
fn with_an_anonymous_consumer_one_of_several_plugins_suffices() {
    let other = compiled("key-auth", json!({"key_names": ["other"]}));
    let plugin = compiled("key-auth", json!({"anonymous": "bob"}));
    let mut exchange = with_headers(exchange("GET", "/a"), &[("other", "ka")]);
    assert!(access(other, &mut exchange).is_none());
    assert!(access(plugin, &mut exchange).is_none());
    assert_alice(&exchange);
}

#[test]
fn preflight_requests_may_pass() {
    let plugin = compiled("key-auth", json!({"run_on_preflight": false}));
    assert!(access(plugin, &mut exchange("OPTIONS", "/a")).is_none());
    assert!(access(plugin, &mut exchange("GET", "/a")).is_some());
}

#[test]
fn the_realm_is_named() {
    let plugin = compiled("key-auth", json!({"realm": "my realm"}));
    let (_, _, challenge) = refusal(access(plugin, &mut exchange("GET", "/a")));
    assert_eq!(challenge.unwrap(), "Key realm=\"my realm\"");
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("key-auth", json!({})).unwrap();
    let expected = json!({
        "key_names": ["apikey"], "hide_credentials": false, "anonymous": null,
        "key_in_header": true, "key_in_query": true, "key_in_body": false,
        "run_on_preflight": true, "realm": null,
    });
    assert_eq!(config, expected);
    compiled("key-auth", config);

    let error = validated("key-auth", json!({"key_names": ["a b"]})).unwrap_err();
    let problem = "bad header name 'a b', allowed characters are A-Z, a-z, 0-9, '_', and '-'";
    assert_eq!(error["fields"]["config"]["key_names"][0], problem);
    let message = refused("key-auth", json!({"key_names": ["a b"]}));
    assert!(
        message.ends_with("config.key_names: 'a b' is not a valid header name"),
        "{message}"
    );
}

#[test]
fn secrets_do_not_show() {
    let shown = format!("{:?}", directory());
    assert!(!shown.contains("\"ka\""), "{shown}");
}
