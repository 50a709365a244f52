//! What `prometheus` counts, kept by the node beyond the life of a configuration.
//!
//! Every thread that serves requests counts for itself, so that counting takes no lock and no core
//! waits for another's cache line; whoever asks adds up. Memory is bounded: a thread keeps so many
//! series of each kind at most, and what belongs to none of them is counted as an error.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;
use thread_local::ThreadLocal;
use xxhash_rust::xxh3::xxh3_128;

use super::histogram::{Histogram, OWN, Times, UPSTREAM, add};

/// Series of one kind that a thread keeps.
const MOST: usize = 65_536;

/// The counts of a node.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    threads: ThreadLocal<OfThread>,
    /// Configurations of the plugin that serve.
    configurations: AtomicUsize,
    /// Those among them that want the health of targets told.
    of_health: AtomicUsize,
    /// What there was no room for.
    errors: AtomicU64,
}

/// Series by a hash of their labels. Names come from the configuration, which nobody would choose
/// so that two fall together.
type Series<T> = papaya::HashMap<u128, T, FxBuildHasher>;

#[derive(Debug, Default)]
#[repr(align(128))]
struct OfThread {
    statuses: Series<Status>,
    bandwidths: Series<Bandwidth>,
    latencies: Series<Latency>,
}

/// What tells the series of latencies apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) service: Box<str>,
    pub(super) route: Box<str>,
}

/// Whom a request was for, and from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Labels<'l> {
    pub(super) service: &'l str,
    pub(super) route: &'l str,
    /// Empty when it does not count.
    pub(super) consumer: &'l str,
}

#[derive(Debug)]
struct Status {
    place: Place,
    consumer: Box<str>,
    code: u16,
    of_upstream: bool,
    requests: AtomicU64,
}

#[derive(Debug)]
struct Bandwidth {
    place: Place,
    consumer: Box<str>,
    ingress: AtomicU64,
    egress: AtomicU64,
}

#[derive(Debug)]
struct Latency {
    place: Place,
    kong: Histogram,
    upstream: Histogram,
    request: Histogram,
}

/// The counts of all threads.
#[derive(Debug, Default)]
pub(super) struct Sum {
    /// By place, consumer, status, and whether the upstream answered it.
    pub(super) statuses: BTreeMap<(Place, Box<str>, u16, bool), u64>,
    /// Bytes in and out, by place and consumer.
    pub(super) bandwidths: BTreeMap<(Place, Box<str>), [u64; 2]>,
    pub(super) latencies: BTreeMap<Place, [Option<Times>; 3]>,
    pub(super) errors: u64,
}

impl Labels<'_> {
    fn place(&self) -> Place {
        Place {
            service: self.service.into(),
            route: self.route.into(),
        }
    }

    fn hash(&self, more: &[u8]) -> u128 {
        let mut bytes = SmallVec::<[u8; 256]>::new();
        for label in [self.service, self.route, self.consumer] {
            bytes.extend_from_slice(label.as_bytes());
            // In no UTF-8.
            bytes.push(0xff);
        }
        bytes.extend_from_slice(more);
        xxh3_128(&bytes)
    }
}

impl Metrics {
    /// A configuration of the plugin begins to serve.
    pub(super) fn begin(&self, of_health: bool) {
        self.configurations.fetch_add(1, Ordering::Relaxed);
        self.of_health
            .fetch_add(usize::from(of_health), Ordering::Relaxed);
    }

    /// It does not serve any more.
    pub(super) fn end(&self, of_health: bool) {
        self.configurations.fetch_sub(1, Ordering::Relaxed);
        self.of_health
            .fetch_sub(usize::from(of_health), Ordering::Relaxed);
    }

    /// Whether the plugin is configured at all.
    pub(crate) fn is_wanted(&self) -> bool {
        self.configurations.load(Ordering::Relaxed) > 0
    }

    /// Whether the health of targets is to be told.
    pub(crate) fn wants_health(&self) -> bool {
        self.of_health.load(Ordering::Relaxed) > 0
    }

    /// Counts a request by its status.
    pub(super) fn count_status(&self, labels: Labels<'_>, code: u16, of_upstream: bool) {
        let [high, low] = code.to_be_bytes();
        let key = labels.hash(&[high, low, u8::from(of_upstream)]);
        let make = || Status {
            place: labels.place(),
            consumer: labels.consumer.into(),
            code,
            of_upstream,
            requests: AtomicU64::new(0),
        };
        let count = |status: &Status| add(&status.requests, 1);
        self.with(|thread| &thread.statuses, key, make, count);
    }

    /// Counts the bytes of a request and its response.
    pub(super) fn count_bytes(&self, labels: Labels<'_>, ingress: u64, egress: u64) {
        let make = || Bandwidth {
            place: labels.place(),
            consumer: labels.consumer.into(),
            ingress: AtomicU64::new(0),
            egress: AtomicU64::new(0),
        };
        let count = |bandwidth: &Bandwidth| {
            add(&bandwidth.ingress, ingress);
            add(&bandwidth.egress, egress);
        };
        self.with(|thread| &thread.bandwidths, labels.hash(&[]), make, count);
    }

    /// Counts how long a request took: the gateway, the upstream if it was called, and in all.
    pub(super) fn count_times(
        &self,
        labels: Labels<'_>,
        kong: Duration,
        upstream: Option<Duration>,
        request: Duration,
    ) {
        let labels = Labels {
            consumer: "",
            ..labels
        };
        let make = || Latency {
            place: labels.place(),
            kong: Histogram::new(OWN),
            upstream: Histogram::new(UPSTREAM),
            request: Histogram::new(UPSTREAM),
        };
        let count = |latency: &Latency| {
            latency.kong.observe(kong);
            if let Some(upstream) = upstream {
                latency.upstream.observe(upstream);
            }
            latency.request.observe(request);
        };
        self.with(|thread| &thread.latencies, labels.hash(&[]), make, count);
    }

    fn with<T>(
        &self,
        series: impl Fn(&OfThread) -> &Series<T>,
        key: u128,
        make: impl FnOnce() -> T,
        count: impl FnOnce(&T),
    ) {
        let series = series(self.threads.get_or_default()).pin();
        match series.get(&key) {
            Some(one) => count(one),
            None if series.len() < MOST => count(series.get_or_insert_with(key, make)),
            None => {
                self.errors.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn sum(&self) -> Sum {
        let mut sum = Sum {
            errors: self.errors.load(Ordering::Relaxed),
            ..Sum::default()
        };
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for thread in &self.threads {
            for status in thread.statuses.pin().values() {
                let key = (
                    status.place.clone(),
                    status.consumer.clone(),
                    status.code,
                    status.of_upstream,
                );
                *sum.statuses.entry(key).or_default() += read(&status.requests);
            }
            for bandwidth in thread.bandwidths.pin().values() {
                let key = (bandwidth.place.clone(), bandwidth.consumer.clone());
                let bytes = sum.bandwidths.entry(key).or_default();
                bytes[0] += read(&bandwidth.ingress);
                bytes[1] += read(&bandwidth.egress);
            }
            for latency in thread.latencies.pin().values() {
                let times = sum.latencies.entry(latency.place.clone()).or_default();
                latency.kong.add_to(&mut times[0]);
                latency.upstream.add_to(&mut times[1]);
                latency.request.add_to(&mut times[2]);
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: Labels<'_> = Labels {
        service: "s",
        route: "r",
        consumer: "c",
    };

    #[test]
    fn threads_count_for_themselves_and_are_added_up() {
        let metrics = Metrics::default();
        let count = || {
            for _ in 0..1000 {
                metrics.count_status(LABELS, 200, true);
                metrics.count_bytes(LABELS, 3, 5);
            }
            metrics.count_status(LABELS, 200, false);
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(count);
            }
        });
        let sum = metrics.sum();
        let place = LABELS.place();
        let of = |of_upstream| sum.statuses[&(place.clone(), "c".into(), 200, of_upstream)];
        assert_eq!((of(true), of(false)), (4000, 4));
        let bytes = sum.bandwidths[&(place.clone(), "c".into())];
        assert_eq!(bytes, [12_000, 20_000]);
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let metrics = Metrics::default();
        for at in 0..MOST + 10 {
            let route = at.to_string();
            let labels = Labels {
                route: &route,
                ..LABELS
            };
            metrics.count_bytes(labels, 1, 1);
        }
        metrics.count_bytes(LABELS, 1, 1);
        let sum = metrics.sum();
        assert_eq!(sum.bandwidths.len(), MOST);
        assert_eq!(sum.errors, 11);
    }
}
