//! Does what the candidate's machine decides, and tells who leads.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::machine::{Action, Machine};
use super::{Lease, Registration};
use crate::{ErrorKind, Layout, Operation, Storage, StorageError, Version};

/// Largest lease that is read; ours have some 150 bytes.
const LEASE_LIMIT: u64 = 4096;

/// Who publishes, as a candidate sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Leadership {
    /// Whether it is this node.
    pub(crate) leads: bool,
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
    pub(crate) stop: CancellationToken,
}

impl Candidacy {
    /// Takes part until it is stopped, then gives the lease back.
    pub(crate) async fn run(self, view: watch::Sender<Leadership>) {
        let mut machine = Machine::new(self.node.node_id, self.period, fastrand::u64(..));
        let start = Instant::now();
        let mut registered = false;
        let mut trouble = None;
        loop {
            if self.stop.is_cancelled() {
                machine.resign();
            }
            let now = start.elapsed();
            let action = machine.poll(now);
            view.send_if_modified(|view| {
                let seen = Leadership {
                    leads: machine.leads(now),
                    leader: machine.leader().map(|(node, _)| node),
                    trouble: trouble.clone(),
                };
                let modified = *view != seen;
                *view = seen;
                modified
            });
            let result = match action {
                Action::Wait(None) => break,
                Action::Wait(Some(until)) => {
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
                Action::Create(lease) => self.write(lease, None).await.map(|version| {
                    machine.written(version);
                }),
                Action::Replace(lease, expected) => {
                    self.write(lease, Some(expected)).await.map(|version| {
                        machine.written(version);
                    })
                }
            };
            trouble = match result {
                Ok(()) => None,
                Err(error) => {
                    machine.failed(start.elapsed());
                    let lost = matches!(
                        error.kind,
                        ErrorKind::Precondition | ErrorKind::AlreadyExists
                    );
                    (!lost).then_some(error)
                }
            };
            if !registered && trouble.is_none() {
                registered = self.register().await;
            }
        }
        if registered {
            let key = self.layout.registration(self.node.node_id);
            let _ = timeout(self.patience(), self.storage.delete(&key)).await;
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
            Err(error) => Err(error),
        }
    }

    async fn write(
        &self,
        lease: Lease,
        expected: Option<Version>,
    ) -> Result<Version, StorageError> {
        let key = self.layout.lease();
        let bytes = document(&lease);
        match &expected {
            Some(version) => {
                let write = self.storage.put_if_match(&key, bytes, version);
                self.bounded(Operation::Replace, &key, write).await
            }
            None => {
                let write = self.storage.put_if_absent(&key, bytes);
                self.bounded(Operation::Create, &key, write).await
            }
        }
    }

    async fn register(&self) -> bool {
        let key = self.layout.registration(self.node.node_id);
        let write = self.storage.put_if_absent(&key, document(&self.node));
        match self.bounded(Operation::Create, &key, write).await {
            Ok(_) => true,
            Err(error) => error.kind == ErrorKind::AlreadyExists,
        }
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

fn document(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value)
        .expect("plain structs of identifiers and texts serialise")
        .into()
}
