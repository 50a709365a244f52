//! Responses that the node keeps beyond the life of a configuration.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use moka::sync::Cache;

use crate::HeaderMap;

/// What all kept responses take up together, in bytes.
const CAPACITY: u64 = 128 * 1024 * 1024;

/// The longest body that is kept, in bytes.
pub(super) const MAX_BODY: usize = 8 * 1024 * 1024;

/// The kept responses of all `proxy-cache` plugins of a node. When there is no room, those that
/// were used least go.
#[derive(Debug)]
pub(crate) struct Store(Cache<String, Arc<Stored>>);

/// A kept response.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// When it was kept, in seconds since 1970.
    pub(super) at: u64,
    /// Seconds that it is good for.
    pub(super) lifetime: u64,
    /// Seconds that it is kept; forever, where there is no end to it.
    pub(super) kept_for: Option<u64>,
}

impl Stored {
    /// Bytes, about.
    fn size(&self) -> usize {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| name.as_str().len() + value.len() + 64);
        self.body.len() + headers.sum::<usize>() + 256
    }

    /// Seconds since it was kept.
    pub(super) fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.at)
    }
}

impl Store {
    pub(crate) fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    fn with_capacity(capacity: u64) -> Self {
        let weigh = |key: &String, stored: &Arc<Stored>| {
            u32::try_from(key.len() + stored.size()).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().max_capacity(capacity).weigher(weigh);
        Self(cache.build())
    }

    /// The response under a key, if it has not been kept for long enough.
    pub(super) fn get(&self, key: &str, now: u64) -> Option<Arc<Stored>> {
        let stored = self.0.get(key)?;
        if stored
            .kept_for
            .is_some_and(|seconds| stored.age(now) >= seconds)
        {
            self.0.invalidate(key);
            return None;
        }
        Some(stored)
    }

    /// Forgets the response under a key; whether it was kept at this time.
    pub(super) fn remove(&self, key: &str, now: u64) -> bool {
        let is_kept = self.get(key, now).is_some();
        self.0.invalidate(key);
        is_kept
    }

    /// Forgets all responses.
    pub(super) fn clear(&self) {
        self.0.invalidate_all();
    }

    pub(super) fn put(&self, key: String, stored: Stored) {
        self.0.insert(key, Arc::new(stored));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(length: usize, kept_for: Option<u64>) -> Stored {
        Stored {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::from(vec![0; length]),
            at: 100,
            lifetime: 5,
            kept_for,
        }
    }

    #[test]
    fn responses_are_forgotten_when_their_time_is_over() {
        let store = Store::new();
        store.put("a".to_owned(), stored(1, Some(5)));
        store.put("b".to_owned(), stored(1, None));
        assert!(store.get("a", 104).is_some());
        assert!(store.get("a", 105).is_none());
        assert!(store.get("a", 104).is_none());
        assert!(store.get("b", u64::MAX).is_some());
    }

    #[test]
    fn responses_can_be_forgotten() {
        let store = Store::new();
        for key in ["a", "b", "c"] {
            store.put(key.to_owned(), stored(1, Some(5)));
        }
        assert!(store.remove("a", 101) && !store.remove("a", 101));
        assert!(!store.remove("b", 105), "its time was over");
        store.clear();
        assert!(store.get("c", 101).is_none());
    }

    #[test]
    fn memory_is_bounded() {
        let store = Store::with_capacity(10_000);
        for at in 0..100 {
            store.put(at.to_string(), stored(1_000, None));
        }
        store.0.run_pending_tasks();
        assert!(store.0.weighted_size() <= 10_000);
        assert!(store.0.entry_count() > 0);
    }
}
