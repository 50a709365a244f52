//! From an upstream and its targets to a balancer, new or in the place of another.

use std::net::SocketAddr;
use std::sync::Arc;

use keelgate_entities::kinds::{Algorithm, Target, Upstream};
use rustc_hash::FxHashMap;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::verdict::Verdict;
use super::{Balancer, Entry, Method, Peer, Policy, TargetIndex};
use crate::address::{Address, AddressError, Host};
use crate::hash::Keys;
use crate::health::{Checks, is_checked};
use crate::resolution::Resolution;
use crate::ring::Ring;
use crate::round_robin::Turns;
use crate::state::State;

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
