//! What turns a snapshot into something that serves.

use keelgate_snapshot::Snapshot;

/// A snapshot that cannot be compiled or put in place; what served before still serves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ActivationError(pub String);

/// Compiles a snapshot and swaps it in.
pub trait Activator: Send + Sync + 'static {
    /// Makes `snapshot` serve, whole or not at all. May take long: it is called beside the async
    /// threads, never twice at once.
    ///
    /// # Errors
    ///
    /// Says what in the snapshot cannot be used, and where.
    fn activate(&self, snapshot: &Snapshot) -> Result<(), ActivationError>;

    /// What serves has another document by now: the same configuration, stated later or under a newer
    /// identity. Nothing is to be compiled or swapped.
    fn restate(&self, snapshot: &Snapshot) {
        let _ = snapshot;
    }
}
