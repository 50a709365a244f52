use std::net::UdpSocket;
use std::time::Duration;

use keelgate_entities::kinds::{Consumer, Service};
use serde_json::json;

use crate::testing::*;

#[test]
fn every_metric_is_a_datagram_with_tags() {
    let agent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let config = json!({"host": "127.0.0.1", "port": agent.local_addr().unwrap().port()});
    let plugin = compiled("datadog", config);
    let mut exchange = exchange("GET", "/a");
    exchange.service = Some(leaked::<Service>(json!({
        "id": "00000000-0000-4000-8000-000000000001", "name": null, "protocol": "http",
        "host": "h.test", "port": 80,
    })));
    exchange.consumer = Some(leaked::<Consumer>(json!({
        "id": "00000000-0000-4000-8000-000000000003", "custom_id": "c-1",
    })));
    exchange.outcome.took = Duration::from_millis(12);
    exchange.outcome.before_upstream = Some(Duration::from_millis(2));
    exchange.times.upstream = Some(Duration::from_millis(9));
    plugin.log(&mut exchange);
    for metric in [
        "request.count:1|c",
        "latency:12|ms",
        "request.size:37|ms",
        "response.size:19|ms",
        "upstream_latency:9|ms",
        "kong_latency:2|ms",
    ] {
        let mut datagram = [0; 512];
        let length = agent.recv(&mut datagram).unwrap();
        let told = std::str::from_utf8(&datagram[..length]).unwrap();
        let tags = "name:h_test,status:200,consumer:c-1,app:kong";
        assert_eq!(told, format!("kong.{metric}|#{tags}"));
    }
}

#[test]
fn tags_and_rates_are_as_configured() {
    let agent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let metrics = json!([
        // Not known of a request that was not proxied.
        {"name": "upstream_latency", "stat_type": "timer"},
        {"name": "request_count", "stat_type": "distribution", "sample_rate": 0.25,
         "tags": ["a:b", "c"], "consumer_identifier": "consumer_id"},
    ]);
    let config = json!({
        "host": "127.0.0.1", "port": agent.local_addr().unwrap().port(), "metrics": metrics,
        "prefix": "p", "service_name_tag": "svc", "status_tag": "code", "consumer_tag": "who",
    });
    let plugin = compiled("datadog", config);
    let mut exchange = exchange("GET", "/a");
    exchange.consumer = Some(leaked::<Consumer>(json!({
        "id": "00000000-0000-4000-8000-000000000003",
    })));
    plugin.log(&mut exchange);
    let mut datagram = [0; 512];
    let length = agent.recv(&mut datagram).unwrap();
    let told = std::str::from_utf8(&datagram[..length]).unwrap();
    let who = "who:00000000_0000_4000_8000_000000000003";
    assert_eq!(
        told,
        format!("p.request.count:1|d|@0.25|#svc:,code:200,{who},a:b,c")
    );
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("datadog", json!({})).unwrap();
    assert_eq!(config["host"], "localhost");
    assert_eq!(config["metrics"][0]["sample_rate"], 1);
    assert_eq!(config["metrics"][5]["name"], "kong_latency");
    compiled("datadog", config);
    let odd = json!({"metrics": [{"name": "latency", "stat_type": "timer", "tags": ["a:"]}]});
    validated("datadog", odd).unwrap_err();
}

#[test]
fn sessions_have_no_status() {
    let agent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let config = json!({"host": "127.0.0.1", "port": agent.local_addr().unwrap().port()});
    let plugin = compiled("datadog", config);
    plugin.stream().unwrap().log(&ended());
    let mut datagram = [0; 512];
    let length = agent.recv(&mut datagram).unwrap();
    let told = std::str::from_utf8(&datagram[..length]).unwrap();
    assert_eq!(told, "kong.request.count:1|c|#name:s,status:-,app:kong");
}
