//! Starts and stops publishing, for every storage on its own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use keelgate_snapshot::Snapshot;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::PublishSettings;
use super::archive::Archive;
use super::lane::{Attempt, Lane};
use super::machine::Machine;
use super::release::{Prepare, Releases, Seal};
use super::status::PublisherStatus;
use crate::election::{Candidacy, Leadership, Registration};
use crate::probe::{Probed, Prober};
use crate::{Layout, Storage, Verify};

/// A lost leader is replaced within two of these; a lease costs its leader a write every third.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(10);

/// What a node needs to publish.
#[derive(Clone)]
pub struct PublisherSettings {
    /// This node.
    pub node_id: Uuid,
    /// Name of its host, for the registering file.
    pub hostname: String,
    /// Version of the software, the first segment of every key.
    pub version: String,
    /// How many history objects are kept.
    pub history: usize,
    /// How long a lease lasts without being renewed; [`DEFAULT_LEASE`] unless there are reasons.
    pub lease: Duration,
    /// Delays.
    pub pace: PublishSettings,
    /// Encrypts what is published, where sealing is on; `verify` opens it.
    pub seal: Option<Seal>,
}

impl fmt::Debug for PublisherSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublisherSettings")
            .field("node_id", &self.node_id)
            .field("hostname", &self.hostname)
            .field("version", &self.version)
            .field("history", &self.history)
            .field("lease", &self.lease)
            .field("pace", &self.pace)
            .field("seals", &self.seal.is_some())
            .finish()
    }
}

/// Publishes what a watch shows into every storage, each with its own election and retries.
#[derive(Debug)]
pub struct Publisher {
    statuses: Vec<watch::Receiver<PublisherStatus>>,
    tasks: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Publisher {
    /// Starts one publisher, one candidate and one probe per storage on the current runtime.
    /// Storages that cannot be written are left out; their status says so.
    ///
    /// `verify` is the check that readers make; `prepare`, if given, is done to every snapshot
    /// before it is published.
    pub fn start(
        storages: &[Arc<dyn Storage>],
        settings: &PublisherSettings,
        verify: &Verify,
        prepare: Option<&Prepare>,
        snapshots: &watch::Receiver<Option<Snapshot>>,
    ) -> Self {
        let mut publisher = Self {
            statuses: Vec::new(),
            tasks: Vec::new(),
            stop: CancellationToken::new(),
        };
        let releases = Arc::new(Releases::new(
            prepare.cloned(),
            settings.seal.clone(),
            Arc::clone(verify),
        ));
        for storage in storages {
            let location = storage.location();
            if storage.writable() {
                publisher.publish_into(storage, settings, verify, &releases, snapshots);
            } else {
                let (_, status) = watch::channel(PublisherStatus::read_only(location));
                publisher.statuses.push(status);
                tracing::info!(
                    storage = location,
                    "the storage is read only: nothing is published"
                );
            }
        }
        publisher
    }

    fn publish_into(
        &mut self,
        storage: &Arc<dyn Storage>,
        settings: &PublisherSettings,
        verify: &Verify,
        releases: &Arc<Releases>,
        snapshots: &watch::Receiver<Option<Snapshot>>,
    ) {
        let layout = Layout::new(&settings.version);
        let away = Arc::new(Notify::new());
        let (found, probed) = watch::channel(Probed::default());
        let prober = Prober {
            storage: Arc::clone(storage),
            layout: layout.clone(),
            node: settings.node_id,
            away: Arc::clone(&away),
            stop: self.stop.clone(),
        };
        let (leadership, leading) = watch::channel(Leadership::default());
        let candidacy = Candidacy {
            storage: Arc::clone(storage),
            layout,
            node: Registration {
                node_id: settings.node_id,
                hostname: settings.hostname.clone(),
                version: settings.version.clone(),
            },
            period: settings.lease,
            probed: probed.clone(),
            away: Arc::clone(&away),
            stop: self.stop.clone(),
        };
        let (status, watched) = watch::channel(PublisherStatus::new(storage.location()));
        let lane = Lane {
            archive: Archive::new(storage, &settings.version, verify, settings.seal.is_some()),
            releases: Arc::clone(releases),
            history: settings.history.max(1),
            machine: Machine::new(settings.pace, fastrand::u64(..)),
            start: Instant::now(),
            snapshots: snapshots.clone(),
            leadership: leading,
            probed,
            away,
            current: None,
            attempt: Attempt::default(),
            status,
            stop: self.stop.clone(),
        };
        self.statuses.push(watched);
        self.tasks.push(tokio::spawn(prober.run(found)));
        self.tasks.push(tokio::spawn(candidacy.run(leadership)));
        self.tasks.push(tokio::spawn(lane.run()));
    }

    /// One status per storage, in the order in which they were given.
    pub fn statuses(&self) -> &[watch::Receiver<PublisherStatus>] {
        &self.statuses
    }

    /// Finishes what is under way and gives the leases back.
    pub async fn stop(self) {
        self.stop.cancel();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a publisher task failed");
            }
        }
    }
}
