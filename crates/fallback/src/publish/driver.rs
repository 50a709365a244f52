//! Does what the publisher's machine decides, for every storage on its own.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use keelgate_snapshot::{Identity, MAX_DOCUMENT_BYTES, Snapshot, VerifyError, accept_unsigned};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::PublishSettings;
use super::machine::{Action, Content, Expected, Machine, Read, Standing};
use super::status::{PublisherState, PublisherStatus, Success, Trouble};
use crate::election::{Candidacy, Leadership, Registration};
use crate::{ErrorKind, HistoryName, Layout, Object, Storage, StorageError, Verify, Version};

/// Makes a snapshot fit for readers, or says why it must not be published. The identity stays.
pub type Prepare = Arc<dyn Fn(Snapshot) -> Result<Snapshot, String> + Send + Sync>;

/// How many history objects are looked through for a good one.
const HISTORY_LOOK: usize = 8;

/// How many history objects one pruning deletes at most.
const PRUNE_AT_ONCE: usize = 32;

/// A lost leader is replaced within two of these; a lease costs its leader a write every third.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(10);

/// What a node needs to publish.
#[derive(Clone, Debug)]
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
}

/// Publishes what a watch shows into every storage, each with its own election and retries.
#[derive(Debug)]
pub struct Publisher {
    statuses: Vec<watch::Receiver<PublisherStatus>>,
    tasks: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Publisher {
    /// Starts one publisher and one candidate per storage on the current runtime.
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
        let stop = CancellationToken::new();
        let mut publisher = Self {
            statuses: Vec::new(),
            tasks: Vec::new(),
            stop: stop.clone(),
        };
        for storage in storages {
            let layout = Layout::new(&settings.version);
            let (leadership, leading) = watch::channel(Leadership::default());
            let candidacy = Candidacy {
                storage: Arc::clone(storage),
                layout: layout.clone(),
                node: Registration {
                    node_id: settings.node_id,
                    hostname: settings.hostname.clone(),
                    version: settings.version.clone(),
                },
                period: settings.lease,
                stop: stop.clone(),
            };
            let (status, watched) = watch::channel(PublisherStatus::new(storage.location()));
            let lane = Lane {
                storage: Arc::clone(storage),
                layout,
                verify: Arc::clone(verify),
                prepare: prepare.cloned(),
                history: settings.history.max(1),
                machine: Machine::new(settings.pace, fastrand::u64(..)),
                start: Instant::now(),
                snapshots: snapshots.clone(),
                leadership: leading,
                current: None,
                status,
                stop: stop.clone(),
            };
            publisher.statuses.push(watched);
            publisher
                .tasks
                .push(tokio::spawn(candidacy.run(leadership)));
            publisher.tasks.push(tokio::spawn(lane.run()));
        }
        publisher
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

/// Publishing into one storage.
struct Lane {
    storage: Arc<dyn Storage>,
    layout: Layout,
    verify: Verify,
    prepare: Option<Prepare>,
    history: usize,
    machine: Machine<Version>,
    start: Instant,
    snapshots: watch::Receiver<Option<Snapshot>>,
    leadership: watch::Receiver<Leadership>,
    /// What the machine wants published.
    current: Option<Snapshot>,
    status: watch::Sender<PublisherStatus>,
    stop: CancellationToken,
}

impl Lane {
    async fn run(mut self) {
        self.snapshots.mark_changed();
        self.leadership.mark_changed();
        while !self.stop.is_cancelled() {
            self.take_news().await;
            let action = self.machine.poll(self.start.elapsed());
            self.show();
            match action {
                Action::Wait(until) => {
                    if !self.wait(until).await {
                        return;
                    }
                }
                action => {
                    if let Err(error) = self.perform(action).await {
                        self.fail(&error);
                    }
                }
            }
        }
    }

    /// Hands what others have told to the machine.
    async fn take_news(&mut self) {
        if self.leadership.has_changed().unwrap_or(false) {
            let view = self.leadership.borrow_and_update().clone();
            self.machine.lead(view.leads);
            if let Some(error) = &view.trouble {
                tracing::warn!(%error, "cannot take part in the election, will retry");
                self.trouble(error.kind.as_str(), error.to_string());
            }
            self.status.send_modify(|status| {
                status.leading = view.leads;
                status.leader = view.leader;
            });
        }
        if self.snapshots.has_changed().unwrap_or(false) {
            let newest = self.snapshots.borrow_and_update().clone();
            if let Some(snapshot) = newest
                && let Some(snapshot) = self.prepared(snapshot).await
            {
                self.machine
                    .newest(self.start.elapsed(), *snapshot.identity());
                self.current = Some(snapshot);
            }
        }
    }

    /// The snapshot as it may be published, if it may be.
    async fn prepared(&mut self, snapshot: Snapshot) -> Option<Snapshot> {
        let Some(prepare) = self.prepare.clone() else {
            return Some(snapshot);
        };
        let identity = *snapshot.identity();
        let verdict = match spawn_blocking(move || prepare(snapshot)).await {
            Ok(verdict) => verdict,
            Err(error) => Err(error.to_string()),
        };
        match verdict {
            Ok(snapshot) => Some(snapshot),
            Err(reason) => {
                let message = format!(
                    "{}: snapshot {identity} is not published, because no data plane could use it: {reason}",
                    self.storage.location(),
                );
                tracing::error!("{message}");
                self.trouble("unfit", message);
                None
            }
        }
    }

    /// Waits for the time or for news; false when there is nothing left to wait for.
    async fn wait(&mut self, until: Option<Duration>) -> bool {
        let start = self.start;
        let timer = async {
            match until {
                Some(until) => sleep_until(start + until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = timer => true,
            () = self.stop.cancelled() => false,
            changed = self.snapshots.changed() => {
                self.snapshots.mark_changed();
                changed.is_ok()
            }
            changed = self.leadership.changed() => {
                self.leadership.mark_changed();
                changed.is_ok()
            }
        }
    }

    async fn perform(&mut self, action: Action<Version>) -> Result<(), StorageError> {
        match action {
            Action::Read(known) => self.read(known).await,
            Action::ReadHistory(wanted) => {
                let newest = self.newest_in_history(&wanted).await?;
                self.machine.history_read(newest);
                Ok(())
            }
            Action::WriteHistory(wanted) => {
                if let Some(document) = self.document(&wanted) {
                    self.keep(&wanted, document).await?;
                    self.machine.history_written(wanted);
                }
                Ok(())
            }
            Action::WriteConfig(wanted, expected) => {
                if let Some(document) = self.document(&wanted) {
                    let key = self.layout.config();
                    match &expected {
                        Expected::Absent => self.storage.put_if_absent(&key, document).await,
                        Expected::Version(version) => {
                            self.storage.put_if_match(&key, document, version).await
                        }
                    }?;
                    self.machine.config_written();
                }
                Ok(())
            }
            Action::Prune => {
                // Keeping too much harms nobody: a failure is told and not retried.
                if let Err(error) = self.prune().await {
                    self.trouble(error.kind.as_str(), error.to_string());
                }
                self.machine.pruned();
                Ok(())
            }
            Action::Wait(_) => Ok(()),
        }
    }

    fn document(&self, wanted: &Identity) -> Option<Bytes> {
        self.current
            .as_ref()
            .filter(|snapshot| snapshot.identity() == wanted)
            .map(|snapshot| snapshot.document().clone())
    }

    async fn read(&mut self, known: Option<Version>) -> Result<(), StorageError> {
        let key = self.layout.config();
        let mut bytes = None;
        let answer = match self.get(&key, known.as_ref()).await {
            Ok(object) => {
                bytes = Some(object.bytes.len() as u64);
                let content = self.judge(object.bytes).await;
                Read::Found {
                    version: object.version,
                    content,
                }
            }
            Err(error) if error.kind == ErrorKind::NotFound => Read::Absent,
            Err(error) if error.kind == ErrorKind::NotModified => Read::NotModified,
            Err(error) => return Err(error),
        };
        self.machine.read(answer);
        match self.machine.standing() {
            Standing::Stored(identity) => self.succeed(identity, bytes),
            Standing::Blocked(blocked) => {
                let message = format!("{}: {blocked}", self.storage.location());
                tracing::error!("{message}");
                self.trouble("blocked", message);
            }
            _ => {}
        }
        Ok(())
    }

    async fn get(&self, key: &str, known: Option<&Version>) -> Result<Object, StorageError> {
        self.storage
            .get(key, known, MAX_DOCUMENT_BYTES as u64)
            .await
    }

    /// Verifies a document as a reader would.
    async fn judge(&self, document: Bytes) -> Content {
        let verify = Arc::clone(&self.verify);
        let judged = spawn_blocking(move || match verify(document.clone()) {
            Ok(snapshot) => Content::Good(*snapshot.identity()),
            Err(VerifyError::SchemaTooNew { .. }) => Content::TooNew,
            Err(_) => match accept_unsigned(document) {
                Ok(snapshot) => Content::Unverified(*snapshot.identity()),
                Err(_) => Content::Unreadable,
            },
        });
        judged.await.unwrap_or(Content::Unreadable)
    }

    async fn names(&self) -> Result<Vec<HistoryName>, StorageError> {
        let folder = self.layout.history_folder();
        let mut names: Vec<_> = self
            .storage
            .list(&folder)
            .await?
            .iter()
            .filter_map(|listed| HistoryName::parse(&listed.name))
            .collect();
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(names)
    }

    async fn newest_in_history(&self, wanted: &Identity) -> Result<Option<Identity>, StorageError> {
        let names = self.names().await?;
        let candidates = names
            .iter()
            .take_while(|name| name.position >= wanted.position())
            .take(HISTORY_LOOK);
        for name in candidates {
            match self.get(&self.layout.history_named(name), None).await {
                Ok(object) => {
                    if let Content::Good(identity) = self.judge(object.bytes).await
                        && identity.cluster_id == wanted.cluster_id
                    {
                        return Ok(Some(identity));
                    }
                }
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Makes sure that the history has a good copy.
    async fn keep(&self, wanted: &Identity, document: Bytes) -> Result<(), StorageError> {
        let key = self.layout.history(wanted);
        let exists = match self.storage.put_if_absent(&key, document.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) if error.kind == ErrorKind::AlreadyExists => error,
            Err(error) => return Err(error),
        };
        let object = match self.get(&key, None).await {
            // A conflict with a concurrent request, not an object.
            Err(error) if error.kind == ErrorKind::NotFound => return Err(exists),
            object => object?,
        };
        if object.bytes == document || self.judge(object.bytes).await == Content::Good(*wanted) {
            return Ok(());
        }
        self.storage
            .put_if_match(&key, document, &object.version)
            .await
            .map(drop)
    }

    async fn prune(&self) -> Result<(), StorageError> {
        let Some(wanted) = self.machine.wanted() else {
            return Ok(());
        };
        let stored = self.machine.stored();
        let names = self.names().await?;
        let old = names
            .iter()
            .skip(self.history)
            .filter(|name| name.position < wanted.position())
            .filter(|name| !stored.is_some_and(|stored| name.is_of(&stored)))
            .take(PRUNE_AT_ONCE);
        for name in old {
            self.storage
                .delete(&self.layout.history_named(name))
                .await?;
        }
        Ok(())
    }

    fn succeed(&self, identity: Identity, bytes: Option<u64>) {
        let mut fresh = false;
        self.status.send_modify(|status| {
            let before = status.last_success.as_ref();
            fresh = before.is_none_or(|success| success.identity != identity);
            let bytes = bytes
                .or(before.map(|success| success.bytes))
                .unwrap_or_default();
            status.last_success = Some(Success {
                identity,
                at: SystemTime::now(),
                bytes,
            });
        });
        if fresh {
            tracing::info!(storage = self.storage.location(), %identity, "snapshot is stored");
        }
    }

    fn fail(&mut self, error: &StorageError) {
        self.machine.failed(self.start.elapsed());
        if matches!(
            error.kind,
            ErrorKind::Precondition | ErrorKind::AlreadyExists
        ) {
            // Somebody else was faster; what they wrote is read next.
            tracing::debug!(%error, "the storage changed under a write");
            return;
        }
        tracing::warn!(%error, attempts = self.machine.failures(), "publishing failed, will retry");
        self.trouble(error.kind.as_str(), error.to_string());
    }

    fn trouble(&self, kind: &'static str, message: String) {
        self.status.send_modify(|status| {
            *status.failures.entry(kind).or_default() += 1;
            status.last_error = Some(Trouble {
                kind,
                message,
                at: SystemTime::now(),
            });
        });
    }

    fn show(&self) {
        let state = match self.machine.standing() {
            Standing::Empty => PublisherState::Empty,
            // Without a working election there is nobody to follow.
            Standing::Following if self.leadership.borrow().trouble.is_some() => {
                PublisherState::Retrying
            }
            Standing::Following => PublisherState::Following,
            Standing::Working if self.machine.failures() > 0 => PublisherState::Retrying,
            Standing::Working => PublisherState::Publishing,
            Standing::Stored(_) => PublisherState::Stored,
            Standing::Blocked(_) => PublisherState::Blocked,
        };
        let (wanted, stored) = (self.machine.wanted(), self.machine.stored());
        self.status.send_if_modified(|status| {
            let modified =
                status.state != state || status.wanted != wanted || status.stored != stored;
            status.state = state;
            status.wanted = wanted;
            status.stored = stored;
            modified
        });
    }
}
