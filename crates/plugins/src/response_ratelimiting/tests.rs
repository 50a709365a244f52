use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::json;

use crate::exchange::MadeBy;
use crate::response::Body;
use crate::testing::*;
use crate::{Exchange, HeaderMap, Plugin, Response};

fn at(seconds: u64) -> Exchange<'static> {
    let mut exchange = exchange("GET", "/a");
    exchange.times.received_at = UNIX_EPOCH + Duration::from_secs(seconds);
    exchange
}

/// What the client gets: a refusal before the upstream is asked, or status, headers and body.
fn run(
    plugin: &'static dyn Plugin,
    exchange: &mut Exchange<'static>,
    told: &str,
) -> Result<(u16, HeaderMap, Bytes), Response> {
    if let Some(response) = access(plugin, exchange) {
        return Err(response);
    }
    exchange.response.headers = headers(&[("x-kong-limit", told), ("content-length", "4")]);
    plugin.header_filter(exchange);
    let body = plugin.body_filter(exchange, Bytes::from_static(b"body"), true);
    let response = &exchange.response;
    Ok((response.status.as_u16(), response.headers.clone(), body))
}

fn told(headers: &HeaderMap, names: &[&str]) -> Vec<String> {
    let told = |name: &&str| values(headers, name).join("+");
    names.iter().map(told).collect()
}

const VIDEO: [&str; 3] = [
    "x-ratelimit-remaining-video",
    "x-ratelimit-limit-video-hour",
    "x-ratelimit-remaining-video-hour",
];

#[test]
fn costs_are_counted_down_and_then_the_response_is_withheld() {
    let plugin = compiled(
        "response-ratelimiting",
        json!({"limits": {"video": {"hour": 2}}}),
    );
    let mut standings = Vec::new();
    for _ in 0..2 {
        let (status, headers, body) = run(plugin, &mut at(NOW), "video=1").unwrap();
        assert_eq!((status, &*body), (200, &b"body"[..]));
        assert!(!headers.contains_key("x-kong-limit"));
        assert_eq!(values(&headers, "content-length"), ["4"]);
        standings.push(told(&headers, &VIDEO));
    }
    assert_eq!(standings, [["2", "2", "1"], ["1", "2", "0"]]);
    let (status, headers, body) = run(plugin, &mut at(NOW), "video=1").unwrap();
    assert_eq!((status, &*body), (429, &b""[..]));
    assert_eq!(values(&headers, "content-length"), ["0"]);
    assert_eq!(told(&headers, &VIDEO), ["0", "2", "0"]);
    // What costs nothing is still let through, and all is well in the next hour.
    assert_eq!(run(plugin, &mut at(NOW), "").unwrap().0, 200);
    assert_eq!(run(plugin, &mut at(NOW + 3600), "video=1").unwrap().0, 200);
}

#[test]
fn more_than_remains_may_be_used_up_once() {
    let plugin = compiled(
        "response-ratelimiting",
        json!({"limits": {"video": {"hour": 2}}}),
    );
    let (status, headers, _) = run(plugin, &mut at(NOW), "video=5").unwrap();
    assert_eq!(
        (status, told(&headers, &VIDEO)),
        (200, vec!["2".into(), "2".into(), "0".into()])
    );
    let (status, headers, _) = run(plugin, &mut at(NOW), "").unwrap();
    assert_eq!(
        (status, told(&headers, &VIDEO)),
        (200, vec!["-3".into(), "2".into(), "0".into()])
    );
}

#[test]
fn every_resource_counts_by_itself() {
    let limits = json!({"a": {"hour": 5, "day": 9}, "b": {"minute": 7}});
    let plugin = compiled("response-ratelimiting", json!({"limits": limits}));
    let (_, headers, _) = run(plugin, &mut at(NOW), " b = 3 ,a=1,none=9, a=2").unwrap();
    let names = [
        "x-ratelimit-remaining-a",
        "x-ratelimit-remaining-a-hour",
        "x-ratelimit-remaining-a-day",
        "x-ratelimit-remaining-b",
        "x-ratelimit-limit-b-minute",
        "x-ratelimit-remaining-b-minute",
    ];
    assert_eq!(told(&headers, &names), ["5", "3", "7", "7", "7", "4"]);
    let (_, headers, _) = run(plugin, &mut at(NOW), "").unwrap();
    assert_eq!(told(&headers, &names), ["3", "3", "7", "4", "7", "4"]);
}

#[test]
fn what_is_no_cost_costs_nothing() {
    let plugin = compiled(
        "response-ratelimiting",
        json!({"limits": {"video": {"hour": 5}}}),
    );
    for odd in [
        "video=x",
        "video",
        "video=1=2",
        "=1",
        "video=",
        "video=-1",
        "video=nan",
        "Video=1",
    ] {
        let (_, headers, _) = run(plugin, &mut at(NOW), odd).unwrap();
        assert_eq!(told(&headers, &VIDEO), ["5", "5", "5"], "{odd}");
    }
}

#[test]
fn only_the_upstream_says_what_a_response_costs() {
    let plugin = compiled(
        "response-ratelimiting",
        json!({"limits": {"video": {"hour": 5}}}),
    );
    let mut exchange = at(NOW);
    exchange.response.made_by = MadeBy::Plugin;
    let (_, headers, _) = run(plugin, &mut exchange, "video=1").unwrap();
    assert_eq!(told(&headers, &VIDEO), ["5", "5", "5"]);
}

#[test]
fn requests_may_be_refused_before_they_cost_anything() {
    let limits = json!({"a": {"hour": 1}, "b": {"hour": 9}});
    let config = json!({"limits": limits, "block_on_first_violation": true});
    let plugin = compiled("response-ratelimiting", config);
    assert!(run(plugin, &mut at(NOW), "a=1").is_ok());
    let refusal = run(plugin, &mut at(NOW), "b=1").unwrap_err();
    assert_eq!(refusal.status, 429);
    assert!(refusal.headers.is_empty());
    assert!(matches!(refusal.body, Body::Error(m) if m == "API rate limit exceeded for 'a'"));
}

#[test]
fn headers_may_be_hidden() {
    let config = json!({
        "limits": {"video": {"hour": 2}}, "hide_client_headers": true, "header_name": "X-Cost",
    });
    let plugin = compiled("response-ratelimiting", config);
    let mut exchange = at(NOW);
    assert!(access(plugin, &mut exchange).is_none());
    exchange.response.headers = headers(&[("x-cost", "video=1")]);
    plugin.header_filter(&mut exchange);
    assert_eq!(told(&exchange.response.headers, &VIDEO), ["2", "", ""]);
    assert_eq!(exchange.response.headers.len(), 1);
}

#[test]
fn callers_are_told_apart() {
    let auth = compiled("key-auth", json!({"anonymous": "bob"}));
    let left = |limit_by: &str, targets: [&str; 3]| {
        let config = json!({"limits": {"video": {"hour": 9}}, "limit_by": limit_by});
        let plugin = compiled("response-ratelimiting", config);
        targets.map(|target| {
            let mut exchange = exchange("GET", target);
            assert!(access(auth, &mut exchange).is_none());
            let (_, headers, _) = run(plugin, &mut exchange, "video=1").unwrap();
            told(&headers, &VIDEO[..1]).remove(0)
        })
    };
    let targets = ["/a?apikey=ka", "/a", "/a?apikey=ka"];
    assert_eq!(left("consumer", targets), ["9", "9", "8"]);
    assert_eq!(left("credential", targets), ["9", "9", "8"]);
    assert_eq!(left("ip", targets), ["9", "8", "7"]);
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated(
        "response-ratelimiting",
        json!({"limits": {"a": {"day": 5}}}),
    )
    .unwrap();
    assert_eq!(config["header_name"], "x-kong-limit");
    assert_eq!(config["limit_by"], "consumer");
    assert_eq!(config["policy"], "local");
    assert_eq!(config["limits"]["a"]["hour"], json!(null));
    compiled("response-ratelimiting", config);
    let problems =
        |config| validated("response-ratelimiting", config).unwrap_err()["fields"].clone();
    assert_eq!(
        problems(json!({})),
        json!({"config": {"limits": "required field missing"}})
    );
    for limits in [
        json!({}),
        json!({"a": {}}),
        json!({"a": {"hour": 5, "day": 1}}),
    ] {
        problems(json!({"limits": limits}));
    }
    let message = refused(
        "response-ratelimiting",
        json!({"limits": {"a b": {"hour": 5}}}),
    );
    assert!(message.contains("config.limits"), "{message}");
    let config = json!({"limits": {"a": {"hour": 5}}, "policy": "redis"});
    let message = refused("response-ratelimiting", config);
    assert!(message.contains("config.redis.host"), "{message}");
}
