//! Does what the candidate's machine decides, and tells who leads.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::machine::{Action, Machine};
use super::roster::Roster;
use super::{Lease, Registration};
use crate::probe::Probed;
use crate::{ErrorKind, Layout, Operation, Storage, StorageError, Version};

/// Largest lease that is read; ours have some 150 bytes.
const LEASE_LIMIT: u64 = 4096;

/// After how many periods a node registers again.
const REGISTER_PERIODS: u32 = 30;

/// How many registrations a node may miss before it counts as gone.
const MISSED: u32 = 10;

/// How many objects of gone nodes are deleted at once.
const CLEAR_AT_ONCE: usize = 32;

/// Who publishes, as a candidate sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Leadership {
    /// Whether it is this node.
    pub(crate) leads: bool,
    /// Since when it is this node.
    pub(crate) since: Option<SystemTime>,
    /// The holder of the lease.
    pub(crate) leader: Option<Uuid>,
    /// What keeps this node from taking part.
    pub(crate) trouble: Option<StorageError>,
}

/// A node that would publish into one storage.
pub(crate) struct Candidacy {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) layout: Layout,
    pub(crate) node: Registration,
    pub(crate) period: Duration,
    /// Whether the storage compares; nobody is a candidate before that is known.
    pub(crate) probed: watch::Receiver<Probed>,
    /// Told when the storage cannot be reached.
    pub(crate) away: Arc<Notify>,
    pub(crate) stop: CancellationToken,
}

impl Candidacy {
    /// Takes part until it is stopped, then gives the lease back.
    pub(crate) async fn run(mut self, view: watch::Sender<Leadership>) {
        let stop = self.stop.clone();
        let known = self.probed.wait_for(|probed| probed.fencing.is_some());
        tokio::select! {
            known = known => if known.is_err() { return },
            () = stop.cancelled() => return,
        }
        let mut machine = Machine::new(self.node.node_id, self.period, fastrand::u64(..));
        let start = Instant::now();
        let mut rolls = Rolls::default();
        let mut trouble = None;
        loop {
            if let Some(fencing) = self.probed.borrow_and_update().fencing {
                machine.fence(fencing);
            }
            if self.stop.is_cancelled() {
                machine.resign();
            }
            let now = start.elapsed();
            let action = machine.poll(now);
            show(&view, &machine, now, trouble.as_ref());
            let result = match action {
                Action::Wait(None) => break,
                Action::Wait(Some(until)) => {
                    // A slow storage must not keep a leader from renewing its lease.
                    let keeping = self.keep_rolls(&mut rolls, now, machine.leads(now));
                    if timeout(self.patience(), keeping).await.is_err() {
                        tracing::debug!("registering and clearing away took too long");
                    }
                    let until = machine.leads_until().map_or(until, |end| end.min(until));
                    tokio::select! {
                        () = sleep_until(start + until) => {}
                        () = self.stop.cancelled() => {}
                    }
                    continue;
                }
                Action::Read => self.read().await.map(|lease| {
                    machine.read(start.elapsed(), lease);
                }),
                Action::Create(lease) => self
                    .write(&lease, &Condition::Absent)
                    .await
                    .map(|version| machine.written(start.elapsed(), version)),
                Action::Replace(lease, expected) => self
                    .write(&lease, &Condition::Version(expected))
                    .await
                    .map(|version| machine.written(start.elapsed(), version)),
                Action::Put(lease) => self
                    .write(&lease, &Condition::None)
                    .await
                    .map(|version| machine.written(start.elapsed(), version)),
            };
            trouble = match result {
                Ok(()) => None,
                Err(error) => {
                    machine.failed(start.elapsed());
                    if let Some(pause) = error.retry_after {
                        machine.leave_alone(pause);
                    }
                    if error.kind.is_away() {
                        self.away.notify_one();
                    }
                    let lost = matches!(
                        error.kind,
                        ErrorKind::Precondition | ErrorKind::AlreadyExists
                    );
                    (!lost).then_some(error)
                }
            };
        }
        if rolls.registered {
            let key = self.layout.registration(self.node.node_id);
            if let Ok(Err(error)) = timeout(self.patience(), self.storage.delete(&key)).await {
                tracing::debug!(%error, "the registering file stays behind");
            }
        }
    }

    /// How long an operation on the lease may take: well under the period, or the answer would
    /// come too late to be of use.
    fn patience(&self) -> Duration {
        self.period / 4
    }

    async fn read(&self) -> Result<Option<(Lease, Version)>, StorageError> {
        let key = self.layout.lease();
        let read = self.storage.get(&key, None, LEASE_LIMIT);
        match self.bounded(Operation::Read, &key, read).await {
            Ok(object) => {
                // A lease that nobody can read is kept by nobody: it runs out like any other.
                let lease = serde_json::from_slice(&object.bytes).unwrap_or(Lease {
                    holder: Some(Uuid::nil()),
                    term: 0,
                    nonce: Uuid::nil(),
                });
                Ok(Some((lease, object.version)))
            }
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            // Whoever wrote that, it is no lease, and nobody could ever read it.
            Err(error) if error.kind == ErrorKind::TooLarge => {
                let delete = self.storage.delete(&key);
                self.bounded(Operation::Delete, &key, delete).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn write(&self, lease: &Lease, condition: &Condition) -> Result<Version, StorageError> {
        let (key, bytes) = (self.layout.lease(), document(lease));
        let (operation, write) = match condition {
            Condition::Absent => (Operation::Create, self.storage.put_if_absent(&key, bytes)),
            Condition::Version(version) => (
                Operation::Replace,
                self.storage.put_if_match(&key, bytes, version),
            ),
            Condition::None => (Operation::Write, self.storage.put(&key, bytes)),
        };
        self.bounded(operation, &key, write).await
    }

    /// Registers this node from time to time and, as the leader, clears away what nodes that are
    /// gone have left. Nothing depends on it: what fails is tried again next time.
    async fn keep_rolls(&self, rolls: &mut Rolls, now: Duration, leads: bool) {
        if now < rolls.next_at {
            return;
        }
        let every = self.period * REGISTER_PERIODS;
        rolls.next_at = now + every.mul_f64(0.9 + 0.2 * fastrand::f64());
        let key = self.layout.registration(self.node.node_id);
        match self.storage.put(&key, document(&self.node)).await {
            Ok(_) => rolls.registered = true,
            Err(error) => tracing::debug!(%error, "cannot register"),
        }
        if leads && let Err(error) = self.clear(&mut rolls.roster, now, every * MISSED).await {
            tracing::debug!(%error, "cannot clear away what other nodes have left");
        }
    }

    async fn clear(
        &self,
        roster: &mut Roster,
        now: Duration,
        patience: Duration,
    ) -> Result<(), StorageError> {
        let folder = self.layout.election_folder();
        let listed = self.storage.list(&folder).await?;
        let own = self.node.node_id.to_string();
        let gone = roster.observe(now, patience, &listed);
        for name in gone.iter().filter(|name| **name != own).take(CLEAR_AT_ONCE) {
            self.storage.delete(&format!("{folder}/{name}")).await?;
        }
        Ok(())
    }

    async fn bounded<T>(
        &self,
        operation: Operation,
        key: &str,
        work: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let patience = self.patience();
        timeout(patience, work).await.unwrap_or_else(|_| {
            Err(StorageError::new(
                self.storage.location(),
                operation,
                key,
                ErrorKind::TimedOut,
                format!("after {patience:?}, a quarter of the lease"),
            ))
        })
    }
}

/// What a write of the lease compares with.
enum Condition {
    Absent,
    Version(Version),
    None,
}

/// The registering files, as this node keeps them.
#[derive(Default)]
struct Rolls {
    registered: bool,
    next_at: Duration,
    roster: Roster,
}

fn show(
    view: &watch::Sender<Leadership>,
    machine: &Machine<Version>,
    now: Duration,
    trouble: Option<&StorageError>,
) {
    let (leads, leader) = (machine.leads(now), machine.leader().map(|(node, _)| node));
    view.send_if_modified(|view| {
        let since = match view.since {
            since if view.leads == leads => since,
            _ => leads.then(SystemTime::now),
        };
        let seen = Leadership {
            leads,
            since,
            leader,
            trouble: trouble.cloned(),
        };
        let modified = *view != seen;
        *view = seen;
        modified
    });
}

fn document(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value)
        .expect("plain structs of identifiers and texts serialise")
        .into()
}
