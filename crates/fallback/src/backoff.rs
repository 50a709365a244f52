//! Exponential back-off with full jitter.

use std::time::Duration;

/// Delays between retries: each is drawn evenly between nothing and a bound that doubles, so that
/// many nodes that failed together do not return together.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    /// The first bound is `base`; no bound exceeds `cap`.
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self {
            base,
            cap,
            failures: 0,
        }
    }

    /// Counts a failure and draws the delay before the next attempt.
    pub fn next(&mut self, random: &mut fastrand::Rng) -> Duration {
        let bound = self
            .base
            .saturating_mul(1 << self.failures.min(20))
            .min(self.cap);
        self.failures = self.failures.saturating_add(1);
        // A floor keeps an unlucky draw from becoming a busy loop.
        bound.mul_f64(random.f64()).max(self.base / 10)
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// How many failures came in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_up_to_the_cap_and_start_over() {
        let (base, cap) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut backoff = Backoff::new(base, cap);
        let mut random = fastrand::Rng::with_seed(1);
        let mut bound = base;
        for _ in 0..100 {
            let delay = backoff.next(&mut random);
            assert!(
                delay >= base / 10 && delay <= bound,
                "{delay:?} over {bound:?}"
            );
            bound = (bound * 2).min(cap);
        }
        backoff.reset();
        assert!(backoff.next(&mut random) <= base);
    }
}
