//! What time it is, for limits.
//!
//! A request looks at the clock for every limit that it waits under, nearly always for nothing. The
//! kernel's coarse clocks, which go forward some hundred times per second, cost a fifth of the exact
//! ones.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, Timespec, clock_gettime};
use tokio::time::Instant;

/// How far the coarse clocks are off at most: their longest tick, behind or ahead.
pub(crate) const GRAIN: Duration = Duration::from_millis(10);

/// The time, to [`GRAIN`].
pub(crate) fn now() -> Instant {
    // Tests move the runtime's clock.
    if cfg!(test) {
        return Instant::now();
    }
    static START: OnceLock<(Instant, Duration)> = OnceLock::new();
    let coarse = since_start(clock_gettime(ClockId::MonotonicCoarse));
    let (start, first) = START.get_or_init(|| (Instant::now(), coarse));
    *start + coarse.saturating_sub(*first)
}

/// The wall clock, to [`GRAIN`].
pub(crate) fn wall() -> SystemTime {
    SystemTime::UNIX_EPOCH + since_start(clock_gettime(ClockId::RealtimeCoarse))
}

fn since_start(time: Timespec) -> Duration {
    // A clock set before 1970 counts as standing there.
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_off_by_a_grain_at_most() {
        let before = SystemTime::now();
        let coarse = wall();
        let after = SystemTime::now();
        assert!(before <= coarse + GRAIN && coarse <= after + GRAIN);
    }
}
