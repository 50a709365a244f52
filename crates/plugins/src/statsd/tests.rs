use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use keelgate_entities::kinds::{Consumer, Route, Service};
use serde_json::{Value, json};

use crate::Exchange;
use crate::testing::*;

/// A request of a consumer for a service, which took 12 ms.
fn served<'r>() -> Exchange<'r> {
    let mut exchange = exchange("GET", "/a");
    exchange.service = Some(leaked::<Service>(json!({
        "id": "00000000-0000-4000-8000-000000000001", "name": "a.b", "protocol": "http",
        "host": "h.test", "port": 80,
    })));
    exchange.route = Some(leaked::<Route>(json!({
        "id": "00000000-0000-4000-8000-000000000002", "name": "r", "protocols": ["http"],
    })));
    exchange.consumer = Some(leaked::<Consumer>(json!({
        "id": "00000000-0000-4000-8000-000000000003", "username": "alice", "custom_id": "c-1",
    })));
    exchange.outcome.took = Duration::from_millis(12);
    exchange.outcome.before_upstream = Some(Duration::from_millis(2));
    exchange.times.upstream = Some(Duration::from_millis(9));
    exchange
}

/// The datagrams that requests with these settings cause, as many as told.
fn datagrams(mut config: Value, exchanges: Vec<Exchange<'static>>, count: usize) -> Vec<String> {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    config["host"] = json!("127.0.0.1");
    config["port"] = json!(receiver.local_addr().unwrap().port());
    let plugin = compiled("statsd", config);
    for mut exchange in exchanges {
        plugin.log(&mut exchange);
    }
    let receive = |_| {
        let mut datagram = vec![0; 65_536];
        let length = receiver.recv(&mut datagram).unwrap();
        String::from_utf8(datagram[..length].to_vec()).unwrap()
    };
    (0..count).map(receive).collect()
}

#[test]
fn names_tell_service_and_consumer() {
    let expected = [
        "kong.service.a_b.request.count:1|c",
        "kong.service.a_b.latency:12|ms",
        "kong.service.a_b.request.size:37|c",
        "kong.service.a_b.status.200:1|c",
        "kong.service.a_b.response.size:19|c",
        "kong.service.a_b.user.uniques:c-1|s",
        "kong.service.a_b.user.c-1.request.count:1|c",
        "kong.service.a_b.upstream_latency:9|ms",
        "kong.service.a_b.kong_latency:2|ms",
        "kong.service.a_b.user.c-1.status.200:1|c",
        "kong.service.a_b.workspace.0dc6f45b-8f8d-40d2-a504-473544ee190b.status.200:1|c",
        "kong.route.00000000-0000-4000-8000-000000000002.user.c-1.status.200:1|c",
    ];
    assert_eq!(datagrams(json!({}), vec![served()], 12), expected);
}

#[test]
fn what_is_not_known_is_not_told() {
    let metrics = json!([
        {"name": "upstream_latency", "stat_type": "timer"},
        {"name": "unique_users", "stat_type": "set"},
        {"name": "request_count", "stat_type": "counter", "sample_rate": 0.5},
    ]);
    let config = json!({"metrics": metrics, "prefix": "p", "hostname_in_prefix": true});
    let told = datagrams(config, vec![exchange("GET", "/a")], 1);
    assert_eq!(
        told,
        ["p.node.node_test.global.unmatched.request.count:1|c|@0.5"]
    );
}

#[test]
fn every_style_of_tags_is_known() {
    let tags = |between| {
        let tags = [
            ("service", "a.b"),
            ("route", "r"),
            ("workspace", "default"),
            ("consumer", "alice"),
            ("node", "node_test"),
            ("status", "200"),
        ];
        tags.map(|(name, value)| format!("{name}{between}{value}"))
            .join(",")
    };
    for (style, expected) in [
        (
            "dogstatsd",
            format!("kong.request.count:1|c|#{}", tags(':')),
        ),
        ("influxdb", format!("kong.request.count,{}:1|c", tags('='))),
        ("librato", format!("kong.request.count#{}:1|c", tags('='))),
        ("signalfx", format!("kong.request.count[{}]:1|c", tags('='))),
    ] {
        let metrics = json!([
            {"name": "status_count", "stat_type": "counter", "sample_rate": 1},
            {"name": "request_count", "stat_type": "counter", "sample_rate": 1,
             "consumer_identifier": "username", "workspace_identifier": "workspace_name"},
        ]);
        let config = json!({"metrics": metrics, "tag_style": style});
        assert_eq!(datagrams(config, vec![served()], 1), [expected]);
    }
}

#[test]
fn metrics_are_put_together_where_that_is_wanted() {
    let config = json!({"udp_packet_size": 1400, "allow_status_codes": ["200-299"]});
    let mut failed = served();
    failed.response.status = http::StatusCode::NOT_FOUND;
    let told = datagrams(config, vec![failed, served()], 1);
    assert_eq!(told[0].split('\n').count(), 12);
    assert!(told[0].contains("status.200"), "{}", told[0]);
}

#[test]
fn metrics_are_lines_over_tcp() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let config = json!({"host": "127.0.0.1", "port": port, "use_tcp": true});
    let plugin = compiled("statsd", config);
    plugin.log(&mut served());
    let (connection, _) = server.accept().unwrap();
    let lines: Vec<_> = BufReader::new(connection).lines().take(12).collect();
    assert_eq!(
        lines[0].as_ref().unwrap(),
        "kong.service.a_b.request.count:1|c"
    );
    assert_eq!(lines.len(), 12);
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("statsd", json!({})).unwrap();
    assert_eq!(config["host"], "localhost");
    assert_eq!(config["metrics"].as_array().unwrap().len(), 13);
    assert_eq!(config["consumer_identifier_default"], "custom_id");
    assert_eq!(config["tag_style"], Value::Null);
    compiled("statsd", config);
    let odd = json!({"metrics": [{"name": "request_count", "stat_type": "counter"}]});
    let error = validated("statsd", odd).unwrap_err();
    let expected = json!([{
        "@entity": ["failed conditional validation given value of field 'stat_type'"],
        "sample_rate": "required field missing",
    }]);
    assert_eq!(error["fields"]["config"]["metrics"], expected);
}

#[test]
fn sessions_are_counted_like_requests() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = receiver.local_addr().unwrap().port();
    let config = json!({"host": "127.0.0.1", "port": port, "udp_packet_size": 1400});
    let plugin = compiled("statsd", config);
    plugin.stream().unwrap().log(&ended());
    let mut datagram = vec![0; 65_536];
    let length = receiver.recv(&mut datagram).unwrap();
    let told = std::str::from_utf8(&datagram[..length]).unwrap();
    let expected = [
        "kong.service.s.request.count:1|c",
        "kong.service.s.latency:1500|ms",
        "kong.service.s.request.size:5|c",
        "kong.service.s.status.200:1|c",
        "kong.service.s.response.size:7|c",
        "kong.service.s.kong_latency:2|ms",
        "kong.service.s.workspace.0dc6f45b-8f8d-40d2-a504-473544ee190b.status.200:1|c",
    ];
    assert_eq!(told.split('\n').collect::<Vec<_>>(), expected);
}
