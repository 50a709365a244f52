//! Weighted turns.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// So many turns of targets that cannot be used are passed over one by one.
const PATIENCE: u64 = 64;

/// Turns by weight: in every cycle of as many turns as the weights sum up to, each target has
/// exactly its weight, evenly spread. Needs no table: turn `t` falls on position
/// `t * stride mod total`, which visits every position once as the stride has no factor in common
/// with the total.
#[derive(Debug)]
pub(crate) struct Turns {
    /// For each target, the sum of the weights up to and including it.
    sums: Box<[u64]>,
    stride: u64,
    cursor: AtomicU64,
}

impl Turns {
    /// `cursor` is where another balancer of the upstream stopped, or 0.
    pub(crate) fn new(weights: impl Iterator<Item = u32> + Clone, cursor: u64) -> Self {
        let divisor = weights.clone().map(u64::from).fold(0, gcd).max(1);
        let sums: Box<[u64]> = weights
            .scan(0, |sum, weight| {
                *sum += u64::from(weight) / divisor;
                Some(*sum)
            })
            .collect();
        let total = sums.last().copied().unwrap_or(0);
        // Near the golden section consecutive turns fall far apart.
        let mut stride = (total as f64 * 0.618_033_988_75) as u64;
        while gcd(stride, total) > 1 {
            stride += 1;
        }
        Self {
            sums,
            stride: stride.max(1),
            cursor: AtomicU64::new(cursor),
        }
    }

    pub(crate) fn cursor(&self) -> u64 {
        self.cursor.load(Relaxed)
    }

    /// The target whose turn it is, of those that are usable.
    pub(crate) fn pick(&self, usable: impl Fn(usize) -> bool, random: u64) -> Option<usize> {
        let total = *self.sums.last().filter(|&&total| total > 0)?;
        // The first request decides where to begin, so that a fleet does not begin in step. If
        // another one came first, its choice stays.
        if self.cursor() == 0 {
            let begin = random % total + 1;
            let _first = self.cursor.compare_exchange(0, begin, Relaxed, Relaxed);
        }
        for _ in 0..PATIENCE.min(total) {
            let turn = self.cursor.fetch_add(1, Relaxed) % total;
            let position = u128::from(turn) * u128::from(self.stride) % u128::from(total);
            let index = self
                .sums
                .partition_point(|&sum| u128::from(sum) <= position);
            if usable(index) {
                return Some(index);
            }
        }
        self.draw(usable, random)
    }

    /// A random target by weight, for when most of the weight cannot be used.
    fn draw(&self, usable: impl Fn(usize) -> bool, random: u64) -> Option<usize> {
        let weights = || {
            let mut before = 0;
            self.sums.iter().enumerate().filter_map({
                let usable = &usable;
                move |(index, &sum)| {
                    let weight = sum - std::mem::replace(&mut before, sum);
                    (weight > 0 && usable(index)).then_some((index, weight))
                }
            })
        };
        let total: u64 = weights().map(|(_, weight)| weight).sum();
        let mut left = random.checked_rem(total)?;
        weights().find_map(|(index, weight)| {
            if left < weight {
                return Some(index);
            }
            left -= weight;
            None
        })
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::Turns;
    use proptest::prelude::*;

    fn counts(
        turns: &Turns,
        targets: usize,
        picks: usize,
        usable: impl Fn(usize) -> bool,
    ) -> Vec<u32> {
        let mut counts = vec![0; targets];
        for _ in 0..picks {
            counts[turns.pick(&usable, 7).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn a_cycle_gives_every_target_exactly_its_weight() {
        let turns = Turns::new([500, 300, 200].into_iter(), 0);
        assert_eq!(counts(&turns, 3, 10, |_| true), [5, 3, 2]);
        assert_eq!(counts(&turns, 3, 1000, |_| true), [500, 300, 200]);
    }

    #[test]
    fn equal_targets_alternate() {
        let turns = Turns::new([100, 100].into_iter(), 0);
        let picks: Vec<_> = (0..6).map(|_| turns.pick(|_| true, 0).unwrap()).collect();
        assert!(picks.windows(2).all(|pair| pair[0] != pair[1]), "{picks:?}");
    }

    #[test]
    fn a_heavy_target_is_interleaved_with_light_ones() {
        let turns = Turns::new([8, 1, 1].into_iter(), 0);
        let picks: Vec<_> = (0..20).map(|_| turns.pick(|_| true, 0).unwrap()).collect();
        let longest = picks.split(|&pick| pick != 0).map(<[_]>::len).max();
        assert!(longest <= Some(6), "{picks:?}");
    }

    #[test]
    fn the_rest_keeps_its_proportions_when_one_is_out() {
        let turns = Turns::new([5, 3, 2].into_iter(), 1);
        let counts = counts(&turns, 3, 500, |index| index != 0);
        assert_eq!(counts, [0, 300, 200]);
    }

    #[test]
    fn a_light_target_is_found_though_the_heavy_ones_are_out() {
        let turns = Turns::new([65_535, 65_535, 1, 0].into_iter(), 1);
        assert_eq!(turns.pick(|index| index >= 2, 99), Some(2));
        assert_eq!(turns.pick(|_| false, 99), None);
        assert_eq!(turns.pick(|index| index == 3, 99), None);
    }

    #[test]
    fn no_weight_no_turn() {
        assert_eq!(Turns::new([0, 0].into_iter(), 0).pick(|_| true, 1), None);
        assert_eq!(Turns::new(std::iter::empty(), 0).pick(|_| true, 1), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_cycle_is_exact(weights in proptest::collection::vec(0_u32..20, 1..8), begin in any::<u32>()) {
            let total: u32 = weights.iter().sum();
            prop_assume!(total > 0);
            let turns = Turns::new(weights.iter().copied(), u64::from(begin));
            prop_assert_eq!(counts(&turns, weights.len(), total as usize, |_| true), weights);
        }
    }
}
