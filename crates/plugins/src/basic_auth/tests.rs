use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::Exchange;
use crate::response::Body;
use crate::testing::*;

fn basic(login: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(login))
}

fn with_login(header: &str, login: &str) -> Exchange<'static> {
    with_headers(exchange("GET", "/a"), &[(header, &basic(login))])
}

/// Who the caller is taken for, or the challenge of the refusal.
fn caller(config: Value, exchange: &mut Exchange<'static>) -> Result<String, String> {
    let plugin = compiled("basic-auth", config);
    match access(plugin, exchange) {
        None => Ok(exchange.consumer.unwrap().username.clone().unwrap()),
        Some(response) => {
            assert_eq!(response.status, 401);
            assert!(matches!(response.body, Body::Error(m) if m == "Unauthorized"));
            Err(values(&response.headers, "www-authenticate")[0].to_owned())
        }
    }
}

#[test]
fn a_right_password_lets_the_request_through() {
    for header in ["authorization", "proxy-authorization"] {
        let mut exchange = with_login(header, "alice:pw:x");
        assert_eq!(caller(json!({}), &mut exchange), Ok("alice".to_owned()));
        let identifier = values(&exchange.headers, "x-credential-identifier");
        assert_eq!(identifier, ["alice"]);
        assert_eq!(
            values(&exchange.headers, "x-consumer-custom-id"),
            ["alice-cid"]
        );
        assert!(exchange.headers.contains_key(header));
    }
    let lower = [("authorization", "basic YWxpY2U6cHc6eA")];
    let mut exchange = with_headers(exchange("GET", "/a"), &lower);
    assert_eq!(caller(json!({}), &mut exchange), Ok("alice".to_owned()));
}

#[test]
fn everything_else_is_refused() {
    let refused = Err("Basic realm=\"service\"".to_owned());
    assert_eq!(caller(json!({}), &mut exchange("GET", "/a")), refused);
    for login in ["alice:no", "alice:", "nobody:pw:x", "alice", ":pw:x", ""] {
        let mut exchange = with_login("authorization", login);
        assert_eq!(caller(json!({}), &mut exchange), refused, "{login}");
    }
    for value in ["Basic", "Basic %%%", "Bearer x"] {
        let mut exchange = with_headers(exchange("GET", "/a"), &[("authorization", value)]);
        assert_eq!(caller(json!({}), &mut exchange), refused, "{value}");
    }
    let realm = Err("Basic realm=\"r\"".to_owned());
    assert_eq!(
        caller(json!({"realm": "r"}), &mut exchange("GET", "/a")),
        realm
    );
}

#[test]
fn a_known_name_towards_the_proxy_comes_first() {
    let both = |proxy: &str| {
        let headers = [
            ("proxy-authorization", &*basic(proxy)),
            ("authorization", &*basic("alice:pw:x")),
        ];
        with_headers(exchange("GET", "/a"), &headers)
    };
    assert!(caller(json!({}), &mut both("alice:no")).is_err());
    assert_eq!(
        caller(json!({}), &mut both("nobody:no")),
        Ok("alice".to_owned())
    );
    // Only what was looked at is hidden.
    let mut exchange = both("alice:pw:x");
    assert!(caller(json!({"hide_credentials": true}), &mut exchange).is_ok());
    assert!(!exchange.headers.contains_key("proxy-authorization"));
    assert!(exchange.headers.contains_key("authorization"));
}

#[test]
fn requests_without_a_right_password_may_be_anonymous() {
    let config = || json!({"anonymous": "bob"});
    let bob = Ok("bob".to_owned());
    assert_eq!(caller(config(), &mut exchange("GET", "/a")), bob);
    let mut wrong = with_login("authorization", "alice:no");
    assert_eq!(caller(config(), &mut wrong), bob);
    assert_eq!(values(&wrong.headers, "x-anonymous-consumer"), ["true"]);
    let mut right = with_login("authorization", "alice:pw:x");
    assert_eq!(caller(config(), &mut right), Ok("alice".to_owned()));
}

#[test]
fn settings_are_completed() {
    let config = validated("basic-auth", json!({})).unwrap();
    let expected = json!({"anonymous": null, "hide_credentials": false, "realm": "service"});
    assert_eq!(config, expected);
    compiled("basic-auth", config);
}
