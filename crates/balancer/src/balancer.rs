//! An upstream with its targets.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use keelgate_entities::kinds::{Algorithm, Target, Upstream};
use rustc_hash::FxHashMap;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use crate::address::{Address, AddressError};
use crate::hash::{HashSource, Hashed, Keys};
use crate::health::{Checks, Health, Outcome, is_checked};
use crate::ring::Ring;
use crate::round_robin::Turns;
use crate::state::{Open, State};
use crate::{latency, least_connections};

/// Chooses a target of an upstream for each request.
pub struct Balancer {
    members: Box<[Member]>,
    method: Method,
    keys: Keys,
    checked: bool,
    /// Per cent of the weight that must be available, exclusive.
    threshold: f64,
    active: Checks,
    passive: Checks,
    /// Counts changes of any target's health, shared with the balancers before and after.
    changes: Arc<AtomicU64>,
    verdict: Verdict,
}

struct Member {
    id: Uuid,
    address: Address,
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

/// What a target is chosen by.
#[derive(Clone, Copy, Debug)]
pub struct Pick<'a> {
    /// From [`Balancer::hash`]; used by consistent hashing. Without it a random target is taken.
    pub hash: Option<u64>,
    /// Targets that this request failed on; they are taken again only if there is no other.
    pub tried: &'a [TargetIndex],
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
    /// Where it is.
    pub address: &'a Address,
    /// Share of the load; 0 takes it out.
    pub weight: u32,
    /// Whether it may be chosen.
    pub health: Health,
    /// Requests under way.
    pub open: u32,
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
        Self::build(upstream, targets, None)
    }

    /// Compiles a changed upstream. Targets with an address that `previous` has keep their health,
    /// counts, open requests and latencies.
    pub fn compile_from<'t>(
        upstream: &Upstream,
        targets: impl IntoIterator<Item = &'t Target>,
        previous: &Self,
    ) -> Result<Self, CompileError> {
        Self::build(upstream, targets, Some(previous))
    }

    fn build<'t>(
        upstream: &Upstream,
        targets: impl IntoIterator<Item = &'t Target>,
        previous: Option<&Self>,
    ) -> Result<Self, CompileError> {
        let known: FxHashMap<&Address, &Arc<State>> = previous
            .into_iter()
            .flat_map(|previous| &previous.members)
            .map(|member| (&member.address, &member.state))
            .collect();
        let members = targets
            .into_iter()
            .map(|target| {
                let address: Address = target.target.parse().map_err(|source| CompileError {
                    upstream: upstream.name.clone(),
                    target: target.id,
                    source,
                })?;
                Ok(Member {
                    id: target.id,
                    weight: target.weight,
                    state: known
                        .get(&address)
                        .map_or_else(Arc::default, |&state| Arc::clone(state)),
                    address,
                })
            })
            .collect::<Result<Box<[Member]>, CompileError>>()?;
        let checks = &upstream.healthchecks;
        Ok(Self {
            method: Method::new(
                upstream,
                &members,
                previous.map(|previous| &previous.method),
            ),
            members,
            keys: Keys::new(upstream),
            checked: is_checked(checks),
            threshold: checks.threshold,
            active: Checks::new(&checks.active.healthy, &checks.active.unhealthy),
            passive: Checks::new(&checks.passive.healthy, &checks.passive.unhealthy),
            changes: previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.changes)),
            verdict: Verdict::default(),
        })
    }

    /// Chooses a target. `None` when no target is available, or too little of the weight.
    pub fn pick(&self, pick: &Pick<'_>) -> Option<TargetIndex> {
        if !self.is_healthy() {
            return None;
        }
        let available = |index: usize| self.members[index].is_available(self.checked);
        let fresh =
            |index: usize| available(index) && !pick.tried.contains(&TargetIndex(index as u32));
        let mut found = self.choose(pick, fresh);
        if found.is_none() && !pick.tried.is_empty() {
            found = self.choose(pick, available);
        }
        found.map(|index| TargetIndex(index as u32))
    }

    fn choose(&self, pick: &Pick<'_>, usable: impl Fn(usize) -> bool) -> Option<usize> {
        // Begins anywhere, so that not everybody takes the first of equals.
        let count = self.members.len();
        let begin = pick.random.checked_rem(count as u64)? as usize;
        let around = (begin..count)
            .chain(0..begin)
            .filter(|&index| usable(index));
        match &self.method {
            Method::RoundRobin(turns) => turns.pick(usable, pick.random),
            Method::ConsistentHashing(ring) => ring.pick(pick.hash.unwrap_or(pick.random), usable),
            Method::LeastConnections => least_connections::pick(around.map(|index| {
                let member = &self.members[index];
                (index, member.weight, member.state.open())
            })),
            Method::Latency => latency::pick(
                around.map(|index| {
                    let member = &self.members[index];
                    (index, member.weight, member.state.latency.get(pick.now))
                }),
                |index, mean| self.members[index].state.latency.begin(mean, pick.now),
            ),
        }
    }

    /// The hash of a request; `None` when nothing is hashed, or the request has nothing to hash.
    /// `random` becomes the value of a new cookie.
    pub fn hash(&self, source: &dyn HashSource, random: u128) -> Option<Hashed> {
        match self.method {
            Method::ConsistentHashing(_) => self.keys.hash(source, random),
            _ => None,
        }
    }

    /// Counts a request to a target as open until the result is dropped. `None` for a target of
    /// another balancer.
    pub fn open(&self, target: TargetIndex) -> Option<Open> {
        self.member(target).map(|member| Open::new(&member.state))
    }

    /// Tells how a proxied request ended (passive checks). Returns the health if it changed.
    pub fn report(&self, target: TargetIndex, outcome: Outcome) -> Option<Health> {
        self.count(target, &self.passive, outcome)
    }

    /// Tells how a probe ended (active checks). Returns the health if it changed.
    pub fn probed(&self, target: TargetIndex, outcome: Outcome) -> Option<Health> {
        self.count(target, &self.active, outcome)
    }

    fn count(&self, target: TargetIndex, checks: &Checks, outcome: Outcome) -> Option<Health> {
        let member = self.member(target).filter(|_| self.checked)?;
        let (count, limit) = checks.count(outcome)?;
        let changed = member.state.count(count, limit);
        self.changed(target, changed)
    }

    /// Takes a target out, or back in, by an operator's word. Returns the health if it changed.
    pub fn set_healthy(&self, target: TargetIndex, healthy: bool) -> Option<Health> {
        let changed = self.member(target)?.state.set_unhealthy(!healthy);
        self.changed(target, changed)
    }

    /// Tells whether a target's name resolves. Returns the health if it changed.
    pub fn set_resolved(&self, target: TargetIndex, resolved: bool) -> Option<Health> {
        let changed = self.member(target)?.state.set_unresolved(!resolved);
        self.changed(target, changed)
    }

    fn changed(&self, target: TargetIndex, changed: bool) -> Option<Health> {
        if !changed {
            return None;
        }
        self.changes.fetch_add(1, Relaxed);
        self.target(target).map(|view| view.health)
    }

    /// Whether enough of the weight is available (`healthchecks.threshold`).
    pub fn is_healthy(&self) -> bool {
        let changes = self.changes.load(Relaxed);
        self.verdict.at(changes).unwrap_or_else(|| {
            let healthy = self.weigh();
            self.verdict.set(changes, healthy);
            healthy
        })
    }

    fn weigh(&self) -> bool {
        let (mut total, mut available) = (0_u64, 0_u64);
        for member in &self.members {
            total += u64::from(member.weight);
            if member.is_available(self.checked) {
                available += u64::from(member.weight);
            }
        }
        total > 0 && available as f64 / total as f64 * 100.0 > self.threshold
    }

    /// All targets, in the order given.
    pub fn targets(&self) -> impl Iterator<Item = TargetView<'_>> {
        (0..self.members.len()).filter_map(|index| self.target(TargetIndex(index as u32)))
    }

    /// One target; `None` for one of another balancer.
    pub fn target(&self, index: TargetIndex) -> Option<TargetView<'_>> {
        let member = self.member(index)?;
        Some(TargetView {
            index,
            id: member.id,
            address: &member.address,
            weight: member.weight,
            health: member.health(self.checked),
            open: member.state.open(),
        })
    }

    fn member(&self, target: TargetIndex) -> Option<&Member> {
        self.members.get(target.0 as usize)
    }
}

impl Member {
    fn is_available(&self, checked: bool) -> bool {
        self.weight > 0 && matches!(self.health(checked), Health::Healthy | Health::Unchecked)
    }

    fn health(&self, checked: bool) -> Health {
        if self.state.is_unresolved() {
            Health::Unavailable
        } else if !checked {
            Health::Unchecked
        } else if self.state.is_unhealthy() {
            Health::Unhealthy
        } else {
            Health::Healthy
        }
    }
}

impl Method {
    fn new(upstream: &Upstream, members: &[Member], previous: Option<&Self>) -> Self {
        match upstream.algorithm {
            Algorithm::RoundRobin => {
                let cursor = match previous {
                    Some(Self::RoundRobin(turns)) => turns.cursor(),
                    _ => 0,
                };
                Self::RoundRobin(Turns::new(members.iter().map(|m| m.weight), cursor))
            }
            Algorithm::ConsistentHashing => {
                let keys: Box<[(u64, u32)]> = members
                    .iter()
                    .map(|m| (xxh3_64(m.address.to_string().as_bytes()), m.weight))
                    .collect();
                match previous {
                    Some(Self::ConsistentHashing(ring)) if ring.is_of(&keys, upstream.slots) => {
                        Self::ConsistentHashing(Arc::clone(ring))
                    }
                    _ => Self::ConsistentHashing(Arc::new(Ring::new(keys, upstream.slots))),
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
        f.debug_list().entries(self.targets()).finish()
    }
}
