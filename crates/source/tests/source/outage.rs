//! What a data plane does while its control plane is away.

use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use keelgate_fallback::Layout;
use keelgate_source::State;
use keelgate_sync::Event;

use crate::support::*;

#[tokio::test]
async fn a_newborn_serves_from_the_storage_when_the_control_plane_refuses() {
    let bed = Bed::new();
    bed.store("backup", snapshot(7).document().clone()).await;
    let life = bed.start(&["backup"]);
    life.refuse_dial().await;
    let report = life.serves("storage", 7).await;
    assert_eq!(report.state, State::Fallback);
    assert!(report.potentially_stale);
    assert!(
        report
            .tried
            .iter()
            .any(|t| t.origin == CP && t.trouble.message.contains("refused"))
    );
    assert!(report.serving.unwrap().origin.ends_with("backup"));

    life.connect().await;
    life.send(8).await;
    let report = life.serves("control_plane", 8).await;
    let report = if report.state == State::Current {
        report
    } else {
        life.until(|report| report.state == State::Current).await
    };
    assert!(!report.potentially_stale);
    assert_eq!(report.serving.unwrap().origin, CP);
    assert_eq!(bed.activated(), [7, 8]);

    life.tell(Event::Disconnected {
        address: CP.into(),
        reason: "killed".into(),
    })
    .await;
    let report = life.until(|report| report.state == State::Fallback).await;
    assert!(report.potentially_stale && report.control_plane.is_none());
    assert_eq!(report.serving.unwrap().origin, CP);
    life.arbiter.stop().await;
}

#[tokio::test]
async fn a_stalled_handshake_is_bounded_by_the_deadline() {
    let mut bed = Bed::new();
    bed.deadline = Duration::from_millis(50);
    bed.store("backup", snapshot(7).document().clone()).await;
    let life = bed.start(&["backup"]);
    life.connect().await;
    life.serves("storage", 7).await;
    life.arbiter.stop().await;
}

#[tokio::test]
async fn the_returned_control_plane_with_the_same_snapshot_swaps_nothing() {
    let bed = Bed::new();
    bed.store("backup", snapshot(7).document().clone()).await;
    let life = bed.start(&["backup"]);
    life.refuse_dial().await;
    life.serves("storage", 7).await;
    life.connect().await;
    life.tell(Event::Document(
        bed.storage("backup")
            .get("0.1.0/config.json", None, 1 << 20)
            .await
            .unwrap()
            .bytes,
    ))
    .await;
    life.serves("control_plane", 7).await;
    assert_eq!(bed.activated(), [7]);
    life.arbiter.stop().await;
}

#[tokio::test]
async fn a_node_restarts_from_its_disk_without_any_source() {
    let bed = Bed::new();
    let life = bed.start(&[]);
    life.connect().await;
    life.send(1).await;
    life.serves("control_plane", 1).await;
    life.send(2).await;
    life.serves("control_plane", 2).await;
    let applied = life.applied.borrow().clone();
    assert_eq!(applied.identity.unwrap().revision, 2);
    assert_eq!(applied.source.as_deref(), Some("control_plane"));
    life.arbiter.stop().await;

    let life = bed.start(&[]);
    life.refuse_dial().await;
    let report = life.serves("cache", 2).await;
    assert_eq!(report.state, State::Fallback);
    life.arbiter.stop().await;
}

#[tokio::test]
async fn the_newest_of_cache_and_storages_serves() {
    let bed = Bed::new();
    let life = bed.start(&[]);
    life.connect().await;
    life.send(5).await;
    life.serves("control_plane", 5).await;
    life.arbiter.stop().await;
    bed.store("one", snapshot(4).document().clone()).await;
    bed.store("two", snapshot(6).document().clone()).await;
    let life = bed.start(&["one", "two"]);
    life.refuse_dial().await;
    life.serves("storage", 6).await;
    life.arbiter.stop().await;
    let second_life = &bed.activated()[1..];
    assert!(second_life.is_sorted(), "{second_life:?}");
}

#[tokio::test]
async fn an_emergency_publish_reaches_a_node_without_control_plane() {
    let bed = Bed::new();
    bed.store("backup", snapshot(7).document().clone()).await;
    let life = bed.start(&["backup"]);
    life.refuse_dial().await;
    life.serves("storage", 7).await;
    bed.store("backup", snapshot(9).document().clone()).await;
    life.serves("storage", 9).await;

    // The control plane returns without knowing of it.
    life.connect().await;
    life.send(8).await;
    let report = life
        .until(|report| {
            report
                .last_error
                .as_ref()
                .is_some_and(|e| e.kind == "control_plane_behind")
        })
        .await;
    assert_eq!(report.serving.unwrap().identity.revision, 9);
    assert_eq!(bed.activated(), [7, 9]);
    life.arbiter.stop().await;
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_used_changes_nothing_and_is_reported() {
    let mut bed = Bed::new();
    bed.recorder = Arc::new(Recorder {
        refuses: vec![2],
        ..Recorder::default()
    });
    let life = bed.start(&[]);
    life.connect().await;
    life.send(1).await;
    life.serves("control_plane", 1).await;
    life.send(2).await;
    let report = life.until(|report| !report.quarantined.is_empty()).await;
    assert_eq!(report.serving.unwrap().identity.revision, 1);
    assert!(
        report
            .last_error
            .unwrap()
            .message
            .contains("invalid pattern")
    );
    let rejection = life.applied.borrow().rejection.clone().unwrap();
    assert_eq!(rejection.identity.unwrap().revision, 2);
    life.tell(Event::Document("garbage".into())).await;
    let report = life
        .until(|report| {
            report
                .last_error
                .as_ref()
                .is_some_and(|e| e.kind == "control_plane_refused")
        })
        .await;
    assert_eq!(report.serving.unwrap().identity.revision, 1);
    life.send(3).await;
    life.serves("control_plane", 3).await;
    assert!(life.applied.borrow().rejection.is_none());
    life.arbiter.stop().await;
}

#[tokio::test]
async fn a_damaged_storage_is_told_and_the_next_one_serves() {
    let bed = Bed::new();
    bed.store("one", "{\"type\":\"reconf").await;
    bed.store("two", snapshot(3).document().clone()).await;
    let life = bed.start(&["one", "two"]);
    life.refuse_dial().await;
    let report = life.serves("storage", 3).await;
    let report = if report.tried.iter().any(|t| t.trouble.kind == "truncated") {
        report
    } else {
        life.until(|report| report.tried.iter().any(|t| t.trouble.kind == "truncated"))
            .await
    };
    assert!(report.serving.unwrap().origin.ends_with("two"));
    life.arbiter.stop().await;
}

#[tokio::test]
async fn a_storage_that_fills_later_is_found() {
    let mut bed = Bed::new();
    bed.deadline = Duration::from_millis(20);
    let life = bed.start(&["backup"]);
    life.until(|report| report.state == State::Empty).await;
    bed.store("backup", snapshot(3).document().clone()).await;
    life.serves("storage", 3).await;
    life.arbiter.stop().await;
}

/// Leaves on disk what a process leaves that died twice in the activation of `revision`.
fn die_twice(node: &Path, revision: u64) {
    let identity = serde_json::to_value(snapshot(revision).identity()).unwrap();
    let mark = serde_json::json!({"identity": identity, "attempts": 2});
    std::fs::create_dir_all(node.join("guard")).unwrap();
    std::fs::write(node.join("guard/activating.json"), mark.to_string()).unwrap();
}

#[tokio::test]
async fn what_killed_the_process_twice_is_passed_over() {
    let bed = Bed::new();
    let storage = bed.storage("backup");
    let layout = Layout::new(VERSION);
    bed.store("backup", snapshot(7).document().clone()).await;
    let older = snapshot(6);
    storage
        .put_if_absent(&layout.history(older.identity()), older.document().clone())
        .await
        .unwrap();
    die_twice(&bed.folder.path().join("node"), 7);
    let life = bed.start(&["backup"]);
    life.refuse_dial().await;
    let report = life.serves("storage", 6).await;
    assert_eq!(report.quarantined.len(), 1);
    life.arbiter.stop().await;
    assert_eq!(bed.activated(), [6]);
}

#[tokio::test]
async fn an_orderly_end_in_an_activation_is_no_death() {
    let mut bed = Bed::new();
    let gate = Arc::new(Barrier::new(2));
    bed.recorder = Arc::new(Recorder {
        gate: Some(Arc::clone(&gate)),
        ..Recorder::default()
    });
    let meet = || {
        let gate = Arc::clone(&gate);
        tokio::task::spawn_blocking(move || gate.wait())
    };
    let mark = bed.folder.path().join("node/guard/activating.json");
    let life = bed.start(&[]);
    life.connect().await;
    life.send(1).await;
    meet().await.unwrap();
    assert!(mark.exists(), "a death would be noticed");
    life.arbiter.stop().await;
    assert!(!mark.exists());
    meet().await.unwrap();
}

#[tokio::test]
async fn the_report_is_a_document_for_machines() {
    let bed = Bed::new();
    bed.store("backup", snapshot(7).document().clone()).await;
    let life = bed.start(&["backup"]);
    life.refuse_dial().await;
    let report = serde_json::to_value(life.serves("storage", 7).await).unwrap();
    assert_eq!(report["state"], "fallback");
    assert_eq!(report["serving"]["identity"]["revision"], 7);
    assert!(report["serving"]["since"].is_f64());
    assert_eq!(report["tried"][0]["kind"], "control_plane_unreachable");
    life.arbiter.stop().await;
}
