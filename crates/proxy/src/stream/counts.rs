//! Sessions, counted for whoever asks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Transport;

/// The sessions of a proxy, and of those before it that share this.
#[derive(Debug, Default)]
pub struct StreamCounts(Mutex<StreamCounted>);

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamCounted {
    /// Sessions that are open.
    pub open: BTreeMap<Transport, u64>,
    /// Those that have ended, by their status.
    pub ended: BTreeMap<(Transport, u16), SessionsEnded>,
}

/// Sessions that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionsEnded {
    /// How many.
    pub sessions: u64,
    /// Bytes sent to clients, before any encryption.
    pub sent: u64,
    /// Bytes received from clients, after any decryption.
    pub received: u64,
}

impl StreamCounts {
    /// What was counted until now.
    pub fn sum(&self) -> StreamCounted {
        self.counted().clone()
    }

    pub(super) fn begins(&self, transport: Transport) {
        *self.counted().open.entry(transport).or_default() += 1;
    }

    pub(super) fn ends(&self, transport: Transport, status: u16, sent: u64, received: u64) {
        let mut counted = self.counted();
        if let Some(open) = counted.open.get_mut(&transport) {
            *open -= 1;
        }
        let ended = counted.ended.entry((transport, status)).or_default();
        ended.sessions += 1;
        ended.sent += sent;
        ended.received += received;
    }

    /// Held for a few instructions, twice in a session.
    fn counted(&self) -> MutexGuard<'_, StreamCounted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
