//! Where certificates, accounts and challenges are kept: in the memory of the node, or in Redis,
//! where Kong's nodes find them as well.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::redis::Pipeline;

use crate::redis::{Server, Unanswered};

/// Entries that the memory of a node holds.
const CAPACITY: usize = 65_536;

/// Where things are kept.
#[derive(Clone)]
pub(crate) enum Storage {
    Memory(Arc<Memory>),
    Redis {
        server: Arc<Server>,
        /// Goes before all keys.
        namespace: String,
        /// Keys that are looked at in one go.
        scan_count: u32,
    },
}

/// The memory of a node.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<HashMap<String, Entry>>);

#[derive(Debug)]
struct Entry {
    value: String,
    /// Until when it counts; forever, if there is no end to it.
    end: Option<Instant>,
}

/// Why a storage does not keep or find something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    #[error("{0}")]
    Redis(#[from] Unanswered),
    #[error("the memory for certificates is full; use Redis")]
    Full,
}

impl Memory {
    /// Nothing is left half done under the lock, so that a panic elsewhere does not matter.
    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &str) -> Option<String> {
        let entries = self.entries();
        let entry = entries.get(key).filter(|entry| entry.counts())?;
        Some(entry.value.clone())
    }

    fn set(
        &self,
        key: &str,
        value: &str,
        lifetime: Option<Duration>,
        only_new: bool,
    ) -> Result<bool, StorageError> {
        let mut entries = self.entries();
        let is_there = entries.get(key).is_some_and(Entry::counts);
        if is_there && only_new {
            return Ok(false);
        }
        if !is_there && entries.len() >= CAPACITY {
            entries.retain(|_, entry| entry.counts());
            if entries.len() >= CAPACITY {
                return Err(StorageError::Full);
            }
        }
        let entry = Entry {
            value: value.to_owned(),
            end: lifetime.map(|lifetime| Instant::now() + lifetime),
        };
        entries.insert(key.to_owned(), entry);
        Ok(true)
    }

    fn list(&self, prefix: &str) -> Vec<String> {
        let entries = self.entries();
        let counting = entries.iter().filter(|(_, entry)| entry.counts());
        let keys = counting.map(|(key, _)| key);
        let mut keys: Vec<String> = keys
            .filter(|key| key.starts_with(prefix))
            .cloned()
            .collect();
        keys.sort_unstable();
        keys
    }
}

impl Entry {
    fn counts(&self) -> bool {
        self.end.is_none_or(|end| Instant::now() < end)
    }
}

impl Storage {
    pub(crate) async fn get(&self, key: &str) -> Result<Option<String>, StorageError> {
        match self {
            Self::Memory(memory) => Ok(memory.get(key)),
            Self::Redis {
                server, namespace, ..
            } => {
                let mut asked = Pipeline::new();
                asked.cmd("GET").arg(format!("{namespace}{key}"));
                let (value,): (Option<String>,) = server.ask(&asked).await?;
                Ok(value)
            }
        }
    }

    pub(crate) async fn set(
        &self,
        key: &str,
        value: &str,
        lifetime: Option<Duration>,
    ) -> Result<(), StorageError> {
        self.put(key, value, lifetime, false).await.map(drop)
    }

    /// Keeps a value unless there is one; whether there was none.
    pub(crate) async fn add(
        &self,
        key: &str,
        value: &str,
        lifetime: Duration,
    ) -> Result<bool, StorageError> {
        self.put(key, value, Some(lifetime), true).await
    }

    async fn put(
        &self,
        key: &str,
        value: &str,
        lifetime: Option<Duration>,
        only_new: bool,
    ) -> Result<bool, StorageError> {
        let (server, namespace) = match self {
            Self::Memory(memory) => return memory.set(key, value, lifetime, only_new),
            Self::Redis {
                server, namespace, ..
            } => (server, namespace),
        };
        let mut asked = Pipeline::new();
        let command = asked.cmd("SET").arg(format!("{namespace}{key}")).arg(value);
        if only_new {
            command.arg("NX");
        }
        if let Some(lifetime) = lifetime {
            let milliseconds = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
            command.arg("PX").arg(milliseconds.max(1));
        }
        let (kept,): (Option<String>,) = server.ask(&asked).await?;
        Ok(kept.is_some())
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<(), StorageError> {
        match self {
            Self::Memory(memory) => {
                memory.entries().remove(key);
                Ok(())
            }
            Self::Redis {
                server, namespace, ..
            } => {
                let mut asked = Pipeline::new();
                asked.cmd("DEL").arg(format!("{namespace}{key}"));
                let (_,): (u64,) = server.ask(&asked).await?;
                Ok(())
            }
        }
    }

    /// The keys that begin so, in order.
    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        let (server, namespace, scan_count) = match self {
            Self::Memory(memory) => return Ok(memory.list(prefix)),
            Self::Redis {
                server,
                namespace,
                scan_count,
            } => (server, namespace, scan_count),
        };
        let mut keys = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let mut asked = Pipeline::new();
            asked
                .cmd("SCAN")
                .arg(&cursor)
                .arg("MATCH")
                .arg(format!("{}*", literal(&format!("{namespace}{prefix}"))))
                .arg("COUNT")
                .arg(*scan_count);
            let ((next, found),): ((String, Vec<String>),) = server.ask(&asked).await?;
            let found = found.iter().filter_map(|key| key.strip_prefix(namespace));
            keys.extend(found.map(str::to_owned));
            if next == "0" || keys.len() > CAPACITY {
                break;
            }
            cursor = next;
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }
}

/// A text that stands for itself in a pattern of Redis.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_keeps_what_it_is_given_for_its_time() {
        let storage = Storage::Memory(Arc::default());
        let short = Duration::ZERO;
        let long = Duration::from_secs(3600);
        assert!(storage.add("lock", "1", long).await.unwrap());
        assert!(!storage.add("lock", "2", long).await.unwrap());
        storage.set("lock", "3", Some(short)).await.unwrap();
        assert_eq!(storage.get("lock").await.unwrap(), None);
        assert!(storage.add("lock", "4", long).await.unwrap());
        storage.set("a:2", "x", None).await.unwrap();
        storage.set("a:1", "y", None).await.unwrap();
        assert_eq!(storage.list("a:").await.unwrap(), ["a:1", "a:2"]);
        storage.delete("a:1").await.unwrap();
        assert_eq!(storage.list("a:").await.unwrap(), ["a:2"]);
    }

    #[test]
    fn patterns_of_redis_are_literal() {
        assert_eq!(literal("a*b[c]"), "a\\*b\\[c\\]");
    }
}
