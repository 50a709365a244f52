//! The target with the fewest open requests per weight.

/// The best of the candidates (index, weight, open requests); the first one among equals.
pub(crate) fn pick(candidates: impl Iterator<Item = (usize, u32, u32)>) -> Option<usize> {
    // With one more request, the least load per weight: (open + 1) / weight, compared crosswise.
    let load = |open: u32, other_weight: u32| (u64::from(open) + 1) * u64::from(other_weight);
    candidates
        .reduce(|best, next| {
            if load(next.2, best.1) < load(best.2, next.1) {
                next
            } else {
                best
            }
        })
        .map(|(index, ..)| index)
}

#[cfg(test)]
mod tests {
    use super::pick;

    #[test]
    fn the_least_load_per_weight_wins() {
        assert_eq!(pick([(0, 1, 3), (1, 1, 2), (2, 1, 4)].into_iter()), Some(1));
        assert_eq!(pick([(0, 10, 15), (1, 1, 1)].into_iter()), Some(0));
        assert_eq!(pick([(7, 5, 0), (8, 5, 0)].into_iter()), Some(7));
        assert_eq!(pick(std::iter::empty()), None);
    }
}
