//! How far clients have come that send requests until they are told to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Shared by the clients and whoever watches them.
#[derive(Default)]
pub(crate) struct Progress {
    stopped: AtomicBool,
    sent: AtomicU64,
}

impl Progress {
    pub(crate) fn goes_on(&self) -> bool {
        !self.stopped.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until this many more requests were counted.
    pub(crate) async fn more(&self, count: u64) {
        let goal = self.sent.load(Ordering::Relaxed) + count;
        while self.sent.load(Ordering::Relaxed) < goal {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// How many were sent; panics if any failed, or if there were none.
    pub(crate) fn without(&self, failures: &[String]) -> u64 {
        let sent = self.sent.load(Ordering::Relaxed);
        assert!(sent > 0, "no request was sent");
        assert!(
            failures.is_empty(),
            "{} of {sent} requests failed, first: {}",
            failures.len(),
            failures[0]
        );
        sent
    }
}
