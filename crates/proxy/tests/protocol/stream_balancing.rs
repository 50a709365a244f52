//! Sessions whose service names an upstream.

use std::net::SocketAddr;

use keelgate_proxy::Transport;
use serde_json::{Value, json};

use crate::stream::{Streams, named, routed};
use crate::support::{SERVICE, nobody};

const UPSTREAM: &str = "00000000-0000-4000-8000-000000000031";

fn balanced(targets: &[SocketAddr], retries: u32, upstream: Value) -> Value {
    let mut config = routed(
        &["tcp"],
        json!({
            "id": SERVICE, "protocol": "tcp", "host": "pool", "port": 80, "retries": retries,
        }),
    );
    let mut entity = json!({"id": UPSTREAM, "name": "pool"});
    entity
        .as_object_mut()
        .unwrap()
        .extend(upstream.as_object().unwrap().clone());
    config["upstreams"] = json!([entity]);
    config["targets"] = (40..)
        .zip(targets)
        .map(|(n, address)| {
            json!({
                "id": format!("00000000-0000-4000-8000-0000000000{n:02}"),
                "upstream": {"id": UPSTREAM}, "target": address.to_string(),
            })
        })
        .collect();
    config
}

fn greeting(streams: &Streams) -> Option<Vec<u8>> {
    streams.connect().exactly(1)
}

#[test]
fn sessions_take_turns_and_pass_over_a_dead_target() {
    let live = [named("a"), named("b")];
    let streams = Streams::start(balanced(&live, 5, json!({})), Transport::Tcp);
    let mut greetings: Vec<_> = (0..4).filter_map(|_| greeting(&streams)).collect();
    greetings.sort();
    assert_eq!(greetings, [b"a", b"a", b"b", b"b"]);

    let half = [nobody(), live[1]];
    streams.gateway.swap(balanced(&half, 5, json!({})));
    for _ in 0..6 {
        assert_eq!(greeting(&streams).as_deref(), Some(&b"b"[..]));
    }
}

#[test]
fn failed_connections_take_a_target_out() {
    let targets = [nobody(), named("b")];
    let checks = json!({"healthchecks": {"passive": {
        "type": "tcp", "unhealthy": {"tcp_failures": 1},
    }}});
    let streams = Streams::start(balanced(&targets, 0, checks), Transport::Tcp);
    let greetings: Vec<_> = (0..8).map(|_| greeting(&streams)).collect();
    // Without retries the dead target fails the one session that finds it so.
    let failed = greetings.iter().filter(|greeting| greeting.is_none());
    assert_eq!(failed.count(), 1, "{greetings:?}");
    let refused = (0..8).map(|_| streams.record().status);
    assert_eq!(refused.filter(|status| *status == 502).count(), 1);
}

#[test]
fn a_service_that_cannot_be_reached_ends_the_session() {
    let streams = Streams::start(balanced(&[nobody()], 2, json!({})), Transport::Tcp);
    assert_eq!(greeting(&streams), None);
    assert_eq!(streams.record().status, 502);
    streams.gateway.swap(balanced(&[], 2, json!({})));
    assert_eq!(greeting(&streams), None);
    assert_eq!(streams.record().status, 503);
}

#[test]
fn hashing_keeps_a_client_at_its_target() {
    let targets = [named("a"), named("b"), named("c"), named("d")];
    let upstream = json!({"algorithm": "consistent-hashing", "hash_on": "ip"});
    let streams = Streams::start(balanced(&targets, 5, upstream), Transport::Tcp);
    let first = greeting(&streams).unwrap();
    assert!((0..8).all(|_| greeting(&streams).as_ref() == Some(&first)));
}
