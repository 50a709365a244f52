//! The balancer as a whole.

mod carry;
mod flapping;
mod health;
mod pick;
mod resolve;

use std::borrow::Cow;
use std::time::Duration;

use keelgate_entities::Reference;
use keelgate_entities::kinds::{Algorithm, HashOn, HealthChecks, Target, Upstream};
use uuid::Uuid;

use crate::{Balancer, Endpoint, HashSource, Host, PeerIndex, Pick, Record, Resolution};

fn upstream(algorithm: Algorithm) -> Upstream {
    Upstream {
        id: Uuid::from_u128(1),
        name: "orders".into(),
        algorithm,
        hash_on: HashOn::None,
        hash_fallback: HashOn::None,
        hash_on_header: None,
        hash_fallback_header: None,
        hash_on_cookie: None,
        hash_on_cookie_path: None,
        hash_on_query_arg: None,
        hash_fallback_query_arg: None,
        hash_on_uri_capture: None,
        hash_fallback_uri_capture: None,
        slots: 1000,
        host_header: None,
        client_certificate: None,
        use_srv_name: false,
        healthchecks: HealthChecks::default(),
        tags: None,
    }
}

/// Checked: two failures of a kind take a target out, two successes bring it back.
fn checked(algorithm: Algorithm) -> Upstream {
    let mut upstream = upstream(algorithm);
    let checks = &mut upstream.healthchecks;
    checks.passive.healthy.http_statuses = vec![200, 404];
    checks.passive.healthy.successes = 2;
    checks.passive.unhealthy.http_statuses = vec![500, 503];
    checks.passive.unhealthy.http_failures = 2;
    checks.passive.unhealthy.tcp_failures = 2;
    checks.passive.unhealthy.timeouts = 2;
    upstream
}

fn targets(list: &[(&str, u32)]) -> Vec<Target> {
    list.iter()
        .enumerate()
        .map(|(n, (target, weight))| Target {
            id: Uuid::from_u128(n as u128),
            upstream: Reference(Uuid::from_u128(1)),
            target: target.to_string(),
            weight: *weight,
            tags: None,
        })
        .collect()
}

fn three(upstream: &Upstream) -> Balancer {
    let targets = targets(&[("a.test:80", 100), ("b.test:80", 100), ("c.test:80", 100)]);
    known(Balancer::compile(upstream, &targets).unwrap())
}

/// With an address for each name: the first letter tells which.
fn known(balancer: Balancer) -> Balancer {
    let answers: Vec<_> = balancer
        .targets()
        .filter(|target| *target.resolution == Resolution::Pending)
        .filter_map(|target| match &target.address.host {
            Host::Name(name) => Some((target.index, found(&[[10, 0, 0, name.as_bytes()[0]]]))),
            Host::Ip(_) => None,
        })
        .collect();
    balancer.resolved(&answers)
}

fn found(addresses: &[[u8; 4]]) -> Resolution {
    let endpoints = addresses.iter().map(|&address| Endpoint {
        ip: address.into(),
        port: None,
        weight: None,
        name: None,
    });
    Resolution::Found {
        record: Record::A,
        endpoints: endpoints.collect(),
    }
}

/// The name of the target picked.
fn pick(
    balancer: &Balancer,
    hash: Option<u64>,
    tried: &[PeerIndex],
    random: u64,
) -> Option<String> {
    let picked = balancer.pick(&Pick {
        hash,
        tried,
        random,
        now: Duration::from_secs(1),
    })?;
    Some(balancer.peer(picked)?.target_address.to_string())
}

/// The first peer of the target of this name.
fn index(balancer: &Balancer, name: &str) -> PeerIndex {
    let mut peers = balancer.peers();
    peers
        .find(|peer| peer.target_address.to_string() == name)
        .unwrap()
        .index
}

const ALGORITHMS: [Algorithm; 4] = [
    Algorithm::RoundRobin,
    Algorithm::ConsistentHashing,
    Algorithm::LeastConnections,
    Algorithm::Latency,
];

/// A request with a header `tenant`.
struct Tenant(Option<&'static str>);

impl HashSource for Tenant {
    fn consumer(&self) -> Option<Cow<'_, str>> {
        None
    }
    fn ip(&self) -> Option<Cow<'_, str>> {
        Some("10.0.0.1".into())
    }
    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.filter(|_| name == "tenant").map(Cow::from)
    }
    fn cookie(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
    fn path(&self) -> Option<Cow<'_, str>> {
        Some("/".into())
    }
    fn query_arg(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
    fn uri_capture(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}
