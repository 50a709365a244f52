//! The memory of a node as a storage.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Entries that the memory of a node holds.
pub(super) const CAPACITY: usize = 65_536;

/// The memory of a node.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<HashMap<String, Entry>>);

#[derive(Debug)]
struct Entry {
    value: String,
    /// Until when it counts; forever, if there is no end to it.
    end: Option<Instant>,
}

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Memory {
    /// Nothing is left half done under the lock, so that a panic elsewhere does not matter.
    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &str) -> Option<String> {
        let entries = self.entries();
        let entry = entries.get(key).filter(|entry| entry.counts())?;
        Some(entry.value.clone())
    }

    /// Keeps a value unless there is one and only new ones are kept; whether it is kept.
    pub(super) fn put(
        &self,
        key: &str,
        value: &str,
        lasts: Option<Duration>,
        only_new: bool,
    ) -> Result<bool, Full> {
        let mut entries = self.entries();
        let is_there = entries.get(key).is_some_and(Entry::counts);
        if is_there && only_new {
            return Ok(false);
        }
        if !is_there && entries.len() >= CAPACITY {
            entries.retain(|_, entry| entry.counts());
            if entries.len() >= CAPACITY {
                return Err(Full);
            }
        }
        let entry = Entry {
            value: value.to_owned(),
            end: lasts.map(|lasts| Instant::now() + lasts),
        };
        entries.insert(key.to_owned(), entry);
        Ok(true)
    }

    pub(super) fn delete(&self, key: &str) {
        self.entries().remove(key);
    }

    pub(super) fn list(&self, prefix: &str) -> Vec<String> {
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
