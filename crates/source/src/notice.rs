//! What the machine wants an operator to know, and the words for it.

use keelgate_snapshot::Identity;

use crate::Source;

/// Something that an operator should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The deadline has passed and there is no good snapshot anywhere yet.
    Empty,
    /// The control plane confirms what is served.
    Confirmed(Identity),
    /// The control plane offers something older than what is served.
    ControlPlaneBehind {
        /// What it offers.
        offered: Identity,
        /// What is served.
        served: Identity,
    },
    /// Another configuration with the same epoch and revision.
    Fork {
        /// Who offers it.
        source: Source,
        /// What is offered.
        offered: Identity,
        /// What is served.
        served: Identity,
    },
    /// A candidate is of another cluster and was not used.
    Foreign {
        /// Who offers it.
        source: Source,
        /// What is offered.
        offered: Identity,
        /// What is served.
        served: Identity,
    },
    /// The control plane is of another cluster; it is the authority and was followed.
    ClusterChanged {
        /// What it offers.
        offered: Identity,
        /// What was served.
        served: Identity,
    },
    /// The control plane is of another cluster and configures nothing: it was not followed.
    EmptyCluster {
        /// What it offers.
        offered: Identity,
        /// What is served.
        served: Identity,
    },
    /// A snapshot was offered that is quarantined.
    Quarantined {
        /// Who offers it.
        source: Source,
        /// What it is.
        offered: Identity,
    },
}

impl Notice {
    /// A short word for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Confirmed(_) => "confirmed",
            Self::ControlPlaneBehind { .. } => "control_plane_behind",
            Self::Fork { .. } => "fork",
            Self::Foreign { .. } => "foreign_cluster",
            Self::ClusterChanged { .. } => "cluster_changed",
            Self::EmptyCluster { .. } => "empty_cluster",
            Self::Quarantined { .. } => "quarantined",
        }
    }

    /// Who gives rise to it.
    pub fn source(&self) -> Source {
        match *self {
            Self::Fork { source, .. }
            | Self::Foreign { source, .. }
            | Self::Quarantined { source, .. } => source,
            _ => Source::ControlPlane,
        }
    }

    /// What is the matter and how to mend it; `origin` names the source.
    pub fn message(&self, origin: &str) -> String {
        match self {
            Self::Empty => "no good configuration was found in time, neither at the control plane nor in the disk cache nor in a fallback storage; the search goes on".to_owned(),
            Self::Confirmed(identity) => format!("{origin} confirms {identity}, which is served"),
            Self::ControlPlaneBehind { offered, served } => format!(
                "{origin} offers {offered}, older than {served} which is served: it was restored from a backup, or an emergency publish happened while it was away; make the change there, too, and run `keelgate config next_epoch` on it"
            ),
            Self::Fork { offered, served, .. } => format!(
                "{origin} offers {offered}, another configuration of the same epoch and revision as {served} which is served: two control planes write as one cluster"
            ),
            Self::Foreign { offered, served, .. } => format!(
                "{origin} offers {offered} of cluster {}, this node serves cluster {}: check cluster_fallback_config_storage",
                offered.cluster_id, served.cluster_id
            ),
            Self::ClusterChanged { offered, served } => format!(
                "{origin} is of cluster {}, what was served is of cluster {}: following the control plane",
                offered.cluster_id, served.cluster_id
            ),
            Self::EmptyCluster { offered, served } => format!(
                "{origin} is of cluster {} and configures nothing, what is served ({served}) is of cluster {}: a lost database does not empty its data planes; restore it, or make the first service there to be followed",
                offered.cluster_id, served.cluster_id
            ),
            Self::Quarantined { offered, .. } => {
                format!("{origin} offers {offered}, which is quarantined on this node")
            }
        }
    }
}
