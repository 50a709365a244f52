//! The metrics as Prometheus reads them, and their documentation.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keelgate_telemetry::metrics::{
    ClusterFacts, Facts, Position, SourceFacts, StorageFacts, StreamFacts, TargetFacts,
    TrafficFacts, metrics, reference, render,
};
use openmetrics_parser::prometheus::parse_prometheus;
use openmetrics_parser::{PrometheusType, PrometheusValue};

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Facts of which every one is known.
fn everything() -> Facts {
    let position = Position {
        epoch: 2,
        revision: 42,
    };
    Facts {
        now: at(1_700_000_100),
        version: "0.1.0".to_owned(),
        node_id: "5f6c5a26-6d3f-4f0a-9d8f-5b1b0f6f9a10".to_owned(),
        kong_version: "3.9.1".to_owned(),
        datastore_reachable: true,
        role: "data_plane".to_owned(),
        source: SourceFacts {
            serving: Some("storage".to_owned()),
            position: Some(position),
            created_at: Some(at(1_700_000_000)),
            since: Some(at(1_700_000_050)),
            quarantined: 1,
            state: Some("fallback".to_owned()),
            state_since: Some(at(1_700_000_040)),
            potentially_stale: Some(true),
            stale: Some(false),
            last_error: Some(("refused".to_owned(), at(1_700_000_030))),
        },
        storages: vec![StorageFacts {
            storage: "s3://bucket/a \"quoted\" \\ prefix".to_owned(),
            state: "stored".to_owned(),
            leading: true,
            leader: Some("5f6c5a26-6d3f-4f0a-9d8f-5b1b0f6f9a10".to_owned()),
            leading_since: Some(at(1_700_000_010)),
            fencing: Some("none".to_owned()),
            last_attempt: Some(at(1_700_000_090)),
            last_success: Some(at(1_700_000_091)),
            latency: Some(Duration::from_millis(250)),
            bytes: Some(6_000_000),
            stored: Some(position),
            wanted: Some(position),
            failures: [("timeout".to_owned(), 3)].into(),
        }],
        cluster: ClusterFacts {
            control_plane_connected: Some(false),
            data_planes: Some(7),
        },
        targets: vec![TargetFacts {
            upstream: "orders".to_owned(),
            target: "a.test:80".to_owned(),
            address: "10.0.0.1:80".to_owned(),
            state: "unhealthy".to_owned(),
        }],
        kong_target_health: true,
        traffic: Some(TrafficFacts {
            accepted: 9,
            handled: 9,
            active: 3,
            reading: 1,
            writing: 1,
            waiting: 1,
            requests: 21,
            full: 1,
            lines_dropped: 2,
            records_dropped: 3,
        }),
        streams: vec![StreamFacts {
            protocol: "tls".to_owned(),
            open: 2,
            sessions: [(200, 5), (502, 1)].into(),
            sent: 1000,
            received: 300,
        }],
    }
}

/// Facts of a node that has just begun.
fn nothing() -> Facts {
    Facts {
        now: at(1_700_000_000),
        version: "0.1.0".to_owned(),
        node_id: "5f6c5a26-6d3f-4f0a-9d8f-5b1b0f6f9a10".to_owned(),
        kong_version: "3.9.1".to_owned(),
        datastore_reachable: true,
        role: "traditional".to_owned(),
        source: SourceFacts::default(),
        storages: Vec::new(),
        cluster: ClusterFacts::default(),
        targets: Vec::new(),
        kong_target_health: false,
        traffic: None,
        streams: Vec::new(),
    }
}

#[test]
fn a_parser_of_prometheus_finds_every_metric_with_its_type_labels_and_help() {
    let text = render(&everything());
    let exposition = parse_prometheus(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(exposition.families.len(), metrics().len());
    for metric in metrics() {
        let family = &exposition.families[metric.name];
        assert_eq!(family.help, metric.help);
        let expected = match metric.kind.as_str() {
            "counter" => PrometheusType::Counter,
            _ => PrometheusType::Gauge,
        };
        assert_eq!(family.family_type, expected, "{}", metric.name);
        let names: BTreeSet<&str> = family
            .get_label_names()
            .iter()
            .map(String::as_str)
            .collect();
        let labels: BTreeSet<&str> = metric.labels.iter().copied().collect();
        assert_eq!(names, labels, "{}", metric.name);
        for sample in family.iter_samples() {
            let finite = match &sample.value {
                PrometheusValue::Counter(counter) => counter.value.as_f64().is_finite(),
                PrometheusValue::Gauge(number) => number.as_f64().is_finite(),
                _ => false,
            };
            assert!(finite, "{}: {sample:?}", metric.name);
        }
    }
}

#[test]
fn numbers_are_those_of_the_facts() {
    let text = render(&everything());
    let storage = "storage=\"s3://bucket/a \\\"quoted\\\" \\\\ prefix\"";
    for line in [
        "keelgate_node_info{version=\"0.1.0\",role=\"data_plane\"} 1".to_owned(),
        "keelgate_source_serving{source=\"storage\"} 1".to_owned(),
        "keelgate_source_serving{source=\"cache\"} 0".to_owned(),
        "keelgate_source_revision 42".to_owned(),
        "keelgate_source_age_seconds 100".to_owned(),
        "keelgate_source_state{state=\"fallback\"} 1".to_owned(),
        "keelgate_source_stale 0".to_owned(),
        "keelgate_source_last_error_seconds{kind=\"refused\"} 1700000030".to_owned(),
        format!("keelgate_fallback_elected{{{storage}}} 1"),
        format!("keelgate_fallback_fencing{{{storage},mode=\"none\"}} 1"),
        format!("keelgate_fallback_fencing{{{storage},mode=\"compare\"}} 0"),
        format!("keelgate_fallback_age_seconds{{{storage}}} 9"),
        format!("keelgate_fallback_latency_seconds{{{storage}}} 0.25"),
        format!("keelgate_fallback_failures_total{{{storage},kind=\"timeout\"}} 3"),
        "keelgate_stream_sessions_open{protocol=\"tls\"} 2".to_owned(),
        "keelgate_stream_sessions_total{protocol=\"tls\",code=\"502\"} 1".to_owned(),
        "keelgate_stream_bytes_total{protocol=\"tls\",direction=\"ingress\"} 300".to_owned(),
        "keelgate_stream_bytes_total{protocol=\"tls\",direction=\"egress\"} 1000".to_owned(),
        "keelgate_cluster_control_plane_connected 0".to_owned(),
        "keelgate_cluster_data_planes 7".to_owned(),
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}

#[test]
fn what_is_not_known_is_left_out() {
    let text = render(&nothing());
    parse_prometheus(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    for name in [
        "keelgate_source_revision",
        "keelgate_source_age_seconds",
        "keelgate_source_stale",
        "keelgate_fallback",
        "keelgate_cluster",
    ] {
        assert!(!text.contains(name), "{name} is in\n{text}");
    }
    let serving = "keelgate_source_serving{source=\"none\"} 1";
    assert!(text.lines().any(|line| line == serving), "{text}");
}

#[test]
fn the_documentation_has_every_metric_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written.contains(&reference()),
        "run `cargo xtask reference` to write the table in docs/metrics.md anew"
    );
}
