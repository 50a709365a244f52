use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use crate::HeaderMap;
use serde_json::json;

use crate::response::Body;
use crate::testing::*;
use crate::{Exchange, Plugin, Response};

/// The response's headers as the client gets them, whether the upstream answered or the plugin.
fn run<'r>(plugin: &'r dyn Plugin, exchange: &mut Exchange<'r>) -> (Option<Response>, HeaderMap) {
    let response = access(plugin, exchange);
    if let Some(response) = &response {
        exchange.response.headers = response.headers.clone();
    }
    if plugin.phases().header_filter {
        plugin.header_filter(exchange);
    }
    (response, exchange.response.headers.clone())
}

fn at(seconds: u64) -> Exchange<'static> {
    let mut exchange = exchange("GET", "/a");
    exchange.times.received_at = UNIX_EPOCH + Duration::from_secs(seconds);
    exchange
}

fn counts(headers: &HeaderMap, names: &[&str]) -> Vec<String> {
    names
        .iter()
        .map(|name| values(headers, name).join("+"))
        .collect()
}

#[test]
fn requests_are_counted_down_and_then_refused() {
    let plugin = compiled("rate-limiting", json!({"hour": 2}));
    let names = [
        "x-ratelimit-limit-hour",
        "x-ratelimit-remaining-hour",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
        "retry-after",
    ];
    // 12:34:56 is 1504 seconds before the next hour.
    let (response, headers) = run(plugin, &mut at(NOW));
    assert!(response.is_none());
    assert_eq!(counts(&headers, &names), ["2", "1", "2", "1", "1504", ""]);
    let (response, headers) = run(plugin, &mut at(NOW + 4));
    assert!(response.is_none());
    assert_eq!(counts(&headers, &names), ["2", "0", "2", "0", "1500", ""]);
    for _ in 0..2 {
        let (response, headers) = run(plugin, &mut at(NOW + 4));
        let response = response.unwrap();
        assert_eq!(response.status, 429);
        assert!(matches!(response.body, Body::Error(m) if m == "API rate limit exceeded"));
        assert_eq!(
            counts(&headers, &names),
            ["2", "0", "2", "0", "1500", "1500"]
        );
    }
    assert!(run(plugin, &mut at(NOW + 1504)).0.is_none());
}

#[test]
fn the_tightest_limit_is_told() {
    let plugin = compiled(
        "rate-limiting",
        json!({"second": 2, "minute": 2, "year": 9}),
    );
    let names = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"];
    let (_, headers) = run(plugin, &mut at(NOW));
    assert_eq!(counts(&headers, &names), ["2", "1", "4"]);
    let remaining = [
        "x-ratelimit-remaining-second",
        "x-ratelimit-remaining-minute",
        "x-ratelimit-remaining-year",
    ];
    assert_eq!(counts(&headers, &remaining), ["1", "1", "8"]);
    run(plugin, &mut at(NOW));
    let (response, headers) = run(plugin, &mut at(NOW + 1));
    assert_eq!(response.unwrap().status, 429);
    // What the refused request did not use up stays.
    assert_eq!(counts(&headers, &remaining), ["2", "0", "7"]);
}

#[test]
fn a_month_is_taken_for_thirty_days() {
    let plugin = compiled("rate-limiting", json!({"month": 1}));
    let (_, headers) = run(plugin, &mut at(NOW));
    // 28 days, 12:34:56 since the first.
    let expected = 30 * 86_400 - (28 * 86_400 + 45_296);
    assert_eq!(values(&headers, "ratelimit-reset"), [expected.to_string()]);
    // On the 31st of January nothing is left of the 30 days.
    let (_, headers) = run(plugin, &mut at(1_706_659_200));
    assert_eq!(values(&headers, "ratelimit-reset"), ["1"]);
}

#[test]
fn the_refusal_and_its_headers_are_settings() {
    let config = json!({
        "hour": 1, "error_code": 430, "error_message": "slow down", "hide_client_headers": true,
    });
    let plugin = compiled("rate-limiting", config);
    assert!(!plugin.phases().header_filter);
    assert!(run(plugin, &mut at(NOW)).0.is_none());
    let (response, headers) = run(plugin, &mut at(NOW));
    let response = response.unwrap();
    assert_eq!(response.status.as_u16(), 430);
    assert!(matches!(response.body, Body::Error(m) if m == "slow down"));
    assert!(headers.is_empty());
}

/// Which of the requests are let through, when one is per hour and caller.
fn through(limit_by: &str, more: serde_json::Value, requests: Vec<Exchange<'static>>) -> Vec<bool> {
    let mut config = json!({"hour": 1, "limit_by": limit_by});
    config
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let plugin = compiled("rate-limiting", config);
    requests
        .into_iter()
        .map(|mut exchange| access(plugin, &mut exchange).is_none())
        .collect()
}

#[test]
fn callers_are_told_apart_by_address() {
    let from = |ip: &str| {
        let mut exchange = exchange("GET", "/a");
        exchange.client.ip = ip.parse::<IpAddr>().unwrap();
        exchange
    };
    let requests = vec![
        from("192.0.2.1"),
        from("192.0.2.2"),
        from("::1"),
        from("192.0.2.1"),
    ];
    assert_eq!(
        through("ip", json!({}), requests),
        [true, true, true, false]
    );
}

#[test]
fn callers_are_told_apart_by_header_or_else_address() {
    let who = |who: &str| with_headers(exchange("GET", "/a"), &[("x-who", who)]);
    let none = || exchange("GET", "/a");
    let requests = vec![who("1"), who("2"), who("1"), none(), none()];
    let config = json!({"header_name": "X-Who"});
    let expected = [true, true, false, true, false];
    assert_eq!(through("header", config, requests), expected);
}

#[test]
fn one_path_counts_for_all_callers() {
    let other = |path: &str| {
        let mut exchange = exchange("GET", path);
        exchange.client.ip = IpAddr::from([192, 0, 2, 99]);
        exchange
    };
    let requests = vec![
        exchange("GET", "/a/x"),
        other("/a/x"),
        exchange("GET", "/a/y"),
        other("/a/y"),
    ];
    let expected = [true, false, true, true];
    assert_eq!(through("path", json!({"path": "/a/x"}), requests), expected);
}

#[test]
fn callers_are_told_apart_by_consumer() {
    let auth = compiled("key-auth", json!({"anonymous": "bob"}));
    let plugin = compiled("rate-limiting", json!({"hour": 1}));
    let through = |target: &str| {
        let mut exchange = exchange("GET", target);
        assert!(access(auth, &mut exchange).is_none());
        access(plugin, &mut exchange).is_none()
    };
    assert!(through("/a?apikey=ka"));
    assert!(through("/a"));
    assert!(!through("/a?apikey=ka"));
    assert!(!through("/a"));
}

#[test]
fn counts_outlive_a_configuration() {
    let registry = registry();
    let config = json!({"hour": 1}).as_object().unwrap().clone();
    let compile = || {
        registry.compile(
            &plugin("rate-limiting", config.clone()),
            &Default::default(),
        )
    };
    let (first, second) = (compile().unwrap(), compile().unwrap());
    assert!(access(&*first, &mut at(NOW)).is_none());
    assert!(access(&*second, &mut at(NOW)).is_some());
}

#[test]
fn nothing_is_counted_in_a_database_that_is_not_there() {
    let cluster = json!({"hour": 1, "policy": "cluster"});
    let problem = "expected one of: local, redis";
    let message = refused("rate-limiting", cluster.clone());
    assert!(message.ends_with(problem), "{message}");
    let error = validated("rate-limiting", cluster).unwrap_err();
    assert_eq!(error["fields"], json!({"config": {"policy": problem}}));
    let schemas = crate::Registry::schemas_with_database();
    let schemas = keelgate_entities::Schemas::new(schemas);
    let plugin = json!({"name": "rate-limiting", "config": {"hour": 1, "policy": "cluster"}});
    let plugin = plugin.as_object().unwrap().clone();
    let written = schemas.insert("plugins", plugin, std::time::SystemTime::now());
    assert_eq!(written.unwrap()["config"]["policy"], "cluster");
}

#[test]
fn redis_must_be_somewhere() {
    let error = validated("rate-limiting", json!({"hour": 1, "policy": "redis"})).unwrap_err();
    let fields = json!({
        "config": {"redis": {"host": "required field missing"}},
        "@entity": ["failed conditional validation given value of field 'config.policy'"],
    });
    assert_eq!(error["fields"], fields);
    let message = refused("rate-limiting", json!({"hour": 1, "policy": "redis"}));
    assert!(message.contains("config.redis.host"), "{message}");
    let redis = json!({"host": "localhost", "ssl": true, "server_name": "not a name"});
    let config = json!({"hour": 1, "policy": "redis", "redis": redis});
    let message = refused("rate-limiting", config);
    assert!(message.contains("config.redis.server_name"), "{message}");
}

#[test]
fn settings_that_belong_together_are_required() {
    let message = refused("rate-limiting", json!({}));
    assert!(message.contains("no limit is set"), "{message}");
    let message = refused("rate-limiting", json!({"hour": 1, "limit_by": "header"}));
    assert!(
        message.contains("config.header_name: required"),
        "{message}"
    );
    let message = refused("rate-limiting", json!({"hour": 1, "error_code": 5000}));
    assert!(message.contains("config.error_code"), "{message}");
}

#[test]
fn settings_are_completed() {
    let config = validated(
        "rate-limiting",
        json!({"minute": 5, "redis_host": "r.test"}),
    )
    .unwrap();
    assert_eq!(config["redis"]["host"], "r.test");
    assert_eq!(config["redis"]["port"], 6379);
    assert_eq!(config["redis"]["timeout"], 2000);
    assert_eq!(config["limit_by"], "consumer");
    assert_eq!(config["policy"], "local");
    assert_eq!(config["sync_rate"], -1);
    assert_eq!(config["hour"], json!(null));
    compiled("rate-limiting", config);
}

#[test]
fn settings_are_checked() {
    let problems = |config| validated("rate-limiting", config).unwrap_err()["fields"].clone();
    let lower = "The limit for minute(5.0) cannot be lower than the limit for second(10.0)";
    assert_eq!(
        problems(json!({"second": 10, "minute": 5})),
        json!({"config": lower})
    );
    let none = "at least one of these fields must be non-empty: 'config.second', 'config.minute', \
                'config.hour', 'config.day', 'config.month', 'config.year'";
    assert_eq!(problems(json!({})), json!({"@entity": [none]}));
    let header = json!({
        "config": {"header_name": "required field missing"},
        "@entity": ["failed conditional validation given value of field 'config.limit_by'"],
    });
    assert_eq!(problems(json!({"minute": 1, "limit_by": "header"})), header);
    let sync = "sync_rate can only be used with the redis policy";
    assert_eq!(
        problems(json!({"minute": 1, "sync_rate": 1})),
        json!({"config": sync})
    );
    let zero = json!({"config": {"minute": "value must be greater than 0"}});
    assert_eq!(problems(json!({"minute": 0})), zero);
}
