//! Counts of requests and of what they use up, kept by the node beyond the life of a configuration.
//!
//! Requests of all cores count without locks: one look-up finds the counters of a caller, and each
//! window is one atomic word that holds both the start of the window and the count in it, so that
//! a new window begins by the same compare-and-swap that counts its first request.
//!
//! Memory is bounded. Counters are spread over shards of at most [`SHARD_CAPACITY`] callers;
//! callers whose windows have all passed are forgotten from time to time, and in a full shard those
//! that were seen longest ago are. Callers are known by a keyed 128-bit hash, so that a long header
//! value takes no more room than a short one, and nobody can choose a value that falls together
//! with another's.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;
use uuid::Uuid;

use super::period::Period;

const SHARDS: usize = 64;

/// Callers per shard: 256 Ki in all, some 40 MB.
const SHARD_CAPACITY: usize = 4096;

/// Seconds between two searches of a shard for callers to forget.
const SWEEP_INTERVAL: u32 = 60;

/// The counters of all `rate-limiting` plugins of a node.
#[derive(Debug)]
pub(crate) struct Counters {
    hashers: [RandomState; 2],
    shards: Box<[Shard]>,
}

#[derive(Debug, Default)]
struct Shard {
    callers: papaya::HashMap<u128, Caller, FxBuildHasher>,
    /// When callers were last forgotten, in seconds since 1970.
    swept_at: AtomicU32,
}

/// One caller of one plugin.
#[derive(Debug, Default)]
struct Caller {
    /// One per [`Period`]: start of the window in the upper half, count in the lower.
    windows: [AtomicU64; 6],
    /// When the last of the windows in use ends, in seconds since 1970.
    ends_at: AtomicU32,
    seen_at: AtomicU32,
}

/// A limit as [`Counters::count`] needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) period: Period,
    /// Requests per window; fractions are possible and count as they compare.
    pub(crate) requests: f64,
}

/// What the caller had used of each limit before this request, in the order of the limits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) used: SmallVec<[u32; 6]>,
    /// Whether the request fits into all limits, and was counted.
    pub(crate) counted: bool,
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            hashers: [RandomState::new(), RandomState::new()],
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
        }
    }

    /// Counts a request, unless one of the limits is used up.
    ///
    /// `caller` is what tells callers of the plugin apart; `now` is in seconds since 1970.
    pub(crate) fn count(&self, plugin: Uuid, caller: &[u8], limits: &[Limit], now: u32) -> Usage {
        self.with(plugin, caller, now, |caller| caller.count(limits, now))
    }

    /// What a caller has used of each limit, in the order of the limits.
    pub(crate) fn used(
        &self,
        plugin: Uuid,
        caller: &[u8],
        limits: &[Limit],
        now: u32,
    ) -> SmallVec<[u32; 6]> {
        self.with(plugin, caller, now, |caller| caller.used(limits, now))
    }

    /// Counts what a caller used up, though it may be more than was left.
    pub(crate) fn add(&self, plugin: Uuid, caller: &[u8], limits: &[Limit], amount: u32, now: u32) {
        self.with(plugin, caller, now, |caller| {
            for limit in limits {
                // An amount that always fits cannot fail.
                let _ = caller.count_in(limit.period, amount, |_| true, now);
            }
        });
    }

    fn with<T>(
        &self,
        plugin: Uuid,
        caller: &[u8],
        now: u32,
        use_one: impl FnOnce(&Caller) -> T,
    ) -> T {
        let [low, high] = &self.hashers;
        let key = (plugin, caller);
        let key = u128::from(high.hash_one(key)) << 64 | u128::from(low.hash_one(key));
        let shard = &self.shards[(key >> 64) as usize % SHARDS];
        let callers = shard.callers.pin();
        let caller = match callers.get(&key) {
            Some(caller) => caller,
            None => {
                shard.make_room(now);
                callers.get_or_insert_with(key, Caller::default)
            }
        };
        use_one(caller)
    }
}

impl Shard {
    /// Forgets callers, if the shard is full or it is time to look for passed windows.
    fn make_room(&self, now: u32) {
        let callers = self.callers.pin();
        let full = callers.len() >= SHARD_CAPACITY;
        let swept_at = self.swept_at.load(Ordering::Relaxed);
        let due = now.saturating_sub(swept_at) >= SWEEP_INTERVAL;
        if !full && !due {
            return;
        }
        // One thread at a time: the others only add their own caller.
        let swap =
            self.swept_at
                .compare_exchange(swept_at, now, Ordering::Relaxed, Ordering::Relaxed);
        if swap.is_err() {
            return;
        }
        let oldest = |callers: &papaya::HashMapRef<'_, u128, Caller, FxBuildHasher, _>| {
            let mut seen: Vec<u32> = callers.values().map(|caller| caller.seen()).collect();
            let quarter = seen.len() / 4;
            *seen.select_nth_unstable(quarter).1
        };
        callers.retain(|_, caller| caller.ends_at.load(Ordering::Relaxed) > now);
        if callers.len() >= SHARD_CAPACITY {
            let oldest = oldest(&callers);
            let mut room = SHARD_CAPACITY / 4;
            // Callers seen in the same second are told apart by nothing: some of them go.
            callers.retain(|_, caller| {
                let goes = room > 0 && caller.seen() <= oldest;
                room -= usize::from(goes);
                !goes
            });
        }
    }
}

impl Caller {
    fn seen(&self) -> u32 {
        self.seen_at.load(Ordering::Relaxed)
    }

    fn used(&self, limits: &[Limit], now: u32) -> SmallVec<[u32; 6]> {
        self.seen_at.fetch_max(now, Ordering::Relaxed);
        limits
            .iter()
            .map(|limit| {
                let window = &self.windows[limit.period as usize];
                used(window.load(Ordering::Relaxed), limit.period.start(now))
            })
            .collect()
    }

    fn count(&self, limits: &[Limit], now: u32) -> Usage {
        let used = self.used(limits, now);
        let fits = |(limit, used): (&Limit, &u32)| f64::from(*used) < limit.requests;
        if !limits.iter().zip(&used).all(fits) {
            return Usage {
                used,
                counted: false,
            };
        }
        for (at, limit) in limits.iter().enumerate() {
            let fits = |used: u32| f64::from(used) < limit.requests;
            if let Err(now_used) = self.count_in(limit.period, 1, fits, now) {
                // Another request took the last place meanwhile.
                for earlier in &limits[..at] {
                    self.windows[earlier.period as usize].fetch_sub(1, Ordering::Relaxed);
                }
                let mut used = used;
                used[at] = now_used;
                return Usage {
                    used,
                    counted: false,
                };
            }
        }
        Usage {
            used,
            counted: true,
        }
    }

    /// Counts in one window; the error is the count that leaves no room.
    fn count_in(
        &self,
        period: Period,
        amount: u32,
        fits: impl Fn(u32) -> bool,
        now: u32,
    ) -> Result<(), u32> {
        let start = period.start(now);
        let window = &self.windows[period as usize];
        self.ends_at
            .fetch_max(start.saturating_add(period.longest()), Ordering::Relaxed);
        let counted = window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            let used = used(word, start);
            let fits = fits(used);
            // A request that was read just before a new window counts in the new one.
            let start = start.max((word >> 32) as u32);
            fits.then(|| u64::from(start) << 32 | u64::from(used.saturating_add(amount)))
        });
        counted.map(drop).map_err(|word| used(word, start))
    }
}

/// The count of a window that starts at `start`, or later.
fn used(word: u64, start: u32) -> u32 {
    if (word >> 32) as u32 >= start {
        word as u32
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u32 = 1_709_210_096;

    fn limit(period: Period, requests: f64) -> Limit {
        Limit { period, requests }
    }

    #[test]
    fn requests_count_until_the_limit_and_again_in_the_next_window() {
        let counters = Counters::new();
        let limits = [limit(Period::Minute, 2.0)];
        let count = |now| counters.count(Uuid::nil(), b"a", &limits, now);
        assert!(count(NOW).counted);
        assert!(count(NOW).counted);
        let third = count(NOW);
        assert!(!third.counted);
        assert_eq!(third.used[0], 2);
        assert!(count(NOW + 60).counted);
    }

    #[test]
    fn callers_and_plugins_count_apart() {
        let counters = Counters::new();
        let limits = [limit(Period::Hour, 1.0)];
        let count = |plugin, caller: &[u8]| counters.count(plugin, caller, &limits, NOW).counted;
        assert!(count(Uuid::nil(), b"a"));
        assert!(count(Uuid::nil(), b"b"));
        assert!(count(Uuid::max(), b"a"));
        assert!(!count(Uuid::nil(), b"a"));
    }

    #[test]
    fn a_refused_request_counts_in_no_window() {
        let counters = Counters::new();
        let limits = [limit(Period::Second, 9.0), limit(Period::Hour, 1.0)];
        let count = || counters.count(Uuid::nil(), b"a", &limits, NOW);
        assert!(count().counted);
        for _ in 0..3 {
            assert_eq!(count().used.as_slice(), [1, 1]);
        }
    }

    #[test]
    fn amounts_are_added_even_if_they_do_not_fit() {
        let counters = Counters::new();
        let limits = [limit(Period::Minute, 2.0), limit(Period::Hour, 9.0)];
        let used = |now| counters.used(Uuid::nil(), b"a", &limits, now);
        assert_eq!(used(NOW).as_slice(), [0, 0]);
        counters.add(Uuid::nil(), b"a", &limits, 5, NOW);
        assert_eq!(used(NOW).as_slice(), [5, 5]);
        counters.add(Uuid::nil(), b"a", &limits, u32::MAX, NOW);
        assert_eq!(used(NOW).as_slice(), [u32::MAX, u32::MAX]);
        assert_eq!(used(NOW + 60).as_slice(), [0, u32::MAX]);
    }

    #[test]
    fn a_clock_that_steps_back_opens_no_new_window() {
        let counters = Counters::new();
        let limits = [limit(Period::Second, 1.0)];
        assert!(counters.count(Uuid::nil(), b"a", &limits, NOW).counted);
        assert!(!counters.count(Uuid::nil(), b"a", &limits, NOW - 1).counted);
    }

    #[test]
    fn no_limit_is_exceeded_when_threads_race() {
        let counters = Counters::new();
        let limits = [limit(Period::Minute, 100.0), limit(Period::Hour, 50.0)];
        let counted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let count = || counters.count(Uuid::nil(), b"a", &limits, NOW).counted;
                        (0..100).filter(|_| count()).count()
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(counted, 50);
    }

    fn callers(counters: &Counters) -> usize {
        counters.shards.iter().map(|s| s.callers.pin().len()).sum()
    }

    #[test]
    fn passed_windows_are_forgotten() {
        let counters = Counters::new();
        let limits = [limit(Period::Second, 1.0)];
        for caller in 0..5_000_u32 {
            counters.count(Uuid::nil(), &caller.to_be_bytes(), &limits, NOW);
        }
        assert_eq!(callers(&counters), 5_000);
        for caller in 0..1_000_u32 {
            counters.count(Uuid::max(), &caller.to_be_bytes(), &limits, NOW + 61);
        }
        assert_eq!(callers(&counters), 1_000);
    }

    #[test]
    fn memory_is_bounded_whoever_calls() {
        let counters = Counters::new();
        let limits = [limit(Period::Year, 1.0)];
        let room = SHARDS * SHARD_CAPACITY;
        for caller in 0..room as u32 + 50_000 {
            counters.count(
                Uuid::nil(),
                &caller.to_be_bytes(),
                &limits,
                NOW + caller / 1000,
            );
        }
        assert!(callers(&counters) <= room);
        assert!(callers(&counters) > room / 2);
    }
}
