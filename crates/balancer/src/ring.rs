//! Consistent hashing.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Slots by target: a hash falls on a slot, and every slot prefers the targets in an order of its
/// own (weighted rendezvous), in proportion to their weights. When a target leaves, or its weight
/// falls, only slots that it held move, and to all others evenly.
#[derive(Debug)]
pub(crate) struct Ring {
    /// What tells the targets apart, and their weights.
    members: Box<[(u64, u32)]>,
    /// One more than the preferred target of each slot; 0 until the slot is first asked for.
    slots: Box<[AtomicU32]>,
}

impl Ring {
    pub(crate) fn new(members: Box<[(u64, u32)]>, slots: u32) -> Self {
        let slots = (0..slots.max(1)).map(|_| AtomicU32::new(0)).collect();
        Self { members, slots }
    }

    /// Whether a ring of these would be the same.
    pub(crate) fn is_of(&self, members: &[(u64, u32)], slots: u32) -> bool {
        *self.members == *members && self.slots.len() == slots.max(1) as usize
    }

    /// The usable target that the hash's slot likes best.
    pub(crate) fn pick(&self, hash: u64, usable: impl Fn(usize) -> bool) -> Option<usize> {
        let slot = hash % self.slots.len() as u64;
        let known = &self.slots[slot as usize];
        let owner = match known.load(Relaxed).checked_sub(1) {
            Some(owner) => owner as usize,
            None => {
                // Whoever comes first, the answer is the same.
                let owner = preferred(&self.members, slot, |_| true)?;
                known.store(owner as u32 + 1, Relaxed);
                owner
            }
        };
        if usable(owner) {
            return Some(owner);
        }
        preferred(&self.members, slot, usable)
    }
}

fn preferred(members: &[(u64, u32)], slot: u64, usable: impl Fn(usize) -> bool) -> Option<usize> {
    let scored = members
        .iter()
        .enumerate()
        .filter(|&(index, &(_, weight))| weight > 0 && usable(index))
        .map(|(index, &(key, weight))| (score(key, slot) / f64::from(weight), index));
    scored
        .min_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, index)| index)
}

/// Exponentially distributed, so that the least of several scores divided by their weights belongs
/// to each with a probability in proportion to its weight.
fn score(key: u64, slot: u64) -> f64 {
    let mixed = mix(key ^ mix(slot));
    let uniform = ((mixed >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    -uniform.ln()
}

/// The finaliser of SplitMix64: every input bit changes every output bit.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::Ring;

    fn ring(weights: &[u32]) -> Ring {
        let members = weights.iter().enumerate();
        Ring::new(
            members
                .map(|(key, &weight)| (key as u64 * 977, weight))
                .collect(),
            10_000,
        )
    }

    fn shares(ring: &Ring, targets: usize) -> Vec<usize> {
        let mut shares = vec![0; targets];
        for hash in 0..10_000 {
            shares[ring.pick(hash, |_| true).unwrap()] += 1;
        }
        shares
    }

    #[test]
    fn slots_are_shared_by_weight() {
        let shares = shares(&ring(&[100, 200, 300, 400]), 4);
        for (share, expected) in shares.iter().zip([1000, 2000, 3000, 4000_usize]) {
            assert!(share.abs_diff(expected) < expected / 10, "{shares:?}");
        }
    }

    #[test]
    fn only_the_share_of_a_target_that_leaves_moves() {
        let before = ring(&[100, 100, 50, 100]);
        let after = ring(&[100, 100, 0, 100]);
        let mut moved = 0;
        for hash in 0..10_000 {
            let (was, is) = (before.pick(hash, |_| true), after.pick(hash, |_| true));
            if was == Some(2) {
                assert_ne!(is, Some(2));
                moved += 1;
            } else {
                assert_eq!(was, is);
            }
        }
        assert!(moved > 1000);
    }

    #[test]
    fn a_target_that_is_down_is_replaced_as_if_it_had_left() {
        let all = ring(&[100, 100, 50]);
        let without = ring(&[100, 0, 50]);
        for hash in 0..10_000 {
            assert_eq!(
                all.pick(hash, |index| index != 1),
                without.pick(hash, |_| true)
            );
        }
    }

    #[test]
    fn a_ring_without_weight_has_no_target() {
        assert_eq!(ring(&[0, 0]).pick(5, |_| true), None);
        assert_eq!(ring(&[]).pick(5, |_| true), None);
        assert_eq!(ring(&[1]).pick(5, |_| false), None);
    }
}
