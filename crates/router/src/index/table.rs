//! A table from hashes to offsets, small enough to stay in the cache.

use std::hash::Hasher;

use rustc_hash::FxHasher;

/// The place of an entry, and a part of its hash, which keeps most strangers from being looked at.
#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u32,
    at: u32,
}

/// Stands for nothing; no offset is this large.
const FREE: u32 = u32::MAX;

/// Offsets by hash. It never grows, and at least a third of it is free, so that a search ends soon.
pub(super) struct Table {
    slots: Box<[Slot]>,
}

impl Table {
    /// Pairs of hash and offset.
    pub(super) fn new(entries: &[(u64, u32)]) -> Self {
        let free = Slot { tag: 0, at: FREE };
        let mut slots =
            vec![free; (entries.len() * 3 / 2 + 1).next_power_of_two()].into_boxed_slice();
        let mask = slots.len() - 1;
        for &(hash, at) in entries {
            let mut index = hash as usize & mask;
            while slots[index].at != FREE {
                index = (index + 1) & mask;
            }
            let tag = tag(hash);
            slots[index] = Slot { tag, at };
        }
        Self { slots }
    }

    /// What `check` gives for the first offset with this hash that it accepts.
    #[inline]
    pub(super) fn find<T>(&self, hash: u64, mut check: impl FnMut(u32) -> Option<T>) -> Option<T> {
        let mask = self.slots.len() - 1;
        let mut index = hash as usize & mask;
        loop {
            let slot = self.slots[index];
            if slot.at == FREE {
                return None;
            }
            if slot.tag == tag(hash)
                && let Some(found) = check(slot.at)
            {
                return Some(found);
            }
            index = (index + 1) & mask;
        }
    }
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[inline]
pub(super) fn hash(text: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(text);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::{Table, hash};

    #[test]
    fn entries_with_the_same_hash_are_told_apart_by_the_check() {
        let table = Table::new(&[(7, 1), (7, 2), (8 | 1 << 32, 3)]);
        let find = |hash, wanted| table.find(hash, |at| (at == wanted).then_some(at));
        assert_eq!(find(7, 2), Some(2));
        assert_eq!(find(8 | 1 << 32, 3), Some(3));
        assert_eq!(find(7, 3), None);
    }

    #[test]
    fn an_empty_table_has_nothing() {
        assert_eq!(Table::new(&[]).find(hash(b"a"), Some), None);
    }

    #[test]
    fn every_entry_of_a_large_table_is_found() {
        let hashes: Vec<u64> = (0..10_000_u32).map(|n| hash(&n.to_le_bytes())).collect();
        let entries: Vec<(u64, u32)> = hashes.iter().copied().zip(0..).collect();
        let table = Table::new(&entries);
        for &(hash, own) in &entries {
            assert_eq!(table.find(hash, |at| (at == own).then_some(at)), Some(own));
        }
    }
}
