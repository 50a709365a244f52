use keelgate_entities::kinds::{Protocol, Route};
use serde_json::{Value, json};

use crate::response::Body;
use crate::stream::{Refusal, Session};
use crate::testing::*;

/// The refusal of a client, if it is refused.
fn refusal(config: Value, address: &str) -> Option<(u16, String)> {
    let plugin = compiled("ip-restriction", config);
    let mut exchange = exchange("GET", "/a");
    exchange.client.ip = address.parse().unwrap();
    access(plugin, &mut exchange).map(|response| match response.body {
        Body::Error(message) => (response.status.as_u16(), message),
        other => panic!("{other:?}"),
    })
}

fn forbidden(address: &str) -> Option<(u16, String)> {
    Some((403, format!("IP address not allowed: {address}")))
}

#[test]
fn only_allowed_addresses_pass() {
    let config = || json!({"allow": ["10.0.0.0/8", "::1"]});
    assert_eq!(refusal(config(), "10.1.2.3"), None);
    assert_eq!(refusal(config(), "::ffff:10.1.2.3"), None);
    assert_eq!(refusal(config(), "::1"), None);
    assert_eq!(refusal(config(), "127.0.0.1"), forbidden("127.0.0.1"));
}

#[test]
fn denied_addresses_do_not_pass_even_if_allowed() {
    let config = || json!({"allow": ["127.0.0.0/8"], "deny": ["127.0.0.1"]});
    assert_eq!(refusal(config(), "127.0.0.1"), forbidden("127.0.0.1"));
    assert_eq!(refusal(config(), "127.0.0.2"), None);
    assert_eq!(refusal(json!({"deny": ["127.0.0.1"]}), "192.0.2.1"), None);
}

#[test]
fn the_refusal_is_a_setting() {
    let config = json!({"deny": ["127.0.0.1"], "status": 404, "message": "nothing here"});
    let expected = Some((404, "nothing here".to_owned()));
    assert_eq!(refusal(config, "127.0.0.1"), expected);
}

#[test]
fn sessions_are_judged_as_requests_are() {
    let plugin = compiled("ip-restriction", json!({"deny": ["10.0.0.0/8"]}));
    let mut client = exchange("GET", "/").client;
    let route: Route = serde_json::from_value(json!({
        "id": "00000000-0000-4000-8000-000000000001", "protocols": ["tcp"],
    }))
    .unwrap();
    let mut judge = |address: &str| {
        client.ip = address.parse().unwrap();
        let session = Session {
            client: &client,
            protocol: Protocol::Tcp,
            route: &route,
            service: None,
        };
        plugin.stream().unwrap().preread(&session)
    };
    assert_eq!(judge("192.0.2.1"), Ok(()));
    let refusal = Refusal {
        status: 403,
        message: "IP address not allowed: 10.1.2.3".to_owned(),
    };
    assert_eq!(judge("10.1.2.3"), Err(refusal));
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("ip-restriction", json!({"allow": ["10.0.0.1"]})).unwrap();
    let expected = json!({"allow": ["10.0.0.1"], "deny": null, "status": null, "message": null});
    assert_eq!(config, expected);
    compiled("ip-restriction", config);
    let error = validated("ip-restriction", json!({})).unwrap_err();
    let none = "at least one of these fields must be non-empty: 'config.allow', 'config.deny'";
    assert_eq!(error["fields"]["@entity"][0], none);
    let problem = "invalid ip or cidr range: '300.0.0.1'";
    let error = validated("ip-restriction", json!({"deny": ["300.0.0.1"]})).unwrap_err();
    assert_eq!(error["fields"]["config"]["deny"][0], problem);
    let message = refused("ip-restriction", json!({"deny": ["300.0.0.1"]}));
    assert!(message.contains(problem), "{message}");
}
