//! Fetching: the newest good snapshot of one storage, and why others were refused.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use keelgate_snapshot::{Identity, MAX_DOCUMENT_BYTES, Snapshot, VerifyError};
use serde::{Serialize, Serializer};
use tokio::task::spawn_blocking;

use crate::layout::numbers;
use crate::{ErrorKind, HistoryName, Layout, Storage, StorageError, Version};

/// Verifies a document: the signature where the cluster has one, the digest always.
pub type Verify = Arc<dyn Fn(Bytes) -> Result<Snapshot, VerifyError> + Send + Sync>;

/// How many history objects are tried when `config.json` is refused.
const HISTORY_LOOK: usize = 5;

/// How many other versions are looked at: whoever can write to the storage must not keep its readers
/// busy for ever.
const VERSIONS_LOOK: usize = 16;

/// A good snapshot of a storage.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The verified snapshot.
    pub snapshot: Snapshot,
    /// Location of the storage.
    pub storage: String,
    /// Key of the object, which begins with the version of the software that wrote it.
    pub key: String,
}

impl Candidate {
    /// How long ago the snapshot was made, by the clocks of its maker and of this node.
    pub fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.snapshot.created_at())
            .unwrap_or_default()
    }
}

/// Why an object was not used.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Location of the storage.
    pub storage: String,
    /// Key of the object.
    pub key: String,
    /// What is wrong with it.
    pub reason: RefusalReason,
}

/// What is wrong with an object.
#[derive(Clone, Debug)]
pub enum RefusalReason {
    /// It could not be read.
    Storage(StorageError),
    /// It is damaged, not signed, signed with another key, or not for this build.
    Verify(Arc<VerifyError>),
    /// It was good once, and this node could not use it.
    Quarantined(Identity),
    /// The check was stopped.
    Stopped,
}

impl Refusal {
    /// A short word for metrics.
    pub fn kind(&self) -> &'static str {
        match &self.reason {
            RefusalReason::Storage(error) => error.kind.as_str(),
            RefusalReason::Verify(error) => error.kind(),
            RefusalReason::Quarantined(_) => "quarantined",
            RefusalReason::Stopped => "stopped",
        }
    }

    /// Whether nothing was found, as opposed to something wrong.
    pub fn is_absence(&self) -> bool {
        matches!(&self.reason, RefusalReason::Storage(error) if error.kind == ErrorKind::NotFound)
    }

    /// Whether another attempt may go better although nobody mends anything.
    pub fn is_passing(&self) -> bool {
        matches!(
            &self.reason,
            RefusalReason::Storage(error) if matches!(
                error.kind,
                ErrorKind::Unreachable
                    | ErrorKind::TimedOut
                    | ErrorKind::Throttled
                    | ErrorKind::Unavailable
            )
        )
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.reason {
            RefusalReason::Storage(error) => error.fmt(f),
            RefusalReason::Verify(error) => {
                write!(f, "{}: {} is refused: {error}", self.storage, self.key)
            }
            RefusalReason::Quarantined(identity) => write!(
                f,
                "{}: {} holds {identity}, which is quarantined on this node",
                self.storage, self.key
            ),
            RefusalReason::Stopped => {
                write!(f, "{}: the check of {} was stopped", self.storage, self.key)
            }
        }
    }
}

impl Serialize for Refusal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut refusal = serializer.serialize_struct("Refusal", 4)?;
        refusal.serialize_field("storage", &self.storage)?;
        refusal.serialize_field("key", &self.key)?;
        refusal.serialize_field("kind", self.kind())?;
        refusal.serialize_field("message", &self.to_string())?;
        refusal.end()
    }
}

/// What one pass over a storage found.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The newest good snapshot, if there is one.
    pub candidate: Option<Candidate>,
    /// Whether it is the same object as in the pass before.
    pub unchanged: bool,
    /// What was looked at and not used, in order.
    pub refusals: Vec<Refusal>,
}

/// Reads one storage; remembers what it read, so that an unchanged object is not sent again.
pub struct Fetcher {
    storage: Arc<dyn Storage>,
    layout: Layout,
    verify: Verify,
    last: Option<(Version, Candidate)>,
}

impl Fetcher {
    /// A reader of `storage` for a build of `version`.
    pub fn new(storage: Arc<dyn Storage>, version: &str, verify: Verify) -> Self {
        Self {
            storage,
            layout: Layout::new(version),
            verify,
            last: None,
        }
    }

    /// The location that it reads.
    pub fn location(&self) -> &str {
        self.storage.location()
    }

    /// Makes one pass: `config.json` of the own version; if that is refused, the newest good
    /// history object; then other versions of the same major. Nothing is retried here.
    ///
    /// Snapshots in `skip` are passed over, so that the next best is found.
    pub async fn fetch(&mut self, skip: &HashSet<Identity>) -> Fetched {
        let own = self.layout.clone();
        // What is skipped now must be read again, to tell it from what is not modified.
        self.last
            .take_if(|(_, last)| skip.contains(last.snapshot.identity()));
        let known = self.last.as_ref().map(|(version, _)| version.clone());
        let refusal = match self.get(&own.config(), known.as_ref(), skip).await {
            Ok((version, candidate)) => {
                self.last = Some((version, candidate.clone()));
                return Fetched {
                    candidate: Some(candidate),
                    unchanged: false,
                    refusals: Vec::new(),
                };
            }
            Err(refusal) if refusal.kind() == ErrorKind::NotModified.as_str() => {
                return Fetched {
                    candidate: self.last.as_ref().map(|(_, candidate)| candidate.clone()),
                    unchanged: true,
                    refusals: Vec::new(),
                };
            }
            Err(refusal) => refusal,
        };
        let mut found = Fetched {
            candidate: None,
            unchanged: false,
            refusals: Vec::new(),
        };
        let away = refusal.is_passing();
        found.refusals.push(refusal);
        if away {
            // The storage itself is away: its other objects are too.
            return found;
        }
        self.last = None;
        found.candidate = self
            .newest_in_history(&own, skip, &mut found.refusals)
            .await;
        if found.candidate.is_none() {
            found.candidate = self.other_versions(skip, &mut found.refusals).await;
        }
        found
    }

    async fn get(
        &self,
        key: &str,
        known: Option<&Version>,
        skip: &HashSet<Identity>,
    ) -> Result<(Version, Candidate), Refusal> {
        let refuse = |reason| Refusal {
            storage: self.location().to_owned(),
            key: key.to_owned(),
            reason,
        };
        let object = self
            .storage
            .get(key, known, MAX_DOCUMENT_BYTES as u64)
            .await
            .map_err(|error| refuse(RefusalReason::Storage(error)))?;
        let verify = Arc::clone(&self.verify);
        // Hashing a large document would hold up the other tasks of the thread.
        let snapshot = spawn_blocking(move || verify(object.bytes))
            .await
            .map_err(|_| refuse(RefusalReason::Stopped))?
            .map_err(|error| refuse(RefusalReason::Verify(Arc::new(error))))?;
        if skip.contains(snapshot.identity()) {
            return Err(refuse(RefusalReason::Quarantined(*snapshot.identity())));
        }
        let candidate = Candidate {
            snapshot,
            storage: self.location().to_owned(),
            key: key.to_owned(),
        };
        Ok((object.version, candidate))
    }

    async fn newest_in_history(
        &self,
        layout: &Layout,
        skip: &HashSet<Identity>,
        refusals: &mut Vec<Refusal>,
    ) -> Option<Candidate> {
        let folder = layout.history_folder();
        let names = match self.storage.list(&folder).await {
            Ok(listed) => listed,
            Err(error) => {
                refusals.push(Refusal {
                    storage: self.location().to_owned(),
                    key: folder,
                    reason: RefusalReason::Storage(error),
                });
                return None;
            }
        };
        let mut names: Vec<_> = names
            .iter()
            .filter_map(|listed| HistoryName::parse(&listed.name))
            .collect();
        names.sort_unstable_by(|a, b| b.cmp(a));
        for name in names.iter().take(HISTORY_LOOK) {
            match self.get(&layout.history_named(name), None, skip).await {
                Ok((_, candidate)) => return Some(candidate),
                Err(refusal) => refusals.push(refusal),
            }
        }
        None
    }

    /// The newest good `config.json` of the other versions with the same major number.
    async fn other_versions(
        &self,
        skip: &HashSet<Identity>,
        refusals: &mut Vec<Refusal>,
    ) -> Option<Candidate> {
        let folders = match self.storage.folders().await {
            Ok(folders) => folders,
            Err(error) => {
                refusals.push(Refusal {
                    storage: self.location().to_owned(),
                    key: String::new(),
                    reason: RefusalReason::Storage(error),
                });
                return None;
            }
        };
        let mut others: Vec<_> = folders
            .into_iter()
            .map(Layout::new)
            .filter(|layout| *layout != self.layout && layout.major() == self.layout.major())
            .collect();
        others.sort_by_cached_key(|layout| Reverse(numbers(layout.version())));
        let mut newest: Option<Candidate> = None;
        for layout in others.into_iter().take(VERSIONS_LOOK) {
            match self.get(&layout.config(), None, skip).await {
                Ok((_, candidate)) => {
                    let position = |candidate: &Candidate| candidate.snapshot.identity().position();
                    if newest
                        .as_ref()
                        .is_none_or(|newest| position(newest) < position(&candidate))
                    {
                        newest = Some(candidate);
                    }
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        newest
    }
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher")
            .field("location", &self.location())
            .field("version", &self.layout.version())
            .finish_non_exhaustive()
    }
}
