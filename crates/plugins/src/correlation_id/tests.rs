use serde_json::json;
use uuid::Uuid;

use crate::Exchange;
use crate::testing::*;

fn upstream_id(config: serde_json::Value, mut exchange: Exchange<'static>) -> String {
    let plugin = compiled("correlation-id", config);
    assert!(access(plugin, &mut exchange).is_none());
    let ids = values(&exchange.headers, "x-c");
    assert_eq!(ids.len(), 1);
    ids[0].to_owned()
}

#[test]
fn a_request_without_an_id_gets_one() {
    let config = json!({"header_name": "x-c", "generator": "uuid"});
    let first = upstream_id(config.clone(), exchange("GET", "/a"));
    let second = upstream_id(config.clone(), exchange("GET", "/a"));
    assert_ne!(first, second);
    assert_eq!(Uuid::parse_str(&first).unwrap().get_version_num(), 4);
    let empty = with_headers(exchange("GET", "/a"), &[("x-c", "")]);
    assert!(Uuid::parse_str(&upstream_id(config, empty)).is_ok());
}

#[test]
fn a_brought_id_is_kept() {
    let brought = with_headers(exchange("GET", "/a"), &[("X-C", "mine")]);
    assert_eq!(upstream_id(json!({"header_name": "x-c"}), brought), "mine");
}

#[test]
fn a_worker_counts_its_ids() {
    let config = json!({"header_name": "x-c"});
    let id = || {
        let id = upstream_id(config.clone(), exchange("GET", "/a"));
        let (worker, count) = id.split_once('#').unwrap();
        (
            Uuid::parse_str(worker).unwrap(),
            count.parse::<u64>().unwrap(),
        )
    };
    let (first, second) = (id(), id());
    assert_eq!(second, (first.0, first.1 + 1));
}

#[test]
fn a_tracker_tells_addresses_and_time() {
    let config = json!({"header_name": "x-c", "generator": "tracker"});
    let id = upstream_id(config, exchange("GET", "/a"));
    let parts: Vec<_> = id.split('-').collect();
    assert_eq!(parts[..2], ["127.0.0.1", "8000"]);
    assert_eq!(parts[2], std::process::id().to_string());
    assert_eq!(parts[3], "40000");
    assert_eq!(parts[5], "1709210096.000");
}

#[test]
fn the_response_carries_the_id_when_asked() {
    let config = json!({"header_name": "x-c", "echo_downstream": true});
    let plugin = compiled("correlation-id", config);
    let mut exchange = exchange("GET", "/a");
    assert!(access(plugin, &mut exchange).is_none());
    let id = exchange.headers.remove("x-c").unwrap();
    plugin.header_filter(&mut exchange);
    assert_eq!(exchange.response.headers.get("x-c"), Some(&id));
    assert!(!compiled("correlation-id", json!({})).phases().header_filter);
}

#[test]
fn a_response_to_an_unmatched_request_carries_one_too() {
    let config = json!({"header_name": "x-c", "echo_downstream": true});
    let plugin = compiled("correlation-id", config);
    let mut unmatched = exchange("GET", "/nope");
    plugin.header_filter(&mut unmatched);
    assert!(unmatched.response.headers.contains_key("x-c"));
    let mut brought = with_headers(exchange("GET", "/nope"), &[("x-c", "mine")]);
    plugin.header_filter(&mut brought);
    assert_eq!(values(&brought.response.headers, "x-c"), ["mine"]);
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("correlation-id", json!({})).unwrap();
    let expected = json!({
        "header_name": "Kong-Request-ID", "generator": "uuid#counter", "echo_downstream": false,
    });
    assert_eq!(config, expected);
    compiled("correlation-id", config);
    let error = validated("correlation-id", json!({"generator": "x"})).unwrap_err();
    let problem = "expected one of: uuid, uuid#counter, tracker";
    assert_eq!(error["fields"]["config"]["generator"], problem);
    let message = refused("correlation-id", json!({"header_name": "a b"}));
    assert!(
        message.contains("'a b' is not a valid header name"),
        "{message}"
    );
}
