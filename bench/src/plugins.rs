//! What each plugin adds to a request: Keelgate with the plugin against Keelgate without, in turns.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::identity::Identity;
use crate::policy::Policy;
use crate::proxy::{Bench, Figures, Scenario};
use crate::table::{self, median};
use crate::{peers, upstream};

/// Measures every plugin and prints the table.
pub(crate) fn run(keelgate: &Path, quick: bool) -> anyhow::Result<()> {
    let (rounds, seconds) = if quick { (3, 1) } else { (7, 2) };
    let directory = tempfile::tempdir()?;
    let identity = Identity::make(directory.path())?;
    let bench = Bench {
        directory: directory.path(),
        upstream: upstream::start()?,
        identity: &identity,
        duration: Duration::from_secs(seconds),
    };
    let peer = peers::keelgate(keelgate);
    let plain = scenario("none", Policy::plain(1))?;
    let mut rows = Vec::new();
    for (name, policy) in policies() {
        let plugged = scenario(name, policy)?;
        let (mut with, mut without) = (Figures::default(), Figures::default());
        for _ in 0..rounds {
            bench.measure(&peer, &plain, &mut without)?;
            bench.measure(&peer, &plugged, &mut with)?;
        }
        let added: Vec<f64> = with
            .cpu
            .iter()
            .zip(&without.cpu)
            .map(|(with, without)| with - without)
            .collect();
        rows.push(vec![
            name.to_owned(),
            format!("{:.1}", median(&without.cpu)),
            format!("{:.1}", median(&with.cpu)),
            format!("{:.2}", median(&added)),
        ]);
    }
    let header = ["plugin", "without, us", "with, us", "added, us"];
    let title = format!("CPU per request, GET 1 KiB; median of {rounds} pairs of {seconds} s");
    table::print(&title, &header, &rows);
    Ok(())
}

fn scenario(name: &str, policy: Policy) -> anyhow::Result<Scenario> {
    Ok(Scenario::new(name, policy.requests()?, policy))
}

/// Each plugin with work to do in every request. The last two know the consumer from `key-auth`.
fn policies() -> Vec<(&'static str, Policy)> {
    let alone = |name, config| (name, Policy::plain(1).with(name, &config));
    let known = |name, config| {
        let policy = Policy::plain(1).with("key-auth", &json!({}));
        policy.with(name, &config).for_consumers(1)
    };
    vec![
        ("rate-limiting", Policy::plain(1).with_rate_limiting()),
        (
            "key-auth",
            Policy::plain(1)
                .with("key-auth", &json!({}))
                .for_consumers(1),
        ),
        (
            "basic-auth",
            Policy::plain(1)
                .with("basic-auth", &json!({}))
                .for_consumers(1),
        ),
        alone("cors", json!({"origins": ["https://example.com"]})),
        alone(
            "correlation-id",
            json!({"header_name": "X-Correlation", "generator": "uuid"}),
        ),
        alone("ip-restriction", json!({"allow": ["127.0.0.0/8"]})),
        alone("request-size-limiting", json!({"allowed_payload_size": 8})),
        alone(
            "request-transformer",
            json!({"add": {"headers": ["x-added:1"]}}),
        ),
        alone(
            "response-transformer",
            json!({"add": {"headers": ["x-added:1"]}}),
        ),
        alone("file-log", json!({"path": "/dev/null"})),
        alone("udp-log", json!({"host": "127.0.0.1", "port": 9})),
        alone(
            "statsd",
            json!({"host": "127.0.0.1", "port": 9, "udp_packet_size": 1400}),
        ),
        alone(
            "prometheus",
            json!({
                "status_code_metrics": true, "latency_metrics": true, "bandwidth_metrics": true,
                "per_consumer": true,
            }),
        ),
        alone(
            "zipkin",
            json!({"http_endpoint": "http://127.0.0.1:9/", "sample_ratio": 0.001}),
        ),
        alone(
            "opentelemetry",
            json!({"traces_endpoint": "http://127.0.0.1:9/", "sampling_rate": 0.01}),
        ),
        ("key-auth, acl", known("acl", json!({"allow": ["all"]}))),
        (
            "key-auth, rate-limiting",
            known(
                "rate-limiting",
                json!({"minute": 100_000_000, "policy": "local"}),
            ),
        ),
    ]
}
