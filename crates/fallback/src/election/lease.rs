//! The documents of an election.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `election/lease.json`: who publishes.
///
/// It holds no time: a lease runs out when it has not *changed* for a whole period by the clock of
/// the one who looks, so that no two clocks are ever compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The leader; nobody when it has resigned.
    pub holder: Option<Uuid>,
    /// Counts changes of leader.
    pub term: u64,
    /// New in every write: tells a node its own write when the answer to it was lost, and keeps
    /// two writes from ever having the same bytes.
    pub nonce: Uuid,
}

/// `election/NODE_ID`: a node that would publish. For operators to see; nothing depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The node.
    pub node_id: Uuid,
    /// Name of its host.
    pub hostname: String,
    /// Version of its software.
    pub version: String,
}
