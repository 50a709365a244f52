//! Services whose host names an upstream.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::{Gateway, SERVICE, nobody, upstream, with_service};

const UPSTREAM: &str = "00000000-0000-4000-8000-000000000031";

pub(crate) fn balanced(targets: &[SocketAddr], extra: Value) -> Value {
    let mut config = with_service(json!({
        "id": SERVICE, "protocol": "http", "host": "pool", "port": 80,
    }));
    let mut entity = json!({"id": UPSTREAM, "name": "pool"});
    entity
        .as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    config["upstreams"] = json!([entity]);
    config["targets"] = targets
        .iter()
        .enumerate()
        .map(|(n, address)| {
            json!({
                "id": format!("00000000-0000-4000-8000-0000000000{:02}", 40 + n),
                "upstream": {"id": UPSTREAM}, "target": address.to_string(),
            })
        })
        .collect();
    config
}

fn named(name: &'static str) -> SocketAddr {
    upstream(move |mut client, _| {
        while client.request().is_some() {
            client.send(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}",
                name.len()
            ));
        }
    })
    .0
}

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn targets_take_turns() {
    let gateway = Gateway::start(balanced(&[named("a"), named("b")], json!({})));
    let mut answers: Vec<String> = (0..4).map(|_| gateway.ask(GET).text()).collect();
    answers.sort();
    assert_eq!(answers, ["a", "a", "b", "b"]);
}

#[test]
fn a_dead_target_is_passed_over_within_the_request() {
    let gateway = Gateway::start(balanced(&[nobody(), named("b")], json!({})));
    for _ in 0..6 {
        assert_eq!(gateway.ask(GET).text(), "b");
    }
}

#[test]
fn a_target_without_address_is_passed_over() {
    let mut config = balanced(&[nobody(), named("b")], json!({}));
    config["targets"][0]["target"] = "nowhere.invalid:80".into();
    let gateway = Gateway::with(
        config,
        |settings| settings.dns.servers = vec![nobody()],
        |_| None,
    );
    for _ in 0..3 {
        assert_eq!(gateway.ask(GET).text(), "b");
    }
}

#[test]
fn passive_checks_take_a_target_out_until_none_is_left() {
    let checks = json!({"healthchecks": {"passive": {"unhealthy": {"tcp_failures": 1}}}});
    let gateway = Gateway::start(balanced(&[nobody()], checks));
    assert_eq!(gateway.ask(GET).status, 503);
    let response = gateway.ask(GET);
    assert_eq!(response.status, 503);
    assert!(
        response
            .text()
            .contains("failure to get a peer from the ring-balancer")
    );
}
