//! What is told of a node, and that all tell the same.

use std::collections::BTreeMap;

use keelgate_fallback::{Fencing, PublisherState, Success, Trouble};
use keelgate_source::{Serving, State};

use super::*;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn identity(revision: u64) -> Identity {
    let json = json!({
        "cluster_id": Uuid::nil(),
        "epoch": 3,
        "revision": revision,
        "sha256": "0".repeat(64),
    });
    serde_json::from_value(json).unwrap()
}

fn trouble(kind: &'static str) -> Trouble {
    Trouble {
        kind,
        message: "told in words".to_owned(),
        at: at(1_700_000_030),
    }
}

/// A data plane that serves from a storage and backs up to another.
fn reports() -> Reports {
    let report = Report {
        state: State::Fallback,
        state_since: at(1_700_000_010),
        serving: Some(Serving {
            source: "storage",
            origin: "s3://b/p".to_owned(),
            identity: identity(41),
            config_hash: "0".repeat(32),
            created_at: at(1_700_000_000),
            since: at(1_700_000_011),
        }),
        potentially_stale: true,
        stale: true,
        control_plane: None,
        first_served_after_ms: Some(80),
        last_error: Some(trouble("refused")),
        tried: Vec::new(),
        quarantined: vec![identity(40)],
    };
    let status = PublisherStatus {
        storage: "file:///srv/a".to_owned(),
        state: PublisherState::Stored,
        leading: true,
        leading_since: Some(at(1_700_000_012)),
        fencing: Some(Fencing::None),
        leader: Some(Uuid::nil()),
        stored: Some(identity(41)),
        wanted: Some(identity(42)),
        bytes: Some(2048),
        last_attempt: Some(at(1_700_000_013)),
        latency_ms: Some(125),
        last_success: Some(Success {
            identity: identity(41),
            at: at(1_700_000_014),
            bytes: 2048,
        }),
        last_error: Some(trouble("timeout")),
        failures: BTreeMap::from([("timeout", 2)]),
    };
    let reports = Reports::new(Uuid::nil(), "data_plane", watch::channel(None).1);
    reports.add_choice(watch::channel(report).1);
    reports.add_backups(vec![watch::channel(status).1]);
    reports
}

/// The number of a metric, by the beginning of its line.
fn number(text: &str, start: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(start));
    let line = line.unwrap_or_else(|| panic!("no {start} in\n{text}"));
    line.trim().parse().unwrap()
}

#[test]
fn status_report_and_metrics_tell_the_same() {
    let reports = reports();
    let (json, text) = (reports.json(), reports.text(true));
    let (source, backup) = (&json["source"], &json["fallback"][0]);
    for (start, value) in [
        (
            "keelgate_source_revision",
            &source["serving"]["identity"]["revision"],
        ),
        (
            "keelgate_source_epoch",
            &source["serving"]["identity"]["epoch"],
        ),
        (
            "keelgate_source_created_at_seconds",
            &source["serving"]["created_at"],
        ),
        (
            "keelgate_source_served_since_seconds",
            &source["serving"]["since"],
        ),
        (
            "keelgate_source_state_since_seconds",
            &source["state_since"],
        ),
        (
            "keelgate_source_last_error_seconds{kind=\"refused\"}",
            &source["last_error"]["at"],
        ),
        (
            "keelgate_fallback_leading_since_seconds{storage=\"file:///srv/a\"}",
            &backup["leading_since"],
        ),
        (
            "keelgate_fallback_last_attempt_seconds{storage=\"file:///srv/a\"}",
            &backup["last_attempt"],
        ),
        (
            "keelgate_fallback_last_success_seconds{storage=\"file:///srv/a\"}",
            &backup["last_success"]["at"],
        ),
        (
            "keelgate_fallback_size_bytes{storage=\"file:///srv/a\"}",
            &backup["bytes"],
        ),
        (
            "keelgate_fallback_stored_revision{storage=\"file:///srv/a\"}",
            &backup["stored"]["revision"],
        ),
        (
            "keelgate_fallback_wanted_revision{storage=\"file:///srv/a\"}",
            &backup["wanted"]["revision"],
        ),
        (
            "keelgate_fallback_failures_total{storage=\"file:///srv/a\",kind=\"timeout\"}",
            &backup["failures"]["timeout"],
        ),
    ] {
        assert_eq!(Some(number(&text, start)), value.as_f64(), "{start}");
    }
    assert_eq!(
        number(
            &text,
            "keelgate_fallback_latency_seconds{storage=\"file:///srv/a\"}"
        ),
        0.125
    );
    let word = |value: &Value| value.as_str().unwrap_or("null").to_owned();
    for line in [
        format!(
            "keelgate_source_serving{{source=\"{}\"}} 1",
            word(&source["serving"]["source"])
        ),
        format!(
            "keelgate_source_state{{state=\"{}\"}} 1",
            word(&source["state"])
        ),
        format!(
            "keelgate_fallback_state{{storage=\"file:///srv/a\",state=\"{}\"}} 1",
            word(&backup["state"])
        ),
        format!(
            "keelgate_fallback_fencing{{storage=\"file:///srv/a\",mode=\"{}\"}} 1",
            word(&backup["fencing"])
        ),
        format!(
            "keelgate_fallback_leader{{storage=\"file:///srv/a\",node_id=\"{}\"}} 1",
            word(&backup["leader"])
        ),
        "keelgate_source_stale 1".to_owned(),
        "keelgate_source_potentially_stale 1".to_owned(),
        "keelgate_source_quarantined 1".to_owned(),
        "keelgate_fallback_elected{storage=\"file:///srv/a\"} 1".to_owned(),
        "keelgate_cluster_control_plane_connected 0".to_owned(),
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    assert!(source["stale"] == true && source["potentially_stale"] == true);
    for age in [&source["serving"]["age_seconds"], &backup["age_seconds"]] {
        assert!(age.as_f64().is_some_and(|age| age > 0.0), "{json:#}");
    }
}

#[test]
fn a_control_plane_tells_what_it_hands_to_data_planes() {
    let position = keelgate_snapshot::Position {
        cluster_id: Uuid::nil(),
        epoch: 1,
        revision: 7,
    };
    let tables = json!({ "_format_version": "3.0" });
    let built = keelgate_snapshot::build(&tables, position, "0.1.0", at(1_700_000_000), None);
    let reports = Reports::new(Uuid::nil(), "control_plane", watch::channel(None).1);
    let (newest, snapshots) = watch::channel(None);
    reports.add_built(snapshots);
    assert!(reports.json()["source"]["serving"].is_null());
    newest.send_replace(Some(built.unwrap()));
    let serving = &reports.json()["source"]["serving"];
    assert_eq!(serving["source"], "store");
    assert_eq!(serving["identity"]["revision"], 7);
    let text = reports.text(true);
    assert_eq!(number(&text, "keelgate_source_revision"), 7.0);
    assert_eq!(
        number(&text, "keelgate_source_serving{source=\"store\"}"),
        1.0
    );
}

#[test]
fn the_states_of_report_and_metrics_are_the_same_words() {
    let text = reports().text(true);
    for state in [
        State::Starting,
        State::Empty,
        State::Current,
        State::Fallback,
    ] {
        let start = format!("keelgate_source_state{{state=\"{}\"}}", word(json!(state)));
        number(&text, &start);
    }
    for state in [
        PublisherState::Empty,
        PublisherState::Following,
        PublisherState::Publishing,
        PublisherState::Retrying,
        PublisherState::Stored,
        PublisherState::Blocked,
        PublisherState::ReadOnly,
    ] {
        let word = word(json!(state));
        let start =
            format!("keelgate_fallback_state{{storage=\"file:///srv/a\",state=\"{word}\"}}");
        number(&text, &start);
    }
}
