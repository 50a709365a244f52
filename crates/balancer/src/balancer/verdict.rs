//! What was worked out about the weight of all peers, kept until a health changes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Whether enough weight was available after so many changes: twice the number of changes plus
/// one, plus one more if it was. 0 means that nobody looked yet.
#[derive(Default)]
pub(super) struct Verdict(AtomicU64);

impl Verdict {
    pub(super) fn at(&self, changes: u64) -> Option<bool> {
        let word = self.0.load(Relaxed);
        (word.checked_sub(1)? / 2 == changes).then_some((word - 1) % 2 == 1)
    }

    pub(super) fn set(&self, changes: u64, healthy: bool) {
        self.0.store(changes * 2 + u64::from(healthy) + 1, Relaxed);
    }
}
