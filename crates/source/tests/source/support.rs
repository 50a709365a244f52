//! A data plane with real storages and a real disk; the control plane is played.

use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, SystemTime};

use keelgate_fallback::{Fetcher, Layout, Location, Storage, StorageSettings, Verify, open};
use keelgate_snapshot::{Position, SealingKeys, Snapshot, accept_unsigned, build};
use keelgate_source::{
    ActivationError, Activator, AgeBound, Arbiter, ControlPlaneLink, Report, SourceSettings,
    Verifiers, VerifyDelta,
};
use keelgate_sync::{Applied, Event, Phase};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use uuid::Uuid;

pub(crate) const VERSION: &str = "0.1.0";
pub(crate) const CP: &str = "cp.example:8005";

pub(crate) fn snapshot(revision: u64) -> Snapshot {
    let config = serde_json::json!({"_format_version": "3.0", "note": revision});
    let position = Position {
        cluster_id: Uuid::from_u128(1),
        epoch: 1,
        revision,
    };
    build(&config, position, VERSION, SystemTime::now(), None).unwrap()
}

/// Remembers what was activated; refuses some revisions.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) activated: Mutex<Vec<u64>>,
    pub(crate) refuses: Vec<u64>,
    /// Met at the beginning and at the end of an activation.
    pub(crate) gate: Option<Arc<Barrier>>,
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
pub(crate) struct Bed {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) deadline: Duration,
    pub(crate) refresh: Duration,
    /// Who is believed, wherever a document comes from.
    pub(crate) verify: Verify,
    /// What deltas lead to.
    pub(crate) verify_delta: Option<VerifyDelta>,
    pub(crate) age: AgeBound,
    pub(crate) sealing: Option<Arc<SealingKeys>>,
}

/// One life of the data plane.
pub(crate) struct Life {
    pub(crate) arbiter: Arbiter,
    pub(crate) control_plane: mpsc::Sender<Event>,
    pub(crate) applied: watch::Receiver<Applied>,
    pub(crate) report: watch::Receiver<Report>,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            recorder: Arc::default(),
            // No test waits for it, unless it says so.
            deadline: Duration::from_secs(60),
            refresh: Duration::from_millis(50),
            verify: Arc::new(accept_unsigned),
            verify_delta: None,
            age: AgeBound::default(),
            sealing: None,
        }
    }

    pub(crate) fn storage(&self, name: &str) -> Arc<dyn Storage> {
        let path = self.folder.path().join(name);
        open(&Location::Directory { path }, &StorageSettings::default()).unwrap()
    }

    /// Puts a document into a storage as its newest, over whatever is there.
    pub(crate) async fn store(&self, name: &str, document: impl Into<bytes::Bytes>) {
        self.put(name, &Layout::new(VERSION).config(), document)
            .await;
    }

    /// Puts an object into a storage, over whatever is there.
    pub(crate) async fn put(&self, name: &str, key: &str, document: impl Into<bytes::Bytes>) {
        let storage = self.storage(name);
        let document = document.into();
        match storage.get(key, None, 1 << 20).await {
            Ok(object) => storage
                .put_if_match(key, document, &object.version)
                .await
                .unwrap(),
            Err(_) => storage.put_if_absent(key, document).await.unwrap(),
        };
    }

    pub(crate) fn start(&self, storages: &[&str]) -> Life {
        let verify = self.age.enforce(Arc::clone(&self.verify));
        let fetchers = storages
            .iter()
            .map(|name| Fetcher::new(self.storage(name), VERSION, Arc::clone(&verify)))
            .collect();
        let (control_plane, events) = mpsc::channel(16);
        let (sender, applied) = watch::channel(Applied::default());
        let settings = SourceSettings {
            directory: self.folder.path().join("node"),
            version: VERSION.into(),
            control_planes: 1,
            deadline: self.deadline,
            refresh: self.refresh,
            age: self.age,
            sealing: self.sealing.clone(),
        };
        let verifiers = Verifiers {
            control_plane: Arc::clone(&self.verify),
            cache: Arc::clone(&self.verify),
            delta: self.verify_delta.clone(),
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

    pub(crate) fn activated(&self) -> Vec<u64> {
        self.recorder.activated.lock().unwrap().clone()
    }
}

impl Life {
    pub(crate) async fn tell(&self, event: Event) {
        self.control_plane.send(event).await.unwrap();
    }

    pub(crate) async fn refuse_dial(&self) {
        self.tell(Event::DialFailed {
            address: CP.into(),
            phase: Phase::Connect,
            error: "connection refused".into(),
            retry_after: None,
        })
        .await;
    }

    pub(crate) async fn connect(&self) {
        self.tell(Event::Connected { address: CP.into() }).await;
    }

    pub(crate) async fn send(&self, revision: u64) {
        self.send_document(&snapshot(revision)).await;
    }

    pub(crate) async fn send_document(&self, snapshot: &Snapshot) {
        self.tell(Event::Document(snapshot.document().clone()))
            .await;
    }

    pub(crate) async fn until(&self, condition: impl Fn(&Report) -> bool) -> Report {
        let mut report = self.report.clone();
        let waited = timeout(Duration::from_secs(20), report.wait_for(|r| condition(r))).await;
        match waited {
            Ok(report) => report.unwrap().clone(),
            Err(_) => panic!("never reached: {:?}", self.report.borrow()),
        }
    }

    /// Waits until this kind of trouble is told.
    pub(crate) async fn tells(&self, kind: &str) -> Report {
        self.until(|report| report.tried.iter().any(|tried| tried.trouble.kind == kind))
            .await
    }

    pub(crate) async fn serves(&self, source: &str, revision: u64) -> Report {
        self.until(|report| {
            report.serving.as_ref().is_some_and(|serving| {
                serving.source == source && serving.identity.revision == revision
            })
        })
        .await
    }
}
