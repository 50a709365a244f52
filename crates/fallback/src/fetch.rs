//! Fetching: the newest good snapshot of one storage, and why others were refused.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use keelgate_snapshot::{Identity, MAX_DOCUMENT_BYTES, Snapshot, VerifyError};
use serde::{Serialize, Serializer};
use tokio::task::spawn_blocking;

use crate::layout::{major, numbers};
use crate::{
    ErrorKind, Fencing, HistoryName, Index, Layout, Storage, StorageError, Version, index,
};

/// Verifies a document: the signature where the cluster has one, the digest always.
pub type Verify = Arc<dyn Fn(Bytes) -> Result<Snapshot, VerifyError> + Send + Sync>;

/// How many history objects are tried when `config.json` is refused.
const HISTORY_LOOK: usize = 5;

/// How many other versions are looked at: whoever can write to the storage must not keep its readers
/// busy for ever.
const VERSIONS_LOOK: usize = 16;

/// In how many passes the index is read once, while all is well.
const PASSES_PER_INDEX: u32 = 10;

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
    /// `config.json` of the own version.
    last: Option<(Version, Candidate)>,
    /// A history object that was newer, where the storage does not compare.
    newer: Option<(HistoryName, Candidate)>,
    index: Index,
    index_version: Option<Version>,
    passes: u32,
}

impl Fetcher {
    /// A reader of `storage` for a build of `version`.
    pub fn new(storage: Arc<dyn Storage>, version: &str, verify: Verify) -> Self {
        Self {
            storage,
            layout: Layout::new(version),
            verify,
            last: None,
            newer: None,
            index: Index::default(),
            index_version: None,
            passes: 0,
        }
    }

    /// The location that it reads.
    pub fn location(&self) -> &str {
        self.storage.location()
    }

    /// How the storage is protected, by the word of the last publisher of the own version.
    pub fn fencing(&self) -> Option<Fencing> {
        let entry = self.index.versions.get(self.layout.version())?;
        Some(entry.fencing)
    }

    /// Makes one pass: `config.json` of the own version; if that is refused, the newest good
    /// history object; then other versions of the same major. Where the storage does not compare,
    /// a newer good history object comes before `config.json`. Nothing is retried here.
    ///
    /// Snapshots in `skip` are passed over, so that the next best is found.
    pub async fn fetch(&mut self, skip: &HashSet<Identity>) -> Fetched {
        // What is skipped now must be read again, to tell it from what is not modified.
        self.last
            .take_if(|(_, last)| skip.contains(last.snapshot.identity()));
        self.newer
            .take_if(|(_, newer)| skip.contains(newer.snapshot.identity()));
        let known = self.last.as_ref().map(|(version, _)| version.clone());
        let key = self.layout.config();
        // Until it says how the own version is protected, it may come with every pass.
        let with_index = self.passes.is_multiple_of(PASSES_PER_INDEX) || self.fencing().is_none();
        self.passes = self.passes.wrapping_add(1);
        // A newborn node has no time to read them one after the other.
        let (own, index) = tokio::join!(self.get(&key, known.as_ref(), skip), async {
            match with_index {
                true => Some(index::read(&*self.storage, self.index_version.as_ref()).await),
                false => None,
            }
        });
        self.learn(index);
        let refusal = match own {
            Ok((version, candidate)) => {
                self.last = Some((version, candidate.clone()));
                return self.or_newer(candidate, false, skip).await;
            }
            Err(refusal) if refusal.kind() == ErrorKind::NotModified.as_str() => {
                if let Some((_, candidate)) = self.last.clone() {
                    return self.or_newer(candidate, true, skip).await;
                }
                refusal
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
        found.candidate = self.newest_in_history(skip, &mut found.refusals).await;
        if found.candidate.is_none() {
            if !with_index {
                let index = index::read(&*self.storage, self.index_version.as_ref()).await;
                self.learn(Some(index));
            }
            found.candidate = self.other_versions(skip, &mut found.refusals).await;
        }
        found
    }

    /// Takes what the index says. It is a hint: one that cannot be read changes nothing.
    fn learn(&mut self, read: Option<Result<index::Found, StorageError>>) {
        match read {
            None => {}
            Some(Ok(found)) => {
                self.index_version = found.version;
                self.index = found.index.unwrap_or_default();
            }
            Some(Err(error)) if error.kind == ErrorKind::NotModified => {}
            Some(Err(error)) => tracing::debug!(%error, "the index is not read"),
        }
    }

    /// What `config.json` holds or, where a paused publisher may have put something older there, a
    /// newer history object.
    async fn or_newer(
        &mut self,
        config: Candidate,
        unchanged: bool,
        skip: &HashSet<Identity>,
    ) -> Fetched {
        let mut fetched = Fetched {
            candidate: None,
            unchanged,
            refusals: Vec::new(),
        };
        let fencing = self.fencing();
        // An index that does not say may not have been written yet, or was deleted.
        if fencing != Some(Fencing::Compare) {
            let served = *config.snapshot.identity();
            let names = self.history_names(&mut fetched.refusals).await;
            let newer = names
                .into_iter()
                .filter(|name| name.position > served.position())
                .take(HISTORY_LOOK);
            for name in newer {
                if let Some((known, candidate)) = &self.newer
                    && *known == name
                {
                    fetched.candidate = Some(candidate.clone());
                    break;
                }
                let key = self.layout.history_named(&name);
                match self.get(&key, None, skip).await {
                    Ok((_, candidate)) if same_cluster(&candidate, &config) => {
                        fetched.unchanged = false;
                        fetched.candidate = Some(candidate.clone());
                        self.newer = Some((name, candidate));
                        break;
                    }
                    Ok(_) => {}
                    Err(refusal) => fetched.refusals.push(refusal),
                }
            }
        }
        if fencing.is_none() {
            // It was a look on suspicion: who may not list has nothing to mend.
            fetched.refusals.clear();
        }
        fetched.candidate.get_or_insert(config);
        fetched
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

    /// The names of the own history, newest first; none if it cannot be listed.
    async fn history_names(&self, refusals: &mut Vec<Refusal>) -> Vec<HistoryName> {
        let folder = self.layout.history_folder();
        let listed = match self.storage.list(&folder).await {
            Ok(listed) => listed,
            Err(error) => {
                refusals.push(Refusal {
                    storage: self.location().to_owned(),
                    key: folder,
                    reason: RefusalReason::Storage(error),
                });
                return Vec::new();
            }
        };
        let mut names: Vec<_> = listed
            .iter()
            .filter_map(|listed| HistoryName::parse(&listed.name))
            .collect();
        names.sort_unstable_by(|a, b| b.cmp(a));
        names
    }

    async fn newest_in_history(
        &self,
        skip: &HashSet<Identity>,
        refusals: &mut Vec<Refusal>,
    ) -> Option<Candidate> {
        let names = self.history_names(refusals).await;
        for name in names.iter().take(HISTORY_LOOK) {
            match self.get(&self.layout.history_named(name), None, skip).await {
                Ok((_, candidate)) => return Some(candidate),
                Err(refusal) => refusals.push(refusal),
            }
        }
        None
    }

    /// The newest good `config.json` of the other versions with the same major number: those that
    /// the index names and, where this node may list, those that lie there.
    async fn other_versions(
        &self,
        skip: &HashSet<Identity>,
        refusals: &mut Vec<Refusal>,
    ) -> Option<Candidate> {
        let mut names: BTreeSet<String> = self.index.versions.keys().cloned().collect();
        match self.storage.folders().await {
            Ok(folders) => names.extend(folders),
            Err(error) => refusals.push(Refusal {
                storage: self.location().to_owned(),
                key: String::new(),
                reason: RefusalReason::Storage(error),
            }),
        }
        let mut others: Vec<_> = names
            .into_iter()
            .filter(|version| {
                version != self.layout.version() && major(version) == self.layout.major()
            })
            .collect();
        others.sort_by_cached_key(|version| Reverse(numbers(version)));
        let mut newest: Option<Candidate> = None;
        for version in others.into_iter().take(VERSIONS_LOOK) {
            match self.get(&Layout::new(version).config(), None, skip).await {
                Ok((_, candidate)) => {
                    if newest
                        .as_ref()
                        .is_none_or(|newest| standing(newest) < standing(&candidate))
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

fn same_cluster(one: &Candidate, other: &Candidate) -> bool {
    one.snapshot.identity().cluster_id == other.snapshot.identity().cluster_id
}

/// What orders candidates of one cluster: the snapshot, then its statement.
fn standing(candidate: &Candidate) -> ((u64, u64), SystemTime) {
    let snapshot = &candidate.snapshot;
    (snapshot.identity().position(), snapshot.created_at())
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher")
            .field("location", &self.location())
            .field("version", &self.layout.version())
            .finish_non_exhaustive()
    }
}
