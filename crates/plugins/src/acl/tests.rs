use serde_json::{Value, json};

use crate::Exchange;
use crate::response::Body;
use crate::testing::*;

/// A request with this key, or of the anonymous consumer (bob) without one.
fn authenticated(target: &str) -> Exchange<'static> {
    let auth = compiled("key-auth", json!({"anonymous": "bob"}));
    let spoofed = [("x-consumer-groups", "root")];
    let mut exchange = with_headers(exchange("GET", target), &spoofed);
    assert!(access(auth, &mut exchange).is_none());
    exchange
}

/// The groups that the upstream is told, or the refusal.
fn judged(config: Value, mut exchange: Exchange<'static>) -> Result<String, (u16, String)> {
    let plugin = compiled("acl", config);
    match access(plugin, &mut exchange) {
        None => Ok(values(&exchange.headers, "x-consumer-groups").join("|")),
        Some(response) => match response.body {
            Body::Error(message) => Err((response.status.as_u16(), message)),
            other => panic!("{other:?}"),
        },
    }
}

fn forbidden() -> Result<String, (u16, String)> {
    Err((403, "You cannot consume this service".to_owned()))
}

fn unauthorized() -> Result<String, (u16, String)> {
    Err((401, "Unauthorized".to_owned()))
}

const ALICE: &str = "/a?apikey=ka";

#[test]
fn members_of_allowed_groups_pass() {
    let admins = || json!({"allow": ["admin"]});
    let groups = Ok("admin, users".to_owned());
    assert_eq!(judged(admins(), authenticated(ALICE)), groups);
    let others = json!({"allow": ["others"]});
    assert_eq!(judged(others, authenticated(ALICE)), forbidden());
    assert_eq!(judged(admins(), authenticated("/a")), unauthorized());
    assert_eq!(judged(admins(), exchange("GET", "/a")), unauthorized());
}

#[test]
fn members_of_denied_groups_do_not_pass() {
    let admins = || json!({"deny": ["admin"]});
    assert_eq!(judged(admins(), authenticated(ALICE)), forbidden());
    assert_eq!(judged(admins(), authenticated("/a")), Ok(String::new()));
    assert_eq!(judged(admins(), exchange("GET", "/a")), unauthorized());
}

#[test]
fn a_caller_without_groups_is_forbidden_if_it_has_a_credential() {
    let mut exchange = authenticated(ALICE);
    exchange.consumer = None;
    assert_eq!(judged(json!({"deny": ["admin"]}), exchange), forbidden());
}

#[test]
fn groups_may_be_hidden_from_the_upstream() {
    let config = json!({"allow": ["users"], "hide_groups_header": true});
    let mut exchange = authenticated(ALICE);
    exchange.headers.remove("x-consumer-groups");
    assert_eq!(judged(config, exchange), Ok(String::new()));
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("acl", json!({"allow": ["a"]})).unwrap();
    let expected = json!({
        "allow": ["a"], "deny": null, "hide_groups_header": false,
        "always_use_authenticated_groups": false,
    });
    assert_eq!(config, expected);
    compiled("acl", config);
    assert!(validated("acl", json!({})).is_err());
    assert!(validated("acl", json!({"allow": ["a"], "deny": ["b"]})).is_err());
}
