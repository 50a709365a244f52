//! A snapshot that a source offers.

use std::time::SystemTime;

use keelgate_snapshot::Identity;
use serde::Serialize;

/// Where a snapshot comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The control plane: the authority.
    ControlPlane,
    /// This node's disk.
    Cache,
    /// A fallback storage, by its place in the list of the settings.
    Storage(usize),
}

/// A verified snapshot and where it comes from. `S` is what the driver needs to activate it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer<S> {
    /// Who offers it.
    pub source: Source,
    /// What it is.
    pub identity: Identity,
    /// When it was made or last restated, by the clock of its maker.
    pub stated_at: SystemTime,
    /// Whether it is too old to begin to serve: then it only tells how far the cluster was.
    pub stale: bool,
    /// Whether it configures nothing.
    pub empty: bool,
    /// The snapshot itself.
    pub snapshot: S,
}

/// How an offer stands to what is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing is served, or the offer is newer.
    Newer,
    /// Newer, with the very same configuration.
    Renamed,
    /// It is what is served.
    Same,
    /// Older than what is served.
    Older,
    /// Same epoch and revision, another configuration.
    Fork,
    /// Of another cluster.
    Foreign,
}

impl Standing {
    pub(crate) fn of(offered: &Identity, served: Option<&Identity>) -> Self {
        let Some(served) = served else {
            return Self::Newer;
        };
        if offered == served {
            return Self::Same;
        }
        if offered.cluster_id != served.cluster_id {
            return Self::Foreign;
        }
        match offered.position().cmp(&served.position()) {
            std::cmp::Ordering::Greater if offered.sha256 == served.sha256 => Self::Renamed,
            std::cmp::Ordering::Greater => Self::Newer,
            std::cmp::Ordering::Equal => Self::Fork,
            std::cmp::Ordering::Less => Self::Older,
        }
    }
}
