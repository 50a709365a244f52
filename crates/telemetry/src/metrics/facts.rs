//! What is known of a node when it is asked.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Everything that metrics are made of.
#[derive(Clone, Debug)]
pub struct Facts {
    /// When this was known.
    pub now: SystemTime,
    /// The version of the software.
    pub version: String,
    /// The node's id.
    pub node_id: String,
    /// The version of Kong whose interfaces these are.
    pub kong_version: String,
    /// Whether what the configuration is kept in can be reached.
    pub datastore_reachable: bool,
    /// The node's role.
    pub role: String,
    /// Which configuration is served, and from where.
    pub source: SourceFacts,
    /// The storages that this node backs up to; none where it does not.
    pub storages: Vec<StorageFacts>,
    /// Control plane and data planes.
    pub cluster: ClusterFacts,
    /// Targets of upstreams; on nodes that serve traffic.
    pub targets: Vec<TargetFacts>,
    /// Whether the health of all targets is told under the name that Kong has for it.
    pub kong_target_health: bool,
    /// What clients do; none where nothing is proxied.
    pub traffic: Option<TrafficFacts>,
    /// Sessions of streams, by protocol; those that there were none of may be left out.
    pub streams: Vec<StreamFacts>,
}

/// Sessions of streams.
#[derive(Clone, Debug, Default)]
pub struct StreamFacts {
    /// `tcp`, `tls` or `udp`.
    pub protocol: String,
    /// Sessions that are open.
    pub open: u64,
    /// Sessions that have ended, by status.
    pub sessions: BTreeMap<u16, u64>,
    /// Bytes that those were sent.
    pub sent: u64,
    /// Bytes that came from them.
    pub received: u64,
}

/// One address of a target of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetFacts {
    /// Name of the upstream.
    pub upstream: String,
    /// The target, as it is configured.
    pub target: String,
    /// Its address; empty when it has none.
    pub address: String,
    /// `healthy`, `unhealthy`, `dns_error` or `healthchecks_off`.
    pub state: String,
}

/// What clients do.
#[derive(Clone, Debug, Default)]
pub struct TrafficFacts {
    /// Connections since the start that were accepted.
    pub accepted: u64,
    /// Those that were served.
    pub handled: u64,
    /// Connections that are open.
    pub active: u64,
    /// Those whose request is being read.
    pub reading: u64,
    /// Those whose request is being served.
    pub writing: u64,
    /// Those that are idle.
    pub waiting: u64,
    /// Requests since the start.
    pub requests: u64,
    /// Times that a worker served as many connections as it may.
    pub full: u64,
    /// Lines of the access log that were lost.
    pub lines_dropped: u64,
    /// Records of logging plugins that were lost.
    pub records_dropped: u64,
}

/// The place of a snapshot in the history of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Counts the times that the history was taken up anew.
    pub epoch: u64,
    /// Counts the changes within an epoch.
    pub revision: u64,
}

/// Which configuration is served, and from where.
#[derive(Clone, Debug, Default)]
pub struct SourceFacts {
    /// `control_plane`, `cache`, `storage`, `declarative` or `store`.
    pub serving: Option<String>,
    /// Which snapshot.
    pub position: Option<Position>,
    /// When it was made.
    pub created_at: Option<SystemTime>,
    /// Since when it is served.
    pub since: Option<SystemTime>,
    /// How many snapshots are not tried any more on this node.
    pub quarantined: u64,
    /// On data planes: the state of the choice, as the status report names it.
    pub state: Option<String>,
    /// Since when that is the state.
    pub state_since: Option<SystemTime>,
    /// On data planes: whether a control plane may have something newer.
    pub potentially_stale: Option<bool>,
    /// On data planes: whether what is served is older than it may be.
    pub stale: Option<bool>,
    /// The kind of the last thing that went wrong, and when.
    pub last_error: Option<(String, SystemTime)>,
}

/// Backing up to one storage.
#[derive(Clone, Debug, Default)]
pub struct StorageFacts {
    /// Its address, without credentials.
    pub storage: String,
    /// What is being done, as the status report names it.
    pub state: String,
    /// Whether this node is the one that writes.
    pub leading: bool,
    /// The node that writes, as far as this one knows.
    pub leader: Option<String>,
    /// Since when this node writes.
    pub leading_since: Option<SystemTime>,
    /// `compare` or `none`; unknown until the storage was probed.
    pub fencing: Option<String>,
    /// When a backup was last begun.
    pub last_attempt: Option<SystemTime>,
    /// When the storage was last seen to hold the newest snapshot.
    pub last_success: Option<SystemTime>,
    /// How long the last publication took.
    pub latency: Option<Duration>,
    /// Size of what is stored.
    pub bytes: Option<u64>,
    /// What is stored.
    pub stored: Option<Position>,
    /// What shall be stored.
    pub wanted: Option<Position>,
    /// Failures since the start, by kind.
    pub failures: BTreeMap<String, u64>,
}

/// Control plane and data planes.
#[derive(Clone, Debug, Default)]
pub struct ClusterFacts {
    /// On a data plane: whether it is connected to a control plane.
    pub control_plane_connected: Option<bool>,
    /// On a control plane: how many data planes are connected.
    pub data_planes: Option<u64>,
}
