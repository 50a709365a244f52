//! Why a publisher keeps its hands off a storage.

use keelgate_snapshot::Identity;

/// Why a publisher refuses to write; it is reported, and checked again from time to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blocked {
    /// The storage holds a newer snapshot of this cluster.
    Ahead(Identity),
    /// The storage holds another snapshot with the same epoch and revision.
    Fork(Identity),
    /// The storage holds a snapshot of another cluster.
    Foreign(Identity),
    /// The storage holds a snapshot that claims to be newer, but is not verified.
    Unverified(Identity),
    /// The storage holds a sealed document, and this node has no sealing keys.
    Sealed,
    /// The storage holds a document of a newer build.
    TooNew,
}

impl Blocked {
    /// Why `found` must not be replaced by `wanted`; the two differ.
    pub(super) fn by(found: &Identity, wanted: &Identity) -> Option<Self> {
        if found.cluster_id != wanted.cluster_id {
            return Some(Self::Foreign(*found));
        }
        match found.position().cmp(&wanted.position()) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => Some(Self::Fork(*found)),
            std::cmp::Ordering::Greater => Some(Self::Ahead(*found)),
        }
    }
}

impl std::fmt::Display for Blocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ahead(found) => write!(
                f,
                "the storage holds the newer snapshot {found}: this node is behind; if its database was restored from a backup, or an emergency publish happened while it was away, run `keelgate config next_epoch` on the control plane"
            ),
            Self::Fork(found) => write!(
                f,
                "the storage holds {found}, another configuration of the same epoch and revision: two control planes write as one cluster; stop one and run `keelgate config next_epoch` on the other"
            ),
            Self::Foreign(found) => write!(
                f,
                "the storage holds snapshot {found} of cluster {}: give every cluster a prefix of its own in cluster_fallback_config_storage; if this one takes the place of that one, run `keelgate config next_epoch --adopt` on its control plane",
                found.cluster_id
            ),
            Self::Unverified(found) => write!(
                f,
                "the storage holds a document that claims to be {found}, not older than this node's snapshot, and that cannot be opened or is not signed with the cluster's key: find out who wrote it and delete it, or run `keelgate config next_epoch --above EPOCH` on the control plane"
            ),
            Self::Sealed => f.write_str(
                "the storage holds a sealed document and this node has no keys, so that it would be replaced in clear text: set cluster_fallback_config_encryption_keys; to end sealing, delete config.json first",
            ),
            Self::TooNew => f.write_str(
                "the storage holds a document of a newer build under this version: update this node",
            ),
        }
    }
}
