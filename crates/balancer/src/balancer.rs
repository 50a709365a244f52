//! An upstream with its targets.

mod build;
mod verdict;
mod view;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use keelgate_entities::kinds::Algorithm;
use uuid::Uuid;

use self::verdict::Verdict;
use crate::address::Address;
use crate::hash::{HashSource, Hashed, Keys};
use crate::health::{Checks, Health, Outcome};
use crate::resolution::Resolution;
use crate::ring::Ring;
use crate::round_robin::Turns;
use crate::state::{Open, State};
use crate::{latency, least_connections};

pub use self::build::CompileError;
pub use self::view::{PeerView, TargetView, Weight};

/// Chooses a peer (one address of one target) of an upstream for each request.
///
/// Targets that are names have peers once [`Balancer::resolved`] was told their addresses.
pub struct Balancer {
    policy: Arc<Policy>,
    targets: Box<[Entry]>,
    peers: Box<[Peer]>,
    method: Method,
    /// Counts changes of any peer's health, shared with the balancers before and after.
    changes: Arc<AtomicU64>,
    verdict: Verdict,
}

/// What the upstream says, whatever its targets are.
struct Policy {
    algorithm: Algorithm,
    slots: u32,
    use_srv_name: bool,
    keys: Keys,
    checked: bool,
    /// Per cent of the weight that must be available, exclusive.
    threshold: f64,
    active: Checks,
    passive: Checks,
}

struct Entry {
    id: Uuid,
    address: Address,
    weight: u32,
    resolution: Resolution,
}

struct Peer {
    target: u32,
    address: SocketAddr,
    name: Option<Arc<str>>,
    weight: u32,
    state: Arc<State>,
}

enum Method {
    RoundRobin(Turns),
    ConsistentHashing(Arc<Ring>),
    LeastConnections,
    Latency,
}

/// A target of a balancer. Means the same target only in the same balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetIndex(u32);

/// A peer of a balancer. Means the same peer only in the same balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerIndex(u32);

/// What a peer is chosen by.
#[derive(Clone, Copy, Debug)]
pub struct Pick<'a> {
    /// From [`Balancer::hash`]; used by consistent hashing. Without it a random peer is taken.
    pub hash: Option<u64>,
    /// Peers that this request failed on; they are taken again only if there is no other.
    pub tried: &'a [PeerIndex],
    /// Any number.
    pub random: u64,
    /// Time since any fixed moment.
    pub now: Duration,
}

impl Balancer {
    /// Chooses a peer. `None` when none is available, or too little of the weight.
    pub fn pick(&self, pick: &Pick<'_>) -> Option<PeerIndex> {
        if !self.is_healthy() {
            return None;
        }
        let available = |index: usize| self.is_available(&self.peers[index]);
        let fresh =
            |index: usize| available(index) && !pick.tried.contains(&PeerIndex(index as u32));
        let mut found = self.choose(pick, fresh);
        if found.is_none() && !pick.tried.is_empty() {
            found = self.choose(pick, available);
        }
        found.map(|index| PeerIndex(index as u32))
    }

    fn choose(&self, pick: &Pick<'_>, usable: impl Fn(usize) -> bool) -> Option<usize> {
        // Begins anywhere, so that not everybody takes the first of equals.
        let count = self.peers.len();
        let begin = pick.random.checked_rem(count as u64)? as usize;
        let around = (begin..count)
            .chain(0..begin)
            .filter(|&index| usable(index));
        match &self.method {
            Method::RoundRobin(turns) => turns.pick(usable, pick.random),
            Method::ConsistentHashing(ring) => ring.pick(pick.hash.unwrap_or(pick.random), usable),
            Method::LeastConnections => least_connections::pick(around.map(|index| {
                let peer = &self.peers[index];
                (index, peer.weight, peer.state.open())
            })),
            Method::Latency => latency::pick(
                around.map(|index| {
                    let peer = &self.peers[index];
                    (index, peer.weight, peer.state.latency.get(pick.now))
                }),
                |index, mean| self.peers[index].state.latency.begin(mean, pick.now),
            ),
        }
    }

    /// Whether a name was never resolved, nor failed to be.
    pub fn is_pending(&self) -> bool {
        let mut targets = self.targets.iter();
        targets.any(|target| matches!(target.resolution, Resolution::Pending))
    }

    /// The hash of a request; `None` when nothing is hashed, or the request has nothing to hash.
    /// `random` becomes the value of a new cookie.
    pub fn hash(&self, source: &dyn HashSource, random: u128) -> Option<Hashed> {
        match self.method {
            Method::ConsistentHashing(_) => self.policy.keys.hash(source, random),
            _ => None,
        }
    }

    /// Counts a request to a peer as open until the result is dropped. `None` for a peer of
    /// another balancer.
    pub fn open(&self, peer: PeerIndex) -> Option<Open> {
        self.peers
            .get(peer.0 as usize)
            .map(|peer| Open::new(&peer.state))
    }

    /// Tells how a proxied request ended (passive checks). Returns the health if it changed.
    pub fn report(&self, peer: PeerIndex, outcome: Outcome) -> Option<Health> {
        self.count(peer, &self.policy.passive, outcome)
    }

    /// Tells how a probe ended (active checks). Returns the health if it changed.
    pub fn probed(&self, peer: PeerIndex, outcome: Outcome) -> Option<Health> {
        self.count(peer, &self.policy.active, outcome)
    }

    fn count(&self, index: PeerIndex, checks: &Checks, outcome: Outcome) -> Option<Health> {
        let peer = self.peers.get(index.0 as usize)?;
        if !self.policy.checked {
            return None;
        }
        let (count, limit) = checks.count(outcome)?;
        let changed = peer.state.count(count, limit);
        self.changed(index, changed)
    }

    /// Takes a peer out, or back in, by an operator's word. Returns the health if it changed.
    pub fn set_healthy(&self, index: PeerIndex, healthy: bool) -> Option<Health> {
        let peer = self.peers.get(index.0 as usize)?;
        let changed = peer.state.set_unhealthy(!healthy);
        self.changed(index, changed)
    }

    fn changed(&self, peer: PeerIndex, changed: bool) -> Option<Health> {
        if !changed {
            return None;
        }
        self.changes.fetch_add(1, Relaxed);
        self.peer(peer).map(|view| view.health)
    }

    /// Whether the upstream has any check; without one, health is not kept.
    pub fn is_checked(&self) -> bool {
        self.policy.checked
    }

    /// Whether enough of the weight is available (`healthchecks.threshold`).
    pub fn is_healthy(&self) -> bool {
        let changes = self.changes.load(Relaxed);
        self.verdict.at(changes).unwrap_or_else(|| {
            let Weight { total, available } = self.weigh(self.peers());
            let share = available as f64 / total as f64 * 100.0;
            let healthy = total > 0 && share > self.policy.threshold;
            self.verdict.set(changes, healthy);
            healthy
        })
    }

    fn health(&self, peer: &Peer) -> Health {
        if !self.policy.checked || peer.weight == 0 {
            Health::Unchecked
        } else if peer.state.is_unhealthy() {
            Health::Unhealthy
        } else {
            Health::Healthy
        }
    }

    fn is_available(&self, peer: &Peer) -> bool {
        peer.weight > 0 && self.health(peer) != Health::Unhealthy
    }
}

impl fmt::Debug for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.peers()).finish()
    }
}
