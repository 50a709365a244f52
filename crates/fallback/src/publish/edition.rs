//! Snapshots as publishers compare them.

use std::time::UNIX_EPOCH;

use keelgate_snapshot::{Identity, Snapshot};

/// One statement of a snapshot: a control plane may sign an unchanged configuration anew.
///
/// Identities say which snapshot is newer, `created_at` which statement of one snapshot is. Both
/// come from the control plane; neither is ever compared with a clock of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Edition {
    pub(crate) identity: Identity,
    /// When the statement was made, in milliseconds since 1970, by its maker's clock.
    pub(crate) created_at: u64,
}

impl Edition {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let created_at = snapshot.created_at();
        let elapsed = created_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            identity: *snapshot.identity(),
            created_at: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Whether it is a statement of the same snapshot that is at least as new.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.identity == other.identity && self.created_at >= other.created_at
    }
}

impl std::fmt::Display for Edition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.identity.fmt(f)
    }
}
