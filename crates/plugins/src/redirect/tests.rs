use serde_json::{Value, json};

use crate::response::Body;
use crate::testing::*;

fn location(config: Value, target: &str) -> (u16, String) {
    let plugin = compiled("redirect", config);
    let response = access(plugin, &mut exchange("GET", target)).unwrap();
    assert!(matches!(response.body, Body::Bytes(body) if body == "redirecting"));
    assert_eq!(response.headers.len(), 1);
    let location = values(&response.headers, "location")[0].to_owned();
    (response.status.as_u16(), location)
}

#[test]
fn clients_are_sent_to_the_location_as_it_is() {
    let config = json!({"location": "https://x.test"});
    assert_eq!(
        location(config, "/a?b=c"),
        (301, "https://x.test".to_owned())
    );
}

#[test]
fn path_and_query_may_be_kept() {
    let config = json!({
        "location": "https://x.test/ignored?q=1", "keep_incoming_path": true, "status_code": 307,
    });
    let to = |location: &str| (307, location.to_owned());
    assert_eq!(
        location(config.clone(), "/a/b?c=d"),
        to("https://x.test/a/b?c=d")
    );
    assert_eq!(location(config.clone(), "/a"), to("https://x.test/a"));
    assert_eq!(location(config, "/a?"), to("https://x.test/a"));
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("redirect", json!({"location": "https://x.test"})).unwrap();
    let expected = json!({
        "status_code": 301, "location": "https://x.test", "keep_incoming_path": false,
    });
    assert_eq!(config, expected);
    compiled("redirect", config);
    let error = validated("redirect", json!({})).unwrap_err();
    assert_eq!(
        error["fields"]["config"]["location"],
        "required field missing"
    );
    let message = refused(
        "redirect",
        json!({"location": "x", "keep_incoming_path": true}),
    );
    assert!(message.contains("config.location"), "{message}");
}
