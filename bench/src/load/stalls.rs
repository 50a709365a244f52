//! Whether the generator itself was held up: a processor of a virtual machine that stands still for some
//! milliseconds keeps every request waiting that is under way, whoever the peer is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long the generator may be silent. Its heart beats every millisecond, which is how finely its
/// timer wakes it.
const SILENCE: Duration = Duration::from_millis(2);

const BEAT: Duration = Duration::from_millis(1);

/// Looked at whenever the generator does anything.
pub(super) struct Stalls {
    start: Instant,
    /// Microseconds from the start.
    last: AtomicU64,
    /// When the last silence that was too long ended. Zero before the first.
    ended: AtomicU64,
}

impl Stalls {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            start,
            last: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        }
    }

    fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// Notes that the generator is alive.
    pub(super) fn look(&self, now: Instant) {
        let now = self.micros(now);
        let last = self.last.swap(now, Ordering::Relaxed);
        if Duration::from_micros(now.saturating_sub(last)) > SILENCE {
            self.ended.store(now, Ordering::Relaxed);
        }
    }

    /// Whether it was held up at any time since `begin`, up to the last look.
    pub(super) fn since(&self, begin: Instant) -> bool {
        let ended = self.ended.load(Ordering::Relaxed);
        ended > 0 && ended >= self.micros(begin)
    }

    /// Looks all the time, until it is dropped.
    pub(super) async fn beat(&self) {
        loop {
            tokio::time::sleep(BEAT).await;
            self.look(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_meet_a_silence_are_told_from_the_others() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let stalls = Stalls::new(start);
        for millis in [1, 2, 3] {
            stalls.look(at(millis));
        }
        assert!(!stalls.since(at(0)));
        stalls.look(at(8));
        stalls.look(at(9));
        assert!(stalls.since(at(2)), "it began before the silence");
        assert!(stalls.since(at(5)), "it was due in the silence");
        assert!(!stalls.since(at(9)), "it began afterwards");
    }
}
