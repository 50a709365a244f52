//! What a node has counted since it last spoke with Redis (`sync_rate`).
//!
//! A count is what Redis last told and what was counted here since. It is good for two intervals
//! after it was told; a busy caller's is told anew within one, so that its requests never wait.
//! What could not be sent is kept and sent with the next counts, until its window is over.

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::counters::{Limit, Usage};
use super::period::Period;
use super::shared::{self, Key};
use crate::redis::Server;

/// Windows of callers that are known at the same time: some 60 MB.
const CAPACITY: usize = 256 * 1024;

/// Counts that are sent in one go.
const BATCH: usize = 1000;

/// The counts of all servers. They outlive a configuration as long as another names its server.
#[derive(Debug, Default)]
pub(crate) struct Tallies(Mutex<Vec<(Weak<Server>, Arc<Tally>)>>);

impl Tallies {
    /// The counts of a server.
    pub(crate) fn of(&self, server: &Arc<Server>) -> Arc<Tally> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(server, _)| server.strong_count() > 0);
        let of_server = |(known, _): &&(Weak<Server>, _)| known.as_ptr() == Arc::as_ptr(server);
        if let Some((_, tally)) = known.iter().find(of_server) {
            return Arc::clone(tally);
        }
        let tally = Arc::new(Tally::default());
        known.push((Arc::downgrade(server), Arc::clone(&tally)));
        tally
    }
}

/// The counts of one server.
#[derive(Debug)]
pub(crate) struct Tally {
    counts: papaya::HashMap<Key, Count>,
    since: Instant,
    /// When windows that are over were last sought, in seconds since `since`.
    swept: AtomicU32,
}

/// One window of one caller.
#[derive(Debug)]
struct Count {
    period: Period,
    /// What Redis knows.
    told: AtomicI64,
    /// What it does not know yet.
    more: AtomicI64,
    /// Until when it is good, in milliseconds since the start.
    fresh_until: AtomicU64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            counts: papaya::HashMap::new(),
            since: Instant::now(),
            swept: AtomicU32::new(0),
        }
    }
}

impl Tally {
    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Counts a request in all windows, if it fits into all; none if one of them is not known.
    pub(super) fn count(&self, keys: &[Key], limits: &[Limit]) -> Option<Usage> {
        let now = self.now();
        let counts = self.counts.pin();
        let fresh = |key| {
            let count: &Count = counts.get(key)?;
            (count.fresh_until.load(Ordering::Relaxed) > now).then_some(count)
        };
        let known: Vec<&Count> = keys.iter().map(fresh).collect::<Option<_>>()?;
        let used = known.iter().map(|count| {
            let more = count.more.fetch_add(1, Ordering::Relaxed);
            count.told.load(Ordering::Relaxed) + more
        });
        let usage = shared::usage(limits, used);
        if !usage.counted {
            for count in known {
                count.more.fetch_sub(1, Ordering::Relaxed);
            }
        }
        Some(usage)
    }

    /// Takes note of what Redis tells.
    pub(super) fn learn(&self, key: &Key, period: Period, told: i64, interval: Duration) {
        let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        let fresh_until = self.now().saturating_add(interval.saturating_mul(2));
        let counts = self.counts.pin();
        match counts.get(key) {
            Some(count) => {
                count.told.store(told, Ordering::Relaxed);
                count.fresh_until.store(fresh_until, Ordering::Relaxed);
            }
            None if counts.len() < CAPACITY => {
                let new = || Count {
                    period,
                    told: AtomicI64::new(told),
                    more: AtomicI64::new(0),
                    fresh_until: AtomicU64::new(fresh_until),
                };
                counts.get_or_insert_with(key.clone(), new);
            }
            None => (),
        }
    }

    /// Tells Redis what was counted here, and hears what others have.
    pub(super) async fn synchronise(&self, server: &Server, interval: Duration) {
        let changed = self.take_changed();
        let mut problem = None;
        for batch in changed.chunks(BATCH) {
            let amounts = batch
                .iter()
                .map(|(key, period, more)| (key, *more, *period));
            match shared::add(server, amounts).await {
                Ok(told) => {
                    for ((key, period, _), told) in batch.iter().zip(told) {
                        self.learn(key, *period, told, interval);
                    }
                }
                Err(error) => {
                    self.give_back(batch);
                    problem = Some(error);
                }
            }
        }
        if let Some(problem) = problem {
            tracing::error!(%problem, "counts of rate-limiting are not synchronised");
        }
        self.forget();
    }

    /// What Redis does not know; from now on it counts as told.
    fn take_changed(&self) -> Vec<(Key, Period, i64)> {
        let counts = self.counts.pin();
        let changed = counts.iter().filter_map(|(key, count)| {
            let more = count.more.load(Ordering::Relaxed);
            if more <= 0 {
                return None;
            }
            count.told.fetch_add(more, Ordering::Relaxed);
            count.more.fetch_sub(more, Ordering::Relaxed);
            Some((key.clone(), count.period, more))
        });
        changed.collect()
    }

    fn give_back(&self, batch: &[(Key, Period, i64)]) {
        let counts = self.counts.pin();
        for (key, _, more) in batch {
            if let Some(count) = counts.get(key) {
                count.more.fetch_add(*more, Ordering::Relaxed);
                count.told.fetch_sub(*more, Ordering::Relaxed);
            }
        }
    }

    /// Forgets what nobody has asked for lately.
    fn forget(&self) {
        let now = self.now();
        let seconds = u32::try_from(now / 1000).unwrap_or(u32::MAX);
        let swept = self.swept.load(Ordering::Relaxed);
        if seconds.saturating_sub(swept) < 1 {
            return;
        }
        self.swept.store(seconds, Ordering::Relaxed);
        let counts = self.counts.pin();
        counts.retain(|_, count| {
            let fresh_until = count.fresh_until.load(Ordering::Relaxed);
            let over = u64::from(count.period.longest()) * 1000;
            let unsent = count.more.load(Ordering::Relaxed) > 0;
            fresh_until > now || (unsent && fresh_until.saturating_add(over) > now)
        });
    }
}
