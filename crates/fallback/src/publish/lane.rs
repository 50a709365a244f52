//! Publishing into one storage: does what the machine decides.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use keelgate_snapshot::{Identity, Snapshot};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Blocked;
use super::archive::{Archive, Envelope};
use super::edition::Edition;
use super::machine::{Action, Machine, Standing};
use super::release::{Release, Releases};
use super::status::{PublisherState, PublisherStatus, Success, Trouble};
use crate::election::Leadership;
use crate::probe::Probed;
use crate::{ErrorKind, StorageError, Version, index};

/// Publishing into one storage.
pub(super) struct Lane {
    pub(super) archive: Archive,
    pub(super) releases: Arc<Releases>,
    /// How many history objects are kept.
    pub(super) history: usize,
    pub(super) machine: Machine<Version>,
    pub(super) start: Instant,
    pub(super) snapshots: watch::Receiver<Option<Snapshot>>,
    pub(super) leadership: watch::Receiver<Leadership>,
    pub(super) probed: watch::Receiver<Probed>,
    /// Told when the storage cannot be reached.
    pub(super) away: Arc<Notify>,
    /// The newest snapshot.
    pub(super) current: Option<Snapshot>,
    pub(super) attempt: Attempt,
    pub(super) status: watch::Sender<PublisherStatus>,
    pub(super) stop: CancellationToken,
}

/// The work since the machine last waited.
#[derive(Default)]
pub(super) struct Attempt {
    began: Option<Instant>,
    wrote: bool,
}

impl Lane {
    /// What the watches show already is news as well.
    pub(super) fn hear_everything(&mut self) {
        self.snapshots.mark_changed();
        self.leadership.mark_changed();
        self.probed.mark_changed();
    }

    pub(super) async fn run(mut self) {
        self.hear_everything();
        while !self.stop.is_cancelled() {
            if !self.step().await {
                return;
            }
        }
    }

    /// Takes what is new and does the next thing; false when there is nothing left to wait for.
    async fn step(&mut self) -> bool {
        match self.next().await {
            Action::Wait(until) => self.wait(until).await,
            action => {
                if let Err(error) = self.perform(action).await {
                    self.fail(&error);
                }
                true
            }
        }
    }

    /// Takes what is new and tells what is to be done.
    pub(super) async fn next(&mut self) -> Action<Version> {
        self.take_news().await;
        let action = self.machine.poll(self.start.elapsed());
        self.show();
        self.note(&action);
        action
    }

    /// Hands what others have told to the machine.
    async fn take_news(&mut self) {
        if self.probed.has_changed().unwrap_or(false) {
            let probed = self.probed.borrow_and_update().clone();
            if let Some(fencing) = probed.fencing {
                self.machine.fence(fencing);
            }
            if let Some(error) = &probed.trouble {
                tracing::warn!(%error, "cannot probe the storage, will retry");
                self.trouble(error.kind.as_str(), error.to_string());
            }
            self.status
                .send_modify(|status| status.fencing = probed.fencing);
        }
        if self.leadership.has_changed().unwrap_or(false) {
            let view = self.leadership.borrow_and_update().clone();
            self.machine.lead(view.leads);
            if let Some(error) = &view.trouble {
                tracing::warn!(%error, "cannot take part in the election, will retry");
                self.trouble(error.kind.as_str(), error.to_string());
            }
            self.status.send_modify(|status| {
                status.leading = view.leads;
                status.leading_since = view.since;
                status.leader = view.leader;
            });
        }
        if self.snapshots.has_changed().unwrap_or(false) {
            let newest = self.snapshots.borrow_and_update().clone();
            if let Some(snapshot) = newest {
                self.take(snapshot).await;
            }
        }
    }

    async fn take(&mut self, snapshot: Snapshot) {
        if self.archive.envelope == Envelope::Sealed(None) {
            self.archive.envelope = Envelope::Sealed(self.releases.sealing_key(&snapshot).await);
        }
        let edition = Edition::of(&snapshot);
        let was_blocked = matches!(self.machine.standing(), Standing::Blocked(_));
        self.machine.newest(self.start.elapsed(), edition);
        if self.machine.wanted() == Some(edition) {
            self.current = Some(snapshot);
        }
        // What is known of the storage may be enough to refuse it: then no read tells.
        if !was_blocked && let Standing::Blocked(blocked) = self.machine.standing() {
            self.refuse(&blocked);
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
            changed = self.probed.changed() => {
                self.probed.mark_changed();
                changed.is_ok()
            }
        }
    }

    /// Keeps the times of an attempt.
    fn note(&mut self, action: &Action<Version>) {
        if matches!(action, Action::Wait(_)) {
            self.attempt = Attempt::default();
            return;
        }
        let writes = matches!(
            action,
            Action::WriteHistory(_) | Action::WriteConfig(..) | Action::Restore(..)
        );
        self.attempt.began.get_or_insert_with(Instant::now);
        if writes && !self.attempt.wrote {
            self.attempt.wrote = true;
            self.status
                .send_modify(|status| status.last_attempt = Some(SystemTime::now()));
        }
    }

    pub(super) async fn perform(&mut self, action: Action<Version>) -> Result<(), StorageError> {
        match action {
            Action::Read(known) => {
                let (answer, bytes) = self.archive.read(known.as_ref()).await?;
                self.machine.read(answer);
                self.learned(bytes);
            }
            Action::ReadHistory(wanted) => {
                let newest = self.archive.newest_in_history(&wanted).await?;
                self.machine.history_read(newest);
                self.learned(None);
            }
            Action::WriteHistory(wanted) => {
                if let Some(release) = self.release(&wanted).await {
                    let fencing = self.machine.fencing();
                    self.archive.keep(&wanted, release, fencing).await?;
                    self.machine.history_written(wanted);
                }
            }
            Action::WriteConfig(wanted, expected) => {
                if let Some(release) = self.release(&wanted).await {
                    self.archive.write(release, &expected).await?;
                    self.machine.config_written();
                }
            }
            Action::Restore(found, expected) => {
                tracing::warn!(
                    storage = self.archive.storage.location(),
                    identity = %found,
                    "restoring config.json from the history"
                );
                self.archive.restore(&found, &expected).await?;
                self.machine.config_written();
            }
            Action::Prune => {
                if let Some(wanted) = self.machine.wanted() {
                    let stored = self.machine.stored();
                    let newest = wanted.identity;
                    let pruned = self.archive.prune(self.history, &newest, stored.as_ref());
                    // Keeping too much harms nobody: a failure is told and not retried.
                    if let Err(error) = pruned.await {
                        self.trouble(error.kind.as_str(), error.to_string());
                    }
                }
                self.machine.pruned();
            }
            Action::Index => {
                let done = self.index().await;
                self.machine.indexed(done);
            }
            Action::Wait(_) => {}
        }
        Ok(())
    }

    /// What to publish. What no data plane could use is told, and not wanted any more.
    async fn release(&mut self, wanted: &Edition) -> Option<Release> {
        match self.releases.of(wanted, self.current.as_ref()).await {
            Ok(release) => Some(release),
            Err(reason) => {
                let message = format!(
                    "{}: snapshot {wanted} is not published, because no data plane could use it: {reason}",
                    self.archive.storage.location(),
                );
                tracing::error!("{message}");
                self.trouble("unfit", message);
                self.machine.unfit(self.releases.last_good().await);
                None
            }
        }
    }

    async fn index(&self) -> bool {
        let storage = &*self.archive.storage;
        let version = self.archive.layout.version();
        let fencing = self.machine.fencing();
        let mut recorded = index::record(storage, version, fencing).await;
        if recorded.as_ref().is_err_and(lost) {
            // The leader of another version was faster; both have their place.
            recorded = index::record(storage, version, fencing).await;
        }
        match recorded {
            Ok(()) => true,
            Err(error) => {
                // It saves readers a list; the publication itself is done.
                tracing::debug!(%error, "the index is not written, will retry");
                if !lost(&error) {
                    self.trouble(error.kind.as_str(), error.to_string());
                }
                false
            }
        }
    }

    /// Tells what the last read has decided.
    fn learned(&mut self, bytes: Option<u64>) {
        match self.machine.standing() {
            Standing::Stored(identity) => self.succeed(identity, bytes),
            Standing::Checking => {
                if let Some(bytes) = bytes {
                    self.status.send_modify(|status| status.bytes = Some(bytes));
                }
            }
            Standing::Blocked(blocked) => self.refuse(&blocked),
            _ => {}
        }
    }

    /// Tells why writing would be wrong.
    fn refuse(&self, blocked: &Blocked) {
        let message = format!("{}: {blocked}", self.archive.storage.location());
        let told = |status: &PublisherStatus| {
            status
                .last_error
                .as_ref()
                .is_some_and(|last| last.message == message)
        };
        // Every check finds it again.
        if !told(&self.status.borrow()) {
            tracing::error!("{message}");
        }
        self.trouble("blocked", message);
    }

    fn succeed(&mut self, identity: Identity, bytes: Option<u64>) {
        let attempt = std::mem::take(&mut self.attempt);
        let latency = attempt
            .began
            .filter(|_| attempt.wrote)
            .map(|began| u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
        let mut fresh = false;
        self.status.send_modify(|status| {
            let before = status.last_success.as_ref();
            fresh = before.is_none_or(|success| success.identity != identity);
            status.bytes = bytes.or(status.bytes);
            status.latency_ms = latency.or(status.latency_ms);
            status.last_success = Some(Success {
                identity,
                at: SystemTime::now(),
                bytes: status.bytes.unwrap_or_default(),
            });
        });
        if fresh {
            tracing::info!(storage = self.archive.storage.location(), %identity, "snapshot is stored");
        }
    }

    pub(super) fn fail(&mut self, error: &StorageError) {
        self.attempt = Attempt::default();
        self.machine.failed(self.start.elapsed());
        if let Some(pause) = error.retry_after {
            self.machine.leave_alone(pause);
        }
        if error.kind.is_away() {
            self.away.notify_one();
        }
        if lost(error) {
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
        let hindered =
            self.leadership.borrow().trouble.is_some() || self.probed.borrow().trouble.is_some();
        let state = match self.machine.standing() {
            Standing::Empty => PublisherState::Empty,
            // Without a working election there is nobody to follow.
            Standing::Following if hindered => PublisherState::Retrying,
            Standing::Following => PublisherState::Following,
            Standing::Working | Standing::Checking if self.machine.failures() > 0 => {
                PublisherState::Retrying
            }
            // A look at what was stored is no publication.
            Standing::Checking if self.status.borrow().state == PublisherState::Stored => {
                PublisherState::Stored
            }
            Standing::Working | Standing::Checking => PublisherState::Publishing,
            Standing::Stored(_) => PublisherState::Stored,
            Standing::Blocked(_) => PublisherState::Blocked,
        };
        let wanted = self.machine.wanted().map(|wanted| wanted.identity);
        let stored = self.machine.stored();
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

/// Whether somebody else was faster, which is no failure of the storage.
fn lost(error: &StorageError) -> bool {
    matches!(
        error.kind,
        ErrorKind::Precondition | ErrorKind::AlreadyExists
    )
}
