//! How many requests took how long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bounds of the buckets for time that the gateway takes, in milliseconds.
pub(super) const OWN: &[u64] = &[
    1, 2, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 750, 1000, 3000, 6000,
];

/// Bounds of the buckets for time that upstreams take, in milliseconds.
pub(super) const UPSTREAM: &[u64] = &[
    25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10_000, 30_000, 60_000,
];

/// Times, counted by one thread.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds: &'static [u64],
    /// How many fell between two bounds; beyond the last one, in the end.
    buckets: Box<[AtomicU64]>,
    microseconds: AtomicU64,
}

/// What was counted, by all threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) bounds: &'static [u64],
    pub(super) buckets: Vec<u64>,
    pub(super) microseconds: u64,
}

impl Histogram {
    pub(super) fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            microseconds: AtomicU64::new(0),
        }
    }

    pub(super) fn observe(&self, time: Duration) {
        let microseconds = time.as_micros() as u64;
        let bucket = self
            .bounds
            .partition_point(|bound| bound * 1000 < microseconds);
        add(&self.buckets[bucket], 1);
        add(&self.microseconds, microseconds);
    }

    /// Adds to what other threads have counted.
    pub(super) fn add_to(&self, times: &mut Option<Times>) {
        let times = times.get_or_insert_with(|| Times {
            bounds: self.bounds,
            buckets: vec![0; self.buckets.len()],
            microseconds: 0,
        });
        for (sum, bucket) in times.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
        times.microseconds += self.microseconds.load(Ordering::Relaxed);
    }
}

/// Adds to a counter that only this thread writes to, which needs no locked instruction.
pub(super) fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::new(&[1, 10]);
        for microseconds in [0, 1000, 1001, 10_000, 10_001] {
            histogram.observe(Duration::from_micros(microseconds));
        }
        let mut times = None;
        histogram.add_to(&mut times);
        histogram.add_to(&mut times);
        let times = times.unwrap();
        assert_eq!(times.buckets, [4, 4, 2]);
        assert_eq!(times.microseconds, 2 * 22_002);
    }
}
