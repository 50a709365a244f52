use std::time::Duration;

use http::StatusCode;
use keelgate_entities::kinds::{Consumer, Route, Service};
use serde_json::{Value, json};

use crate::exchange::MadeBy;
use crate::testing::*;
use crate::{Exchange, Registry};

fn served<'r>() -> Exchange<'r> {
    let mut exchange = exchange("GET", "/a");
    exchange.service = Some(leaked::<Service>(json!({
        "id": "00000000-0000-4000-8000-000000000001", "name": "s\"1", "protocol": "http",
        "host": "h.test", "port": 80,
    })));
    exchange.route = Some(leaked::<Route>(json!({
        "id": "00000000-0000-4000-8000-000000000002", "protocols": ["http"],
    })));
    exchange.consumer = Some(leaked::<Consumer>(json!({
        "id": "00000000-0000-4000-8000-000000000003", "username": "alice",
    })));
    exchange.outcome.took = Duration::from_micros(12_500);
    exchange.outcome.before_upstream = Some(Duration::from_millis(2));
    exchange.times.upstream = Some(Duration::from_millis(9));
    exchange
}

/// What is told after these requests.
fn told(config: Value, exchanges: Vec<Exchange<'static>>) -> (Registry, String) {
    let registry = registry();
    let Value::Object(config) = config else {
        unreachable!();
    };
    let plugin = registry
        .compile(&plugin("prometheus", config), &std::sync::Arc::default())
        .unwrap();
    let plugin: &'static _ = Box::leak(Box::new(plugin));
    for mut exchange in exchanges {
        plugin.log(&mut exchange);
    }
    let text = registry.metrics();
    (registry, text)
}

const ROUTE: &str = "00000000-0000-4000-8000-000000000002";

#[test]
fn requests_are_counted_by_status_and_consumer() {
    let config = json!({"status_code_metrics": true, "per_consumer": true});
    let mut refused = served();
    refused.response.status = StatusCode::FORBIDDEN;
    refused.response.made_by = MadeBy::Plugin;
    let (_, text) = told(config, vec![served(), served(), refused]);
    let line = |code: u16, source, count: u64| {
        format!(
            "kong_http_requests_total{{service=\"s\\\"1\",route=\"{ROUTE}\",code=\"{code}\",source=\"{source}\",workspace=\"default\",consumer=\"alice\"}} {count}\n"
        )
    };
    assert!(text.contains("# TYPE kong_http_requests_total counter\n"));
    assert!(text.contains(&line(200, "service", 2)), "{text}");
    assert!(text.contains(&line(403, "kong", 1)), "{text}");
    assert!(!text.contains("kong_bandwidth_bytes"));
    assert!(text.contains("kong_nginx_metric_errors_total 0\n"));
}

#[test]
fn bytes_and_times_are_counted() {
    let config = json!({"bandwidth_metrics": true, "latency_metrics": true});
    let (_, text) = told(config, vec![served()]);
    let place = format!("service=\"s\\\"1\",route=\"{ROUTE}\"");
    for line in [
        format!(
            "kong_bandwidth_bytes{{{place},direction=\"ingress\",workspace=\"default\",consumer=\"\"}} 37"
        ),
        format!(
            "kong_bandwidth_bytes{{{place},direction=\"egress\",workspace=\"default\",consumer=\"\"}} 19"
        ),
        format!("kong_kong_latency_ms_bucket{{{place},workspace=\"default\",le=\"1\"}} 0"),
        format!("kong_kong_latency_ms_bucket{{{place},workspace=\"default\",le=\"2\"}} 1"),
        format!("kong_upstream_latency_ms_bucket{{{place},workspace=\"default\",le=\"25\"}} 1"),
        format!("kong_request_latency_ms_bucket{{{place},workspace=\"default\",le=\"60000\"}} 1"),
        format!("kong_request_latency_ms_bucket{{{place},workspace=\"default\",le=\"+Inf\"}} 1"),
        format!("kong_request_latency_ms_sum{{{place},workspace=\"default\"}} 12.5"),
        format!("kong_request_latency_ms_count{{{place},workspace=\"default\"}} 1"),
    ] {
        assert!(
            text.contains(&format!("{line}\n")),
            "{line} is not in\n{text}"
        );
    }
}

#[test]
fn what_matched_no_route_is_not_counted() {
    let config = json!({"status_code_metrics": true});
    let (_, text) = told(config, vec![exchange("GET", "/a")]);
    assert!(!text.contains("kong_http_requests_total"));
}

#[test]
fn nothing_is_told_without_the_plugin() {
    let registry = registry();
    assert_eq!(registry.metrics(), "");
    let config = json!({"upstream_health_metrics": true});
    let Value::Object(config) = config else {
        unreachable!();
    };
    let compiled = registry.compile(&plugin("prometheus", config), &std::sync::Arc::default());
    assert!(registry.tells_health());
    drop(compiled);
    assert!(!registry.tells_health());
    assert_eq!(registry.metrics(), "");
}

#[test]
fn settings_are_completed() {
    let config = validated("prometheus", json!({})).unwrap();
    let expected = json!({
        "per_consumer": false, "status_code_metrics": false, "ai_metrics": false,
        "latency_metrics": false, "bandwidth_metrics": false, "upstream_health_metrics": false,
    });
    assert_eq!(config, expected);
}
