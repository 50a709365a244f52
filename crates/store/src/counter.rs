//! Counters that gateways share: what callers have used of their limits.
//!
//! They stand beside the entities, in a table of their own: no key, reference or revision has a part
//! in them, so that counting waits for no writer of the configuration.

use std::time::Duration;

/// What is to be added to one counter.
#[derive(Clone, Debug, PartialEq)]
pub struct Amount {
    /// Which counter; one that is not there holds 0.
    pub key: Vec<u8>,
    /// What is added.
    pub amount: i64,
    /// Nothing is added where the counter holds this much already.
    pub limit: Option<f64>,
    /// A counter that is made goes after this.
    pub lasts: Duration,
}

impl Amount {
    /// Whether a counter that holds this much takes the amount.
    pub(crate) fn fits(&self, held: i64) -> bool {
        // Counts are far below what a float holds exactly.
        self.limit.is_none_or(|limit| (held as f64) < limit)
    }

    pub(crate) fn lasts_milliseconds(&self) -> i64 {
        i64::try_from(self.lasts.as_millis()).unwrap_or(i64::MAX)
    }
}

/// What counters held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Before anything was added, in the order of what was asked.
    pub before: Vec<i64>,
    /// Whether all amounts fit, and were added.
    pub fits: bool,
}
