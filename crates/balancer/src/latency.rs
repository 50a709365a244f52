//! The target with the lowest moving average of latencies.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Seconds in which an old value loses two thirds of its weight.
const DECAY: f32 = 10.0;

/// A moving average that forgets with time. The mean (milliseconds, `f32`) and the time it was
/// touched (milliseconds, wrapping) share a word, so that they change together; 0 means that
/// nothing was measured.
#[derive(Debug, Default)]
pub(crate) struct Average(AtomicU64);

impl Average {
    pub(crate) fn add(&self, latency: Duration, now: Duration) {
        let latency = latency.as_secs_f32() * 1000.0;
        let step = |word| {
            let mean = match decayed(word, now) {
                Some((mean, kept)) => mean + latency * (1.0 - kept),
                None => latency,
            };
            Some(pack(mean, now))
        };
        // The closure never declines, so neither result is an error.
        let _updated = self.0.fetch_update(Relaxed, Relaxed, step);
    }

    /// Milliseconds, less the longer nothing was measured; `None` before the first.
    pub(crate) fn get(&self, now: Duration) -> Option<f32> {
        decayed(self.0.load(Relaxed), now).map(|(mean, _)| mean)
    }

    /// Begins with a mean if nothing was measured yet.
    pub(crate) fn begin(&self, mean: f32, now: Duration) {
        // If another value came first, that one stays.
        let _first = self
            .0
            .compare_exchange(0, pack(mean, now), Relaxed, Relaxed);
    }
}

fn pack(mean: f32, now: Duration) -> u64 {
    // A mean of exactly zero would read as nothing measured.
    let mean = mean.max(f32::MIN_POSITIVE);
    u64::from(mean.to_bits()) << 32 | u64::from(now.as_millis() as u32)
}

/// The mean now, and the part of it that is left.
fn decayed(word: u64, now: Duration) -> Option<(f32, f32)> {
    if word == 0 {
        return None;
    }
    let mean = f32::from_bits((word >> 32) as u32);
    let idle = (now.as_millis() as u32).wrapping_sub(word as u32) as i32;
    let kept = (-(idle.max(0) as f32) / 1000.0 / DECAY).exp();
    Some((mean * kept, kept))
}

/// The lowest average per weight among candidates (index, weight, average). Candidates without an
/// average take the mean of the others, so that a new target neither starves nor is flooded; the
/// average is set to it by `begin`.
pub(crate) fn pick(
    candidates: impl Iterator<Item = (usize, u32, Option<f32>)> + Clone,
    begin: impl Fn(usize, f32),
) -> Option<usize> {
    let (mut sum, mut measured) = (0.0_f32, 0_u32);
    for (_, _, average) in candidates.clone() {
        if let Some(average) = average {
            sum += average;
            measured += 1;
        }
    }
    let mean = if measured == 0 {
        0.0
    } else {
        sum / measured as f32
    };
    let mut best: Option<(usize, f32)> = None;
    for (index, weight, average) in candidates {
        let score = average.unwrap_or(mean) / weight as f32;
        if average.is_none() && measured > 0 {
            begin(index, mean);
        }
        if best.is_none_or(|(_, lowest)| score < lowest) {
            best = Some((index, score));
        }
    }
    best.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::{Average, pick};
    use std::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_average_moves_towards_new_values_and_fades() {
        let average = Average::default();
        assert_eq!(average.get(MS), None);
        average.add(100 * MS, 1000 * MS);
        assert_eq!(average.get(1000 * MS), Some(100.0));
        let faded = average.get(11_000 * MS).unwrap();
        assert!((36.0..38.0).contains(&faded), "{faded}");
        average.add(200 * MS, 11_000 * MS);
        let moved = average.get(11_000 * MS).unwrap();
        assert!((160.0..165.0).contains(&moved), "{moved}");
    }

    #[test]
    fn a_clock_that_stands_still_or_wraps_does_no_harm() {
        let average = Average::default();
        average.add(10 * MS, u32::MAX * MS);
        let later = average.get(u32::MAX * MS + 1000 * MS).unwrap();
        assert!((8.0..10.0).contains(&later), "{later}");
        assert_eq!(average.get(u32::MAX * MS - 5 * MS), Some(10.0));
    }

    #[test]
    fn the_lowest_average_per_weight_wins() {
        let of = |list: &[(usize, u32, Option<f32>)]| pick(list.iter().copied(), |_, _| {});
        assert_eq!(of(&[(0, 1, Some(20.0)), (1, 1, Some(10.0))]), Some(1));
        assert_eq!(of(&[(0, 4, Some(20.0)), (1, 1, Some(10.0))]), Some(0));
        assert_eq!(
            of(&[(0, 1, Some(20.0)), (1, 1, None), (2, 1, Some(10.0))]),
            Some(2)
        );
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_new_target_begins_with_the_mean_of_the_others() {
        let fresh = Average::default();
        let list = [(0, 1, Some(20.0)), (1, 1, None), (2, 1, Some(10.0))];
        pick(list.into_iter(), |index, mean| {
            assert_eq!(index, 1);
            fresh.begin(mean, MS);
        });
        assert_eq!(fresh.get(MS), Some(15.0));
    }
}
