//! What must hold at every moment, and what in the end.

use std::collections::{BTreeMap, VecDeque};

use super::plan::Plan;
use super::storage::{Key, Request, SOFTWARE, Software};
use super::{Millis, Part, World};
use crate::Fencing;

/// Writes of one object that all nodes together send within the window: about one per second, and
/// what a change of leader costs.
const WRITES: usize = 16;
const WINDOW: Millis = 10_000;

/// What the properties need to remember.
pub(super) struct Watch {
    /// When the writes of an object were sent, storage by storage.
    sent: Vec<BTreeMap<Key, VecDeque<Millis>>>,
    /// The last write of an object by one node and storage.
    last: BTreeMap<(usize, usize, Key), Millis>,
    /// When the leader of a version in a storage was killed.
    lost_at: Vec<[Option<Millis>; SOFTWARE]>,
    /// How many times the lease was written for since.
    claims: Vec<[u32; SOFTWARE]>,
    period: Millis,
    /// By how much two clocks may drift apart within a period.
    drift: Millis,
}

impl Watch {
    pub(super) fn new(plan: &Plan) -> Self {
        let period = u64::try_from(plan.period.as_millis()).unwrap_or(0);
        let rates = plan.nodes.iter().map(|node| node.clock.1.unsigned_abs());
        Self {
            sent: vec![BTreeMap::new(); plan.storages.len()],
            last: BTreeMap::new(),
            lost_at: vec![[None; SOFTWARE]; plan.storages.len()],
            claims: vec![[0; SOFTWARE]; plan.storages.len()],
            period,
            drift: 2 + 2 * period * rates.max().unwrap_or(0) / 1_000_000,
        }
    }

    /// A new process knows nothing of what the former one wrote.
    pub(super) fn reborn(&mut self, node: usize) {
        self.last.retain(|(of, ..), _| *of != node);
    }

    pub(super) fn lost(&mut self, storage: usize, software: Software, now: Millis) {
        self.lost_at[storage][software] = Some(now);
        self.claims[storage][software] = 0;
    }
}

impl World {
    /// A request leaves: not too many writes, not too fast.
    pub(super) fn sent(&mut self, part: Part, storage: usize, request: &Request) {
        let (Part::Writer(node, _) | Part::Candidate(node, _)) = part else {
            return;
        };
        let key = match request {
            Request::Create(key, _) | Request::Replace(key, ..) | Request::Put(key, _) => *key,
            _ => return,
        };
        let now = self.now;
        if let Key::Lease(software) = key
            && self.watch.lost_at[storage][software].is_some()
        {
            self.watch.claims[storage][software] += 1;
        }
        let times = self.watch.sent[storage].entry(key).or_default();
        times.push_back(now);
        while times.front().is_some_and(|at| *at + WINDOW < now) {
            times.pop_front();
        }
        let count = times.len();
        if count > WRITES {
            self.fail(format!(
                "{count} writes of {key:?} of storage {storage} within {WINDOW} ms"
            ));
        }
        // The gap is one of decisions; what is restored is fetched between decision and write.
        // The copy of a snapshot is created, and replaced at once where it is not good.
        let gap = match key {
            Key::Config(_) | Key::Lease(_) => {
                990_u64.saturating_sub(self.plan.storages[storage].latency[1] * 2)
            }
            _ => 0,
        };
        let before = self.watch.last.insert((node, storage, key), now);
        if let Some(before) = before
            && now < before + gap
        {
            let apart = now - before;
            self.fail(format!(
                "node {node} writes {key:?} of storage {storage} twice within {apart} ms"
            ));
        }
    }

    /// Something that readers see has changed.
    pub(super) fn look(&mut self, storage: usize, software: Software, from_outside: bool) {
        let place = &mut self.storages[storage];
        let choice = match self.plan.mutation {
            Some(super::Mutation::ReadsConfigOnly) => {
                place.edition(Key::Config(software)).map_or_else(
                    || place.choice(software),
                    |edition| edition.identity.revision,
                )
            }
            _ => place.choice(software),
        };
        if let Some(failure) = place.look(software, choice, from_outside) {
            self.fail(format!("storage {storage}, version {software}: {failure}"));
        }
    }

    /// A pass of a reader has found something.
    pub(super) fn check_reader(&mut self, index: usize, storage: usize, found: u64) {
        let before = self.readers[index].sources[storage].found;
        let place = &self.storages[storage];
        // Deleting from outside, and lists that lag, take away what was there. A reader is forward
        // only all the same: it goes on serving the newer.
        let excused = place.tampered || place.lag > 0;
        if found < before && !excused {
            self.fail(format!(
                "reader {index} found {before} in storage {storage} and then {found}"
            ));
        }
    }

    /// At most one node believes to lead, as long as nobody meddles with the lease.
    pub(super) fn check_leaders(&mut self, storage: usize, software: Software) {
        let place = &self.storages[storage];
        let meddled = place.lease_lost_at[software];
        let excused = place.fencing == Fencing::None
            || (meddled > 0 && self.now < meddled + self.watch.period * 2);
        let mut leaders: Vec<_> = (0..self.nodes.len())
            .filter(|node| self.nodes[*node].alive && self.plan.nodes[*node].software == software)
            .filter_map(|index| {
                let node = &self.nodes[index];
                let until = node.lanes[storage].believes(node.clock(self.now))?;
                Some((node.wait_for(self.now, until), index))
            })
            .collect();
        leaders.sort_unstable();
        if let Some(leader) = leaders.last()
            && let Some(lost) = self.watch.lost_at[storage][software]
        {
            self.watch.lost_at[storage][software] = None;
            let (took, claims) = (self.now - lost, self.watch.claims[storage][software]);
            let slack = self.plan.storages[storage].latency[1] * 8;
            let node = leader.1;
            if took > self.watch.period * 2 + slack {
                self.fail(format!(
                    "node {node} leads storage {storage} only after {took} ms"
                ));
            }
            if claims as usize > self.nodes.len() + 1 {
                self.fail(format!(
                    "{claims} writes of the lease of storage {storage} for one election"
                ));
            }
        }
        if leaders.len() > 1 && !excused {
            // The second to last of them believes so for this long.
            let (overlap, _) = leaders[leaders.len() - 2];
            if overlap > self.watch.drift {
                self.fail(format!(
                    "{leaders:?} lead storage {storage} at once, for {overlap} ms"
                ));
            }
        }
    }

    /// Everything holds the newest.
    pub(super) fn check_newest(&mut self, when: &str) {
        if self.failure.is_some() {
            return;
        }
        let mut best = 0;
        for software in 0..SOFTWARE {
            let living = (0..self.nodes.len()).filter(|node| {
                self.nodes[*node].alive && self.plan.nodes[*node].software == software
            });
            // The newest that a living publisher has.
            let Some(newest) = living.map(|node| self.nodes[node].heard).max() else {
                continue;
            };
            if newest == 0 {
                continue;
            }
            best = best.max(newest);
            for storage in 0..self.storages.len() {
                if self.watch.lost_at[storage][software].is_some() {
                    return self.fail(format!("{when}: nobody leads storage {storage}"));
                }
                let place = &self.storages[storage];
                let config = place.edition(Key::Config(software));
                let config = config.map_or(0, |edition| edition.identity.revision);
                // A copy that was damaged is looked at only now and then, and what nobody has any more
                // cannot be copied.
                let kept = if place.tampered || config > newest {
                    newest
                } else {
                    place.newest_kept(software)
                };
                if config < newest || kept < newest {
                    return self.fail(format!(
                        "{when}: storage {storage} holds {config} and {kept} of version {software}, a living publisher has {newest}"
                    ));
                }
            }
            let readers = self
                .readers
                .iter()
                .filter(|reader| reader.software == software);
            if let Some(behind) = readers
                .map(|reader| reader.served)
                .find(|served| *served < newest)
            {
                return self.fail(format!(
                    "{when}: a reader of version {software} serves {behind}, not {newest}"
                ));
            }
        }
    }
}
