//! A table from hashes to offsets, small enough to stay in the cache.

use std::hash::Hasher;

use rustc_hash::FxHasher;

use super::tag;

/// Entries that share a cache line: a search looks at one line in nearly all cases.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Group {
    /// A part of each hash, which keeps most strangers from being looked at; and, up to the number of
    /// tags that are looked through together, what is none.
    tags: [u8; tag::TOGETHER],
    offsets: [u32; ROOM],
}

/// Entries in a group at most, and on average.
const ROOM: usize = 12;
const FILLED: usize = 8;

/// Offsets by hash. It never grows, and at least a third of it is free, so that a search ends soon.
pub(super) struct Table {
    groups: Box<[Group]>,
}

impl Table {
    /// Pairs of hash and offset.
    pub(super) fn new(entries: &[(u64, u32)]) -> Self {
        let mut empty = Group {
            tags: [tag::FREE; tag::TOGETHER],
            offsets: [0; ROOM],
        };
        empty.tags[ROOM..].fill(tag::NO_ENTRY);
        let count = entries.len().div_ceil(FILLED).next_power_of_two();
        let mut groups = vec![empty; count].into_boxed_slice();
        let mask = count - 1;
        for &(hash, offset) in entries {
            let mut index = hash as usize & mask;
            let place = loop {
                let free = groups[index].tags.iter().position(|own| *own == tag::FREE);
                if let Some(place) = free {
                    break place;
                }
                index = (index + 1) & mask;
            };
            groups[index].tags[place] = tag::of(hash);
            groups[index].offsets[place] = offset;
        }
        Self { groups }
    }

    /// What `check` gives for the first offset with this hash that it accepts.
    #[inline]
    pub(super) fn find<T>(&self, hash: u64, mut check: impl FnMut(u32) -> Option<T>) -> Option<T> {
        let mask = self.groups.len() - 1;
        let mut index = hash as usize & mask;
        loop {
            let group = &self.groups[index];
            for place in tag::places(group.tags, tag::of(hash)) {
                if let Some(found) = check(group.offsets[place]) {
                    return Some(found);
                }
            }
            // What did not fit went into the next group.
            if tag::places(group.tags, tag::FREE).next().is_some() {
                return None;
            }
            index = (index + 1) & mask;
        }
    }
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
        let table = Table::new(&[(7, 1), (7, 2), (8 | 2 << 56, 3)]);
        let find = |hash, wanted| table.find(hash, |at| (at == wanted).then_some(at));
        assert_eq!(find(7, 2), Some(2));
        assert_eq!(find(8 | 2 << 56, 3), Some(3));
        assert_eq!(find(7, 3), None);
    }

    #[test]
    fn what_does_not_fit_into_a_group_lies_in_the_next() {
        let entries: Vec<(u64, u32)> = (0..20).map(|at| (u64::from(at) << 56 | 7, at)).collect();
        let table = Table::new(&entries);
        for &(hash, own) in &entries {
            assert_eq!(table.find(hash, |at| (at == own).then_some(at)), Some(own));
        }
        assert_eq!(table.find(99 << 56 | 7, Some), None);
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
