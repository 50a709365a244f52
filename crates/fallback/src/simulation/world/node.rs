//! A node that publishes: for every storage a candidate and a writer, as their drivers run them.

use std::time::Duration;

use uuid::Uuid;

use super::errand::{Errand, Next, Place};
use super::plan::{Mutation, Plan};
use super::storage::{Body, Key, Reply, Request};
use super::{Millis, Part, World};
use crate::election::Lease;
use crate::election::machine::{Action as Election, Machine as Candidate};
use crate::publish::edition::Edition;
use crate::publish::machine::{Action, Machine as Writer};
use crate::simulation::snapshot;

/// How long a publisher waits for a storage.
const PATIENCE: Millis = 15_000;

/// How often a node registers, in periods of the lease.
const REGISTER_PERIODS: u32 = 6;

/// What a candidate waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Read,
    Write,
    Registration,
}

pub(super) struct Lane {
    writer: Writer<u64>,
    errand: Option<(Errand, u64)>,
    pub(super) writer_wake: u64,
    candidate: Candidate<u64>,
    waiting: Option<(Waiting, u64)>,
    pub(super) candidate_wake: u64,
    register_at: Duration,
    /// What the candidate has told the writer.
    pub(super) leads: bool,
}

pub(super) struct Node {
    pub(super) lanes: Vec<Lane>,
    /// The newest that it has heard of.
    pub(super) heard: u64,
    /// Counts starts of the process.
    pub(super) life: u32,
    pub(super) alive: bool,
    pub(super) stopped_until: Millis,
    clock: (u64, i64),
}

pub(super) fn edition(revision: u64) -> Edition {
    Edition {
        identity: snapshot(revision),
        created_at: 0,
    }
}

impl Node {
    pub(super) fn born(plan: &Plan, index: usize, random: &mut fastrand::Rng) -> Self {
        let mut node = Self {
            lanes: Vec::new(),
            heard: 0,
            life: 0,
            alive: true,
            stopped_until: 0,
            clock: plan.nodes[index].clock,
        };
        node.start(plan, index, random.u64(..));
        node
    }

    fn start(&mut self, plan: &Plan, index: usize, seed: u64) {
        let mut seeds = fastrand::Rng::with_seed(seed);
        let me = Uuid::from_u128(index as u128 + 1);
        self.lanes = plan
            .storages
            .iter()
            .map(|storage| {
                let period = match plan.mutation {
                    Some(Mutation::TakesOverEarly) if index == 0 => plan.period / 2,
                    Some(Mutation::NobodyTakesOver) => plan.period * 20,
                    _ => plan.period,
                };
                let mut candidate = Candidate::new(me, period, seeds.u64(..));
                let mut writer = Writer::new(plan.pace, seeds.u64(..));
                // Nobody is a candidate before the probe is finished.
                candidate.fence(storage.fencing);
                writer.fence(storage.fencing);
                Lane {
                    writer,
                    errand: None,
                    writer_wake: 0,
                    candidate,
                    waiting: None,
                    candidate_wake: 0,
                    register_at: Duration::ZERO,
                    leads: false,
                }
            })
            .collect();
    }

    /// A new life, which begins with what the disk holds: up to so many snapshots behind.
    pub(super) fn reborn(&mut self, plan: &Plan, index: usize, seed: u64, behind: u64) -> u64 {
        self.start(plan, index, seed);
        self.life += 1;
        self.alive = true;
        self.stopped_until = 0;
        let cached = self.heard.saturating_sub(behind);
        self.heard = 0;
        cached
    }

    /// What its own clock shows: the drivers of a life count from its start, any offset is alike.
    pub(super) fn clock(&self, now: Millis) -> Duration {
        let (offset, rate) = self.clock;
        let drift = i128::from(now) * i128::from(rate) / 1000;
        let micros = i128::from(now) * 1000 + drift + i128::from(offset) * 1000;
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    /// When its own clock shows a time that is to come.
    pub(super) fn wait_for(&self, now: Millis, until: Duration) -> Millis {
        let wait = until.saturating_sub(self.clock(now)).as_micros();
        let rate = u128::try_from(1_000_000 + self.clock.1).unwrap_or(1_000_000);
        let millis = (wait * 1000).div_ceil(rate);
        u64::try_from(millis)
            .unwrap_or(Millis::MAX / 4)
            .min(Millis::MAX / 4)
    }
}

impl Lane {
    pub(super) fn believes(&self, clock: Duration) -> Option<Duration> {
        self.candidate
            .leads(clock)
            .then(|| self.candidate.leads_until().unwrap_or(clock))
    }
}

impl World {
    pub(super) fn hear(&mut self, node: usize, life: u32, revision: u64) {
        let listener = &mut self.nodes[node];
        if !listener.alive || listener.life != life || revision <= listener.heard {
            return;
        }
        listener.heard = revision;
        for storage in 0..self.storages.len() {
            self.drive_writer(node, storage);
        }
    }

    pub(super) fn drive_candidate(&mut self, node: usize, storage: usize) {
        let clock = self.nodes[node].clock(self.now);
        let (alive, heard) = (self.nodes[node].alive, self.nodes[node].heard);
        let lane = &mut self.nodes[node].lanes[storage];
        // A node without any snapshot is no candidate.
        if !alive || lane.waiting.is_some() || heard == 0 {
            if alive && heard == 0 {
                self.wake(Part::Candidate(node, storage), 500);
            }
            return;
        }
        let action = lane.candidate.poll(clock);
        let leads = lane.candidate.leads(clock);
        let told = lane.leads != leads;
        lane.leads = leads;
        let software = self.plan.nodes[node].software;
        let lease = Key::Lease(software);
        let (waiting, request) = match action {
            Election::Wait(None) => return,
            Election::Wait(Some(_)) if clock >= lane.register_at => {
                lane.register_at = clock + self.plan.period * REGISTER_PERIODS;
                let key = Key::Registration(software, node);
                (Waiting::Registration, Request::Put(key, Body::Registration))
            }
            Election::Wait(Some(until)) => {
                let until = lane
                    .candidate
                    .leads_until()
                    .map_or(until, |end| end.min(until));
                let wait = self.nodes[node].wait_for(self.now, until).max(1);
                self.wake(Part::Candidate(node, storage), wait);
                if told {
                    self.told(node, storage);
                }
                return;
            }
            Election::Read => (Waiting::Read, Request::Get(lease, None)),
            Election::Create(body) => (Waiting::Write, Request::Create(lease, Body::Lease(body))),
            Election::Replace(body, expected) => (
                Waiting::Write,
                Request::Replace(lease, Body::Lease(body), expected),
            ),
            Election::Put(body) => (Waiting::Write, Request::Put(lease, Body::Lease(body))),
        };
        let patience = u64::try_from(self.plan.period.as_millis()).unwrap_or(0) / 4;
        let part = Part::Candidate(node, storage);
        let ticket = self.send(part, storage, request, patience);
        self.nodes[node].lanes[storage].waiting = Some((waiting, ticket));
        if told {
            self.told(node, storage);
        }
    }

    /// The writer hears who leads.
    fn told(&mut self, node: usize, storage: usize) {
        let leads = self.nodes[node].lanes[storage].leads;
        self.show(format_args!("node {node} leads storage {storage}: {leads}"));
        if leads {
            self.totals.elections += 1;
        }
        self.drive_writer(node, storage);
    }

    pub(super) fn candidate_answered(
        &mut self,
        node: usize,
        storage: usize,
        ticket: u64,
        reply: Reply,
    ) {
        let clock = self.nodes[node].clock(self.now);
        let alive = self.nodes[node].alive;
        let lane = &mut self.nodes[node].lanes[storage];
        let Some((waiting, _)) = lane.waiting.take_if(|(_, waits)| alive && *waits == ticket)
        else {
            return;
        };
        let candidate = &mut lane.candidate;
        match (waiting, reply) {
            (Waiting::Registration, _) => {}
            (_, Reply::Failed(pause)) => {
                candidate.failed(clock);
                if pause > 0 {
                    candidate.leave_alone(Duration::from_millis(pause));
                }
            }
            (Waiting::Read, Reply::Object(object)) => {
                let lease = match object.body {
                    Body::Lease(lease) => lease,
                    _ => Lease {
                        holder: Some(Uuid::nil()),
                        term: 0,
                        nonce: Uuid::nil(),
                    },
                };
                candidate.read(clock, Some((lease, object.version)));
            }
            (Waiting::Read, _) => candidate.read(clock, None),
            (Waiting::Write, Reply::Written(version)) => candidate.written(clock, version),
            (Waiting::Write, _) => candidate.failed(clock),
        }
        self.check_leaders(storage, self.plan.nodes[node].software);
        self.drive_candidate(node, storage);
    }

    pub(super) fn drive_writer(&mut self, node: usize, storage: usize) {
        let clock = self.nodes[node].clock(self.now);
        let (alive, heard) = (self.nodes[node].alive, self.nodes[node].heard);
        let lane = &mut self.nodes[node].lanes[storage];
        if !alive || heard == 0 || lane.errand.is_some() {
            return;
        }
        lane.writer.lead(lane.leads);
        lane.writer.newest(clock, edition(heard));
        match lane.writer.poll(clock) {
            Action::Wait(None) => {}
            Action::Wait(Some(until)) => {
                let wait = self.nodes[node].wait_for(self.now, until).max(1);
                self.wake(Part::Writer(node, storage), wait);
            }
            action => {
                let place = place(&self.plan, node, &mut lane.writer);
                if let Some((errand, request)) = place.begin(action) {
                    self.ask(node, storage, errand, request);
                }
            }
        }
    }

    fn ask(&mut self, node: usize, storage: usize, errand: Errand, request: Request) {
        let ticket = self.send(Part::Writer(node, storage), storage, request, PATIENCE);
        self.nodes[node].lanes[storage].errand = Some((errand, ticket));
    }

    pub(super) fn writer_answered(
        &mut self,
        node: usize,
        storage: usize,
        ticket: u64,
        reply: Reply,
    ) {
        let clock = self.nodes[node].clock(self.now);
        let alive = self.nodes[node].alive;
        let lane = &mut self.nodes[node].lanes[storage];
        let Some((errand, _)) = lane.errand.take_if(|(_, waits)| alive && *waits == ticket) else {
            return;
        };
        match place(&self.plan, node, &mut lane.writer).go_on(errand, reply) {
            Next::Ask(errand, request) => return self.ask(node, storage, errand, request),
            Next::Done => {}
            Next::Failed(pause) => {
                lane.writer.failed(clock);
                if pause > 0 {
                    lane.writer.leave_alone(Duration::from_millis(pause));
                }
            }
        }
        self.drive_writer(node, storage);
    }
}

fn place<'a>(plan: &Plan, node: usize, machine: &'a mut Writer<u64>) -> Place<'a> {
    Place {
        software: plan.nodes[node].software,
        machine,
        history: plan.history,
        prunes_newest: plan.breaks(Mutation::PrunesNewest),
    }
}
