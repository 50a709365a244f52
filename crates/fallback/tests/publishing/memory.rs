//! A storage in memory that misbehaves as real ones do, and keeps count.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use keelgate_fallback::{
    Answer, ErrorKind, Listed, Object, Operation, Storage, StorageError, Version,
};
use keelgate_snapshot::Digest;
use tokio::time::{Instant, sleep};

/// What becomes of conditions on writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Conditions {
    #[default]
    Kept,
    Ignored,
    /// Such requests are refused.
    Unsupported,
    /// "Must be absent" is kept, "must match" is ignored.
    CreateAlone,
    /// Looked at first, written later: two at once both win.
    Racy,
}

/// A way to misbehave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) conditions: Conditions,
    /// Every request fails so.
    pub(crate) away: Option<(ErrorKind, Option<Duration>)>,
    /// So many writes are done and answered with an error.
    pub(crate) unanswered: usize,
    /// The next conditional or unconditional write of `config.json` is executed so much later.
    pub(crate) held: Option<Duration>,
    /// So long takes a delete.
    pub(crate) slow_delete: Option<Duration>,
    pub(crate) may_not_list: bool,
    pub(crate) may_not_delete: bool,
    pub(crate) read_only: bool,
}

/// A request that changed something, or would have.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) key: String,
    pub(crate) at: Instant,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, (Bytes, SystemTime)>,
    writes: Vec<Write>,
    requests: Vec<Write>,
}

#[derive(Clone, Debug)]
pub(crate) struct Memory {
    location: String,
    began: Instant,
    state: Arc<Mutex<State>>,
    faults: Arc<Mutex<Faults>>,
}

enum Condition {
    None,
    Absent,
    Match(Version),
}

impl Memory {
    pub(crate) fn new(location: &str) -> Self {
        Self {
            location: location.to_owned(),
            began: Instant::now(),
            state: Arc::default(),
            faults: Arc::default(),
        }
    }

    /// The same objects, seen by somebody else over a network with faults of its own.
    pub(crate) fn beside(&self) -> Self {
        Self {
            faults: Arc::new(Mutex::new(self.faults.lock().unwrap().clone())),
            ..self.clone()
        }
    }

    pub(crate) fn with(conditions: Conditions) -> Self {
        let memory = Self::new("memory");
        memory.change(|faults| faults.conditions = conditions);
        memory
    }

    pub(crate) fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.clone())
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.faults.lock().unwrap());
    }

    /// The keys of all objects.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.state.lock().unwrap().objects.keys().cloned().collect()
    }

    pub(crate) fn bytes(&self, key: &str) -> Option<Bytes> {
        let state = self.state.lock().unwrap();
        state.objects.get(key).map(|(bytes, _)| bytes.clone())
    }

    /// From outside, past all faults.
    pub(crate) fn set(&self, key: &str, bytes: impl Into<Bytes>) {
        let entry = (bytes.into(), self.now());
        self.state
            .lock()
            .unwrap()
            .objects
            .insert(key.to_owned(), entry);
    }

    /// From outside.
    pub(crate) fn remove(&self, keys: impl Fn(&str) -> bool) {
        self.state
            .lock()
            .unwrap()
            .objects
            .retain(|key, _| !keys(key));
    }

    pub(crate) fn writes(&self) -> Vec<Write> {
        self.state.lock().unwrap().writes.clone()
    }

    pub(crate) fn requests(&self) -> Vec<Write> {
        self.state.lock().unwrap().requests.clone()
    }

    fn now(&self) -> SystemTime {
        // By a clock of its own, hours away from others.
        SystemTime::UNIX_EPOCH + Duration::from_secs(3600) + self.began.elapsed()
    }

    fn error(&self, operation: Operation, key: &str, kind: ErrorKind) -> StorageError {
        StorageError::new(&self.location, operation, key, kind, "")
    }

    fn arrive(&self, operation: Operation, key: &str) -> Result<Faults, StorageError> {
        self.state.lock().unwrap().requests.push(Write {
            key: key.to_owned(),
            at: Instant::now(),
        });
        let faults = self.faults.lock().unwrap().clone();
        match faults.away {
            Some((kind, retry_after)) => {
                let mut error = self.error(operation, key, kind);
                error.retry_after = retry_after;
                Err(error)
            }
            None => Ok(faults),
        }
    }

    async fn write(
        &self,
        operation: Operation,
        key: &str,
        bytes: Bytes,
        condition: Condition,
    ) -> Result<Version, StorageError> {
        let faults = self.arrive(operation, key)?;
        self.state.lock().unwrap().writes.push(Write {
            key: key.to_owned(),
            at: Instant::now(),
        });
        if faults.read_only {
            return Err(self.error(operation, key, ErrorKind::Unsupported));
        }
        let held = key
            .ends_with("/config.json")
            .then_some(faults.held)
            .flatten();
        if let Some(held) = held {
            self.change(|faults| faults.held = None);
            sleep(held).await;
        }
        let conditional = !matches!(condition, Condition::None);
        let condition = match (faults.conditions, condition) {
            (Conditions::Unsupported, _) if conditional => {
                return Err(self.error(operation, key, ErrorKind::Unsupported));
            }
            (Conditions::Ignored, _) | (Conditions::CreateAlone, Condition::Match(_)) => {
                Condition::None
            }
            (_, condition) => condition,
        };
        self.compare(operation, key, &condition)?;
        if faults.conditions == Conditions::Racy && conditional {
            sleep(Duration::from_millis(1)).await;
        }
        let version = version_of(&bytes);
        self.set(key, bytes);
        let mut faults = self.faults.lock().unwrap();
        if faults.unanswered > 0 {
            faults.unanswered -= 1;
            return Err(self.error(operation, key, ErrorKind::Unavailable));
        }
        Ok(version)
    }

    fn compare(
        &self,
        operation: Operation,
        key: &str,
        condition: &Condition,
    ) -> Result<(), StorageError> {
        let found = self.bytes(key).map(|bytes| version_of(&bytes));
        let refused = match condition {
            Condition::None => None,
            Condition::Absent => found.is_some().then_some(ErrorKind::AlreadyExists),
            Condition::Match(version) => {
                (found.as_ref() != Some(version)).then_some(ErrorKind::Precondition)
            }
        };
        refused.map_or(Ok(()), |kind| Err(self.error(operation, key, kind)))
    }
}

impl Storage for Memory {
    fn location(&self) -> &str {
        &self.location
    }

    fn writable(&self) -> bool {
        !self.faults.lock().unwrap().read_only
    }

    fn get<'a>(
        &'a self,
        key: &'a str,
        known: Option<&'a Version>,
        limit: u64,
    ) -> Answer<'a, Object> {
        Box::pin(async move {
            let error = |kind| self.error(Operation::Read, key, kind);
            let faults = self.arrive(Operation::Read, key)?;
            let Some(bytes) = self.bytes(key) else {
                // As S3 answers those who may not list.
                let kind = match faults.may_not_list {
                    true => ErrorKind::Denied,
                    false => ErrorKind::NotFound,
                };
                return Err(error(kind));
            };
            if bytes.len() as u64 > limit {
                return Err(error(ErrorKind::TooLarge));
            }
            let version = version_of(&bytes);
            if known == Some(&version) {
                return Err(error(ErrorKind::NotModified));
            }
            Ok(Object { bytes, version })
        })
    }

    fn put<'a>(&'a self, key: &'a str, bytes: Bytes) -> Answer<'a, Version> {
        Box::pin(self.write(Operation::Write, key, bytes, Condition::None))
    }

    fn put_if_absent<'a>(&'a self, key: &'a str, bytes: Bytes) -> Answer<'a, Version> {
        Box::pin(self.write(Operation::Create, key, bytes, Condition::Absent))
    }

    fn put_if_match<'a>(
        &'a self,
        key: &'a str,
        bytes: Bytes,
        expected: &'a Version,
    ) -> Answer<'a, Version> {
        let condition = Condition::Match(expected.clone());
        Box::pin(self.write(Operation::Replace, key, bytes, condition))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Listed>> {
        Box::pin(async move {
            if self.arrive(Operation::List, prefix)?.may_not_list {
                return Err(self.error(Operation::List, prefix, ErrorKind::Denied));
            }
            let state = self.state.lock().unwrap();
            let below = state.objects.iter().filter_map(|(key, (bytes, modified))| {
                let name = key.strip_prefix(prefix)?.strip_prefix('/')?;
                (!name.contains('/')).then(|| Listed {
                    name: name.to_owned(),
                    bytes: bytes.len() as u64,
                    modified: Some(*modified),
                })
            });
            Ok(below.collect())
        })
    }

    fn folders(&self) -> Answer<'_, Vec<String>> {
        Box::pin(async move {
            if self.arrive(Operation::List, "")?.may_not_list {
                return Err(self.error(Operation::List, "", ErrorKind::Denied));
            }
            let keys = self.keys();
            let mut names: Vec<_> = keys
                .iter()
                .filter_map(|key| Some(key.split_once('/')?.0.to_owned()))
                .collect();
            names.dedup();
            Ok(names)
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let faults = self.arrive(Operation::Delete, key)?;
            if faults.may_not_delete {
                return Err(self.error(Operation::Delete, key, ErrorKind::Denied));
            }
            if let Some(slow) = faults.slow_delete {
                sleep(slow).await;
            }
            self.remove(|other| other == key);
            Ok(())
        })
    }
}

/// As weak as an entity tag may be: equal bytes, equal version.
fn version_of(bytes: &[u8]) -> Version {
    Version(Digest::of(bytes).to_string())
}
