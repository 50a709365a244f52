//! What is known about one target while the gateway runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::health::Count;
use crate::latency::Average;

/// The changing state of a peer, shared by all balancers that have it.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Health and counts in one word, so that they change together.
    record: AtomicU64,
    open: AtomicU32,
    pub(crate) latency: Average,
}

/// The four counts (each up to 255) and whether the target is out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Record {
    counts: [u8; 4],
    unhealthy: bool,
}

impl Record {
    fn unpack(word: u64) -> Self {
        let [a, b, c, d, unhealthy, ..] = word.to_le_bytes();
        Self {
            counts: [a, b, c, d],
            unhealthy: unhealthy != 0,
        }
    }

    fn pack(self) -> u64 {
        let [a, b, c, d] = self.counts;
        u64::from_le_bytes([a, b, c, d, u8::from(self.unhealthy), 0, 0, 0])
    }

    /// A success clears the failures, a failure clears the successes; the `limit`th of a kind
    /// decides.
    fn counted(mut self, count: Count, limit: u32) -> Self {
        let own = count as usize;
        let is_success = count == Count::Success;
        for (index, other) in self.counts.iter_mut().enumerate() {
            if is_success != (index == Count::Success as usize) {
                *other = 0;
            }
        }
        self.counts[own] = self.counts[own].saturating_add(1);
        if u32::from(self.counts[own]) >= limit.min(255) {
            self.unhealthy = !is_success;
            self.counts[own] = 0;
        }
        self
    }
}

impl State {
    pub(crate) fn is_unhealthy(&self) -> bool {
        Record::unpack(self.record.load(Relaxed)).unhealthy
    }

    /// Counts; returns whether the health changed.
    pub(crate) fn count(&self, count: Count, limit: u32) -> bool {
        let step = |word| Record::unpack(word).counted(count, limit);
        let before = self
            .record
            .fetch_update(Relaxed, Relaxed, |word| Some(step(word).pack()))
            .unwrap_or_else(|word| word);
        Record::unpack(before).unhealthy != step(before).unhealthy
    }

    /// Sets the health and clears the counts; returns whether the health changed.
    pub(crate) fn set_unhealthy(&self, unhealthy: bool) -> bool {
        let record = Record {
            counts: [0; 4],
            unhealthy,
        };
        let before = self.record.swap(record.pack(), Relaxed);
        Record::unpack(before).unhealthy != unhealthy
    }

    /// Requests under way.
    pub(crate) fn open(&self) -> u32 {
        self.open.load(Relaxed)
    }
}

/// A request under way to a target; it counts as open until this is dropped.
#[derive(Debug)]
pub struct Open {
    state: Arc<State>,
}

impl Open {
    pub(crate) fn new(state: &Arc<State>) -> Self {
        state.open.fetch_add(1, Relaxed);
        Self {
            state: Arc::clone(state),
        }
    }

    /// Notes how long the target took to connect and answer. `now` is the time since any fixed
    /// moment, the same one as in [`crate::Pick::now`].
    pub fn answered(&self, latency: Duration, now: Duration) {
        self.state.latency.add(latency, now);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.state.open.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Open, State};
    use crate::health::Count::{HttpFailure, Success, TcpFailure, Timeout};
    use std::sync::Arc;

    #[test]
    fn the_limit_of_failures_takes_a_target_out_and_that_of_successes_brings_it_back() {
        let state = State::default();
        assert!(!state.count(HttpFailure, 2));
        assert!(!state.is_unhealthy());
        assert!(state.count(HttpFailure, 2));
        assert!(state.is_unhealthy());
        assert!(!state.count(HttpFailure, 2));
        assert!(!state.count(Success, 2));
        assert!(state.count(Success, 2));
        assert!(!state.is_unhealthy());
    }

    #[test]
    fn a_success_clears_the_failures_and_a_failure_the_successes() {
        let state = State::default();
        state.count(TcpFailure, 2);
        state.count(Success, 5);
        assert!(!state.count(TcpFailure, 2));
        assert!(state.count(TcpFailure, 2));
        state.count(Success, 2);
        state.count(Timeout, 9);
        assert!(!state.count(Success, 2));
        assert!(state.is_unhealthy());
    }

    #[test]
    fn kinds_of_failures_count_apart() {
        let state = State::default();
        state.count(HttpFailure, 2);
        state.count(Timeout, 2);
        state.count(TcpFailure, 2);
        assert!(!state.is_unhealthy());
    }

    #[test]
    fn an_operator_overrides_and_clears_the_counts() {
        let state = State::default();
        state.count(HttpFailure, 2);
        assert!(!state.set_unhealthy(false));
        assert!(!state.count(HttpFailure, 2));
        assert!(state.set_unhealthy(true));
        assert!(state.is_unhealthy());
    }

    #[test]
    fn open_requests_are_counted_until_dropped() {
        let state = Arc::new(State::default());
        let first = Open::new(&state);
        let second = Open::new(&state);
        assert_eq!(state.open(), 2);
        drop(first);
        drop(second);
        assert_eq!(state.open(), 0);
    }
}
