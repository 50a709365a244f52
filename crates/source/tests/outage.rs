//! The driver with real storages and a real disk; the control plane is played.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, SystemTime};

use keelgate_fallback::{Fetcher, Layout, Location, Storage, StorageSettings, Verify, open};
use keelgate_snapshot::{Position, Snapshot, accept_unsigned, build};
use keelgate_source::{
    ActivationError, Activator, AgeBound, Arbiter, ControlPlaneLink, Report, SourceSettings, State,
    Verifiers,
};
use keelgate_sync::{Applied, Event, Phase};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use uuid::Uuid;

const VERSION: &str = "0.1.0";
const CP: &str = "cp.example:8005";

fn snapshot(revision: u64) -> Snapshot {
    let config = serde_json::json!({"_format_version": "3.0", "note": revision});
    let position = Position {
        cluster_id: Uuid::from_u128(1),
        epoch: 1,
        revision,
    };
    build(&config, position, VERSION, SystemTime::now(), None).unwrap()
}

fn verify() -> Verify {
    Arc::new(accept_unsigned)
}

/// Remembers what was activated; refuses some revisions.
#[derive(Default)]
struct Recorder {
    activated: Mutex<Vec<u64>>,
    refuses: Vec<u64>,
    /// Met at the beginning and at the end of an activation.
    gate: Option<Arc<Barrier>>,
}

impl Activator for Recorder {
    fn activate(&self, snapshot: &Snapshot) -> Result<(), ActivationError> {
        let revision = snapshot.identity().revision;
        if let Some(gate) = &self.gate {
            gate.wait();
            gate.wait();
        }
        if self.refuses.contains(&revision) {
            return Err(ActivationError("route r: invalid pattern".into()));
        }
        self.activated.lock().unwrap().push(revision);
        Ok(())
    }
}

/// A data plane, its control plane and its storages.
struct Bed {
    folder: tempfile::TempDir,
    recorder: Arc<Recorder>,
    deadline: Duration,
    refresh: Duration,
}

/// One life of the data plane.
struct Life {
    arbiter: Arbiter,
    control_plane: mpsc::Sender<Event>,
    applied: watch::Receiver<Applied>,
    report: watch::Receiver<Report>,
}

impl Bed {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            recorder: Arc::default(),
            // No test waits for it, unless it says so.
            deadline: Duration::from_secs(60),
            refresh: Duration::from_millis(50),
        }
    }

    fn storage(&self, name: &str) -> Arc<dyn Storage> {
        let path = self.folder.path().join(name);
        open(&Location::Directory { path }, &StorageSettings::default()).unwrap()
    }

    /// Puts a revision into a storage, over whatever is there.
    async fn store(&self, name: &str, document: impl Into<bytes::Bytes>) {
        let (storage, key) = (self.storage(name), Layout::new(VERSION).config());
        let document = document.into();
        match storage.get(&key, None, 1 << 20).await {
            Ok(object) => storage
                .put_if_match(&key, document, &object.version)
                .await
                .unwrap(),
            Err(_) => storage.put_if_absent(&key, document).await.unwrap(),
        };
    }

    fn start(&self, storages: &[&str]) -> Life {
        let fetchers = storages
            .iter()
            .map(|name| Fetcher::new(self.storage(name), VERSION, verify()))
            .collect();
        let (control_plane, events) = mpsc::channel(16);
        let (sender, applied) = watch::channel(Applied::default());
        let settings = SourceSettings {
            directory: self.folder.path().join("node"),
            version: VERSION.into(),
            control_planes: 1,
            deadline: self.deadline,
            refresh: self.refresh,
            age: AgeBound::default(),
            sealing: None,
        };
        let verifiers = Verifiers {
            control_plane: verify(),
            cache: verify(),
        };
        let link = ControlPlaneLink {
            events,
            applied: sender,
        };
        let activator = Arc::clone(&self.recorder) as Arc<dyn Activator>;
        let arbiter = Arbiter::start(settings, Some(link), fetchers, verifiers, activator);
        Life {
            report: arbiter.report(),
            arbiter,
            control_plane,
            applied,
        }
    }

    fn activated(&self) -> Vec<u64> {
        self.recorder.activated.lock().unwrap().clone()
    }
}

impl Life {
    async fn tell(&self, event: Event) {
        self.control_plane.send(event).await.unwrap();
    }

    async fn refuse_dial(&self) {
        self.tell(Event::DialFailed {
            address: CP.into(),
            phase: Phase::Connect,
            error: "connection refused".into(),
            retry_after: None,
        })
        .await;
    }

    async fn connect(&self) {
        self.tell(Event::Connected { address: CP.into() }).await;
    }

    async fn send(&self, revision: u64) {
        self.tell(Event::Document(snapshot(revision).document().clone()))
            .await;
    }

    async fn until(&self, condition: impl Fn(&Report) -> bool) -> Report {
        let mut report = self.report.clone();
        let waited = timeout(Duration::from_secs(20), report.wait_for(|r| condition(r))).await;
        match waited {
            Ok(report) => report.unwrap().clone(),
            Err(_) => panic!("never reached: {:?}", self.report.borrow()),
        }
    }

    async fn serves(&self, source: &str, revision: u64) -> Report {
        self.until(|report| {
            report.serving.as_ref().is_some_and(|serving| {
                serving.source == source && serving.identity.revision == revision
            })
        })
        .await
    }
}

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
