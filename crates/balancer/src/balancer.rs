//! An upstream with its targets.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use keelgate_entities::kinds::{Algorithm, Target, Upstream};
use rustc_hash::FxHashMap;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::address::{Address, AddressError, Host};
use crate::hash::{HashSource, Hashed, Keys};
use crate::health::{Checks, Health, Outcome, is_checked};
use crate::resolution::Resolution;
use crate::ring::Ring;
use crate::round_robin::Turns;
use crate::state::{Open, State};
use crate::{latency, least_connections};

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

/// Whether enough weight was available after so many changes: twice the number of changes plus
/// one, plus one more if it was. 0 means that nobody looked yet.
#[derive(Default)]
struct Verdict(AtomicU64);

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

/// A target as others see it.
#[derive(Clone, Copy, Debug)]
pub struct TargetView<'a> {
    /// Which one.
    pub index: TargetIndex,
    /// Id of the entity.
    pub id: Uuid,
    /// Where it is, before any name is resolved.
    pub address: &'a Address,
    /// Share of the load of each of its peers, unless their records say otherwise; 0 takes it out.
    pub weight: u32,
    /// What is known of its addresses.
    pub resolution: &'a Resolution,
    /// That of its best peer; [`Health::Unavailable`] without any.
    pub health: Health,
}

/// A peer as others see it.
#[derive(Clone, Copy, Debug)]
pub struct PeerView<'a> {
    /// Which one.
    pub index: PeerIndex,
    /// The target that it belongs to.
    pub target: TargetIndex,
    /// Where the target is, before any name is resolved.
    pub target_address: &'a Address,
    /// Where the peer is.
    pub address: SocketAddr,
    /// What `Host` says instead of the target's name: that of the SRV record, where it is wanted.
    pub name: Option<&'a str>,
    /// Share of the load; 0 takes it out.
    pub weight: u32,
    /// Whether it may be chosen.
    pub health: Health,
    /// Requests under way.
    pub open: u32,
}

/// How much of an upstream's weight there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Of all peers.
    pub total: u64,
    /// Of those that may be chosen.
    pub available: u64,
}

/// An upstream that does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("upstream {upstream}, target {target}: {source}")]
pub struct CompileError {
    /// Name of the upstream.
    pub upstream: String,
    /// Id of the target.
    pub target: Uuid,
    /// What is wrong with it.
    pub source: AddressError,
}

impl Balancer {
    /// Compiles an upstream; `targets` are those of this upstream.
    pub fn compile<'t>(
        upstream: &Upstream,
        targets: impl IntoIterator<Item = &'t Target>,
    ) -> Result<Self, CompileError> {
        Self::compile_after(upstream, targets, None)
    }

    /// Compiles a changed upstream. Targets that `previous` has keep what their names resolved to,
    /// and their peers keep health, counts, open requests and latencies.
    pub fn compile_from<'t>(
        upstream: &Upstream,
        targets: impl IntoIterator<Item = &'t Target>,
        previous: &Self,
    ) -> Result<Self, CompileError> {
        Self::compile_after(upstream, targets, Some(previous))
    }

    fn compile_after<'t>(
        upstream: &Upstream,
        targets: impl IntoIterator<Item = &'t Target>,
        previous: Option<&Self>,
    ) -> Result<Self, CompileError> {
        let known: FxHashMap<&Address, &Resolution> = previous
            .into_iter()
            .flat_map(|previous| &previous.targets)
            .map(|entry| (&entry.address, &entry.resolution))
            .collect();
        let targets = targets
            .into_iter()
            .map(|target| {
                let address: Address = target.target.parse().map_err(|source| CompileError {
                    upstream: upstream.name.clone(),
                    target: target.id,
                    source,
                })?;
                let resolution = match &address.host {
                    Host::Ip(ip) => Resolution::of_address(*ip),
                    Host::Name(_) => known
                        .get(&address)
                        .map_or(Resolution::Pending, |&known| known.clone()),
                };
                Ok(Entry {
                    id: target.id,
                    weight: target.weight,
                    resolution,
                    address,
                })
            })
            .collect::<Result<Box<[Entry]>, CompileError>>()?;
        let policy = Arc::new(Policy::new(upstream));
        Ok(Self::build(policy, targets, previous))
    }

    /// The same upstream after names were resolved anew. Peers that stay keep health, counts, open
    /// requests and latencies.
    #[must_use]
    pub fn resolved(&self, answers: &[(TargetIndex, Resolution)]) -> Self {
        let answers: FxHashMap<u32, &Resolution> = answers
            .iter()
            .map(|(target, resolution)| (target.0, resolution))
            .collect();
        let targets = (0..)
            .zip(&self.targets)
            .map(|(index, entry)| Entry {
                id: entry.id,
                address: entry.address.clone(),
                weight: entry.weight,
                resolution: match answers.get(&index) {
                    Some(&resolution) => resolution.clone(),
                    None => entry.resolution.clone(),
                },
            })
            .collect();
        Self::build(Arc::clone(&self.policy), targets, Some(self))
    }

    fn build(policy: Arc<Policy>, targets: Box<[Entry]>, previous: Option<&Self>) -> Self {
        let known: FxHashMap<(&Address, SocketAddr), &Arc<State>> = previous
            .into_iter()
            .flat_map(|previous| previous.peers.iter().map(move |peer| (previous, peer)))
            .map(|(previous, peer)| {
                let target = &previous.targets[peer.target as usize];
                ((&target.address, peer.address), &peer.state)
            })
            .collect();
        let mut peers = Vec::with_capacity(targets.len());
        for (index, target) in (0..).zip(&targets) {
            for endpoint in target.resolution.endpoints() {
                let port = endpoint.port.unwrap_or(target.address.port);
                let address = SocketAddr::new(endpoint.ip, port);
                peers.push(Peer {
                    target: index,
                    address,
                    name: endpoint.name.clone().filter(|_| policy.use_srv_name),
                    // A target that is taken out stays out whatever its records say.
                    weight: match target.weight {
                        0 => 0,
                        weight => endpoint.weight.unwrap_or(weight),
                    },
                    state: known
                        .get(&(&target.address, address))
                        .map_or_else(Arc::default, |&state| Arc::clone(state)),
                });
            }
        }
        let method = Method::new(&policy, &peers, previous.map(|previous| &previous.method));
        Self {
            policy,
            targets,
            peers: peers.into(),
            method,
            changes: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.changes)),
            verdict: Verdict::default(),
        }
    }

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

    /// The weight of some peers of this balancer.
    pub fn weigh<'a>(&self, peers: impl Iterator<Item = PeerView<'a>>) -> Weight {
        peers.fold(Weight::default(), |weight, peer| Weight {
            total: weight.total + u64::from(peer.weight),
            available: weight.available
                + match peer.health {
                    Health::Healthy | Health::Unchecked => u64::from(peer.weight),
                    Health::Unhealthy | Health::Unavailable => 0,
                },
        })
    }

    /// All targets, in the order given.
    pub fn targets(&self) -> impl Iterator<Item = TargetView<'_>> {
        (0..).zip(&self.targets).map(|(index, entry)| {
            let index = TargetIndex(index);
            let health = self
                .peers_of(index)
                .map(|peer| peer.health)
                .reduce(|one, other| match (one, other) {
                    (Health::Healthy, _) | (_, Health::Healthy) => Health::Healthy,
                    (Health::Unhealthy, _) | (_, Health::Unhealthy) => Health::Unhealthy,
                    (one, _) => one,
                });
            TargetView {
                index,
                id: entry.id,
                address: &entry.address,
                weight: entry.weight,
                resolution: &entry.resolution,
                health: health.unwrap_or(Health::Unavailable),
            }
        })
    }

    /// All peers, in the order of their targets.
    pub fn peers(&self) -> impl Iterator<Item = PeerView<'_>> {
        (0..)
            .zip(&self.peers)
            .map(|(index, peer)| self.view(PeerIndex(index), peer))
    }

    /// The peers of one target.
    pub fn peers_of(&self, target: TargetIndex) -> impl Iterator<Item = PeerView<'_>> {
        // Peers stand in the order of their targets.
        let from = self.peers.partition_point(|peer| peer.target < target.0);
        (from..)
            .zip(&self.peers[from..])
            .take_while(move |(_, peer)| peer.target == target.0)
            .map(|(index, peer)| self.view(PeerIndex(index as u32), peer))
    }

    /// What is known of a target's addresses; `None` for one of another balancer.
    pub fn resolution(&self, target: TargetIndex) -> Option<&Resolution> {
        let entry = self.targets.get(target.0 as usize)?;
        Some(&entry.resolution)
    }

    /// One peer; `None` for one of another balancer.
    pub fn peer(&self, index: PeerIndex) -> Option<PeerView<'_>> {
        let peer = self.peers.get(index.0 as usize)?;
        Some(self.view(index, peer))
    }

    fn view<'a>(&'a self, index: PeerIndex, peer: &'a Peer) -> PeerView<'a> {
        PeerView {
            index,
            target: TargetIndex(peer.target),
            target_address: &self.targets[peer.target as usize].address,
            address: peer.address,
            name: peer.name.as_deref(),
            weight: peer.weight,
            health: self.health(peer),
            open: peer.state.open(),
        }
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

impl Policy {
    fn new(upstream: &Upstream) -> Self {
        let checks = &upstream.healthchecks;
        let (active, passive) = (&checks.active, &checks.passive);
        let interprets = passive.r#type.as_deref() != Some("tcp");
        Self {
            algorithm: upstream.algorithm,
            slots: upstream.slots,
            use_srv_name: upstream.use_srv_name,
            keys: Keys::new(upstream),
            checked: is_checked(checks),
            threshold: checks.threshold,
            active: Checks::new(&active.healthy, &active.unhealthy, true),
            passive: Checks::new(&passive.healthy, &passive.unhealthy, interprets),
        }
    }
}

impl Method {
    fn new(policy: &Policy, peers: &[Peer], previous: Option<&Self>) -> Self {
        match policy.algorithm {
            Algorithm::RoundRobin => {
                let cursor = match previous {
                    Some(Self::RoundRobin(turns)) => turns.cursor(),
                    _ => 0,
                };
                Self::RoundRobin(Turns::new(peers.iter().map(|peer| peer.weight), cursor))
            }
            Algorithm::ConsistentHashing => {
                let keys: Box<[(u64, u32)]> = peers
                    .iter()
                    .map(|peer| (xxh3_64(peer.address.to_string().as_bytes()), peer.weight))
                    .collect();
                match previous {
                    Some(Self::ConsistentHashing(ring)) if ring.is_of(&keys, policy.slots) => {
                        Self::ConsistentHashing(Arc::clone(ring))
                    }
                    _ => Self::ConsistentHashing(Arc::new(Ring::new(keys, policy.slots))),
                }
            }
            Algorithm::LeastConnections => Self::LeastConnections,
            Algorithm::Latency => Self::Latency,
        }
    }
}

impl Verdict {
    fn at(&self, changes: u64) -> Option<bool> {
        let word = self.0.load(Relaxed);
        (word.checked_sub(1)? / 2 == changes).then_some((word - 1) % 2 == 1)
    }

    fn set(&self, changes: u64, healthy: bool) {
        self.0.store(changes * 2 + u64::from(healthy) + 1, Relaxed);
    }
}

impl fmt::Debug for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.peers()).finish()
    }
}
