//! Waits between attempts: exponential, with full jitter.

use std::time::Duration;

/// The shortest wait, so that an address that refuses at once is not dialled in a loop.
const MIN: Duration = Duration::from_millis(20);

/// The waits of one client.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    max: Duration,
    attempts: u32,
}

impl Backoff {
    pub(super) fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            max,
            attempts: 0,
        }
    }

    /// After a success the waits are short again.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The next wait: a random part of a bound that doubles each time.
    pub(super) fn next(&mut self) -> Duration {
        let bound = self.bound();
        self.attempts = self.attempts.saturating_add(1);
        bound.mul_f64(fastrand::f64()).max(MIN)
    }

    fn bound(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_maximum() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
        let mut bounds = Vec::new();
        for _ in 0..6 {
            bounds.push(backoff.bound().as_secs());
            let bound = backoff.bound();
            assert!(backoff.next() <= bound);
        }
        assert_eq!(bounds, [1, 2, 4, 8, 10, 10]);
        backoff.attempts = u32::MAX;
        assert_eq!(backoff.bound(), Duration::from_secs(10));
        backoff.reset();
        assert_eq!(backoff.bound(), Duration::from_secs(1));
    }

    #[test]
    fn no_wait_is_zero() {
        let mut backoff = Backoff::new(Duration::ZERO, Duration::ZERO);
        assert_eq!(backoff.next(), MIN);
    }
}
