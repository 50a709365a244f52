//! Fleets with clocks: seeded schedules of publishers, storages and readers, with faults of every
//! kind, that replay.
//!
//! The machines of publishers and candidates are the production ones. Their drivers and the reader
//! are played request by request (`errand`, `reader`), so that faults fall between any two. Time is
//! a queue of events: nothing sleeps. A seed draws a plan (storages in one or two regions, with or
//! without comparison, slow, throttled, lagging; control plane and data planes exporting, in one or
//! two versions), then:
//!
//! 1. *storm*: requests are refused, lost, delayed for up to a minute, doubled, executed but answered
//!    with an error; lines are cut; processes stop and go on, die and come back with what their disk
//!    holds; objects are deleted and damaged from outside;
//! 2. *calm*: faults cease, and the newest must be everywhere within a bound;
//! 3. *loss*: leaders die at once; others must lead within two periods and publish the next snapshot.

mod errand;
mod network;
mod node;
mod plan;
mod properties;
mod reader;
mod storage;
mod tests;
mod troubles;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;

use node::Node;
use plan::{Mutation, Plan};
use properties::Watch;
use reader::Reader;
use storage::{Reply, Request, Storage};

/// Milliseconds of the simulation's own time.
type Millis = u64;

/// From the end of faults until everything holds the newest: a check, the longest retry, an
/// election, and the way there.
const CALM: Millis = 75_000;

/// From the death of leaders until the next snapshot is everywhere: two periods, and the way there.
const LOSS: Millis = 45_000;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// A node's publisher for a storage.
    Writer(usize, usize),
    /// A node's candidate for a storage.
    Candidate(usize, usize),
    Reader(usize),
}

#[derive(Clone, Debug)]
enum Event {
    /// The control plane makes a snapshot.
    Made,
    /// A node hears of a snapshot, in the life with this number.
    Heard(usize, u32, u64),
    /// A part's time has come; not if it has been told another since.
    Wake(Part, u64),
    /// A request reaches a storage; its answer goes to the ticket.
    Execute(usize, Request, Option<(Part, u64)>, Answered),
    Answer(Part, u64, Reply),
    Stop,
    Die,
    Revive(usize),
    Damage,
    Cut,
    Reborn,
}

/// How an executed request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    Truly,
    /// As a failure, although it was executed.
    WithError,
    Never,
}

struct Queued {
    at: Millis,
    /// Events of the same moment come in the order in which they were made.
    sequence: u64,
    event: Event,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// What a seed came to.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    events: u64,
    published: u64,
    elections: u64,
}

struct World {
    plan: Plan,
    random: fastrand::Rng,
    now: Millis,
    queue: BinaryHeap<Reverse<Queued>>,
    sequence: u64,
    /// The newest snapshot; they count from 1.
    made: u64,
    storages: Vec<Storage>,
    nodes: Vec<Node>,
    readers: Vec<Reader>,
    /// Until when the line between a node and a storage is cut.
    cut_until: Vec<Vec<Millis>>,
    storming: bool,
    watch: Watch,
    totals: Totals,
    /// What is wrong, and when.
    failure: Option<(Millis, String)>,
    /// Whether the schedule is shown.
    shows: bool,
}

impl World {
    fn new(seed: u64, mutation: Option<Mutation>, shows: bool) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let plan = Plan::draw(&mut random, mutation);
        let storages: Vec<_> = plan
            .storages
            .iter()
            .map(|storage| Storage::new(storage.fencing, storage.throttles, storage.lag))
            .collect();
        let nodes = (0..plan.nodes.len())
            .map(|index| Node::born(&plan, index, &mut random))
            .collect();
        let readers = plan
            .readers
            .iter()
            .map(|software| Reader::born(*software, storages.len()))
            .collect();
        Self {
            cut_until: vec![vec![0; storages.len()]; plan.nodes.len()],
            watch: Watch::new(&plan),
            random,
            now: 0,
            queue: BinaryHeap::new(),
            sequence: 0,
            made: 0,
            storages,
            nodes,
            readers,
            storming: true,
            totals: Totals::default(),
            failure: None,
            shows,
            plan,
        }
    }

    /// Runs all three parts.
    fn run(&mut self) -> Result<Totals, String> {
        self.show(format_args!("{:?}", self.plan));
        for node in 0..self.nodes.len() {
            for storage in 0..self.storages.len() {
                let wait = self.random.u64(0..3000);
                self.wake(Part::Candidate(node, storage), wait);
            }
        }
        for reader in 0..self.readers.len() {
            let wait = self.random.u64(0..5000);
            self.wake(Part::Reader(reader), wait);
        }
        self.after(0, Event::Made);
        self.sometimes(self.plan.pauses, Event::Stop);
        self.sometimes(self.plan.deaths, Event::Die);
        self.sometimes(self.plan.damage, Event::Damage);
        self.sometimes(self.plan.cuts, Event::Cut);
        self.sometimes(15_000, Event::Reborn);
        self.until(self.plan.storm);
        self.settle();
        self.until(self.now + CALM);
        self.check_newest("after the storm");
        if self.lose_leaders() {
            self.until(self.now + LOSS);
            self.check_newest("after the loss of leaders");
        }
        match self.failure.take() {
            Some((at, failure)) => Err(format!("at {at} ms: {failure}")),
            None => Ok(self.totals),
        }
    }

    /// Lets everything happen before a time, or until something is wrong.
    fn until(&mut self, end: Millis) {
        while self.failure.is_none()
            && let Some(Reverse(next)) = self.queue.peek()
            && next.at <= end
        {
            let Some(Reverse(next)) = self.queue.pop() else {
                return;
            };
            self.now = next.at;
            self.totals.events += 1;
            self.happens(next.event);
        }
        self.now = end;
    }

    fn happens(&mut self, event: Event) {
        if let Some(resumes) = self.held_up(&event) {
            // A stopped process takes it when it goes on, in any order.
            let wait = resumes - self.now + self.random.u64(0..20);
            self.after(wait, event);
            return;
        }
        if self.shows && !matches!(event, Event::Wake(..)) {
            self.show(format_args!("{event:?}"));
        }
        match event {
            Event::Made => self.make_in_storm(),
            Event::Heard(node, life, revision) => self.hear(node, life, revision),
            Event::Wake(part, token) => self.woken(part, token),
            Event::Execute(storage, request, ticket, answered) => {
                self.execute(storage, &request, ticket, answered);
            }
            Event::Answer(part, ticket, reply) => self.answer(part, ticket, reply),
            Event::Stop => self.stop(),
            Event::Die => self.die_and_revive(),
            Event::Revive(node) => self.revive(node),
            Event::Damage => self.damage(),
            Event::Cut => self.cut(),
            Event::Reborn => self.reborn(),
        }
    }

    /// Until when a stopped process does not take an event.
    fn held_up(&self, event: &Event) -> Option<Millis> {
        let node = match event {
            Event::Heard(node, ..)
            | Event::Wake(Part::Writer(node, _) | Part::Candidate(node, _), _)
            | Event::Answer(Part::Writer(node, _) | Part::Candidate(node, _), ..) => *node,
            _ => return None,
        };
        let resumes = self.nodes[node].stopped_until;
        (resumes > self.now).then_some(resumes)
    }

    fn after(&mut self, wait: Millis, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse(Queued {
            at: self.now + wait,
            sequence: self.sequence,
            event,
        }));
    }

    /// Has a trouble begin again and again during the storm.
    fn sometimes(&mut self, mean: Millis, event: Event) {
        if mean < self.plan.storm * 4 {
            let wait = self.random.u64(0..mean * 2);
            self.after(wait, event);
        }
    }

    fn fail(&mut self, failure: String) {
        self.show(format_args!("FAILURE {failure}"));
        self.failure.get_or_insert((self.now, failure));
    }

    fn show(&self, line: fmt::Arguments<'_>) {
        if self.shows {
            super::show(format_args!("{:>7} {line}", self.now));
        }
    }

    /// The control plane makes snapshots during the storm, in bursts now and then.
    fn make_in_storm(&mut self) {
        if !self.storming {
            return;
        }
        let mean = self.plan.changes;
        let wait = match self.random.u32(0..4) {
            0 => 100,
            _ => self.random.u64(0..mean * 2),
        };
        self.after(wait, Event::Made);
        if self.nodes[0].alive {
            self.make();
        }
    }

    /// The control plane makes the next snapshot and tells the others.
    fn make(&mut self) {
        self.made += 1;
        for node in 0..self.nodes.len() {
            let far = match self.random.u32(0..10) {
                0 if self.storming => 20_000,
                _ => 300,
            };
            let wait = if node == 0 {
                0
            } else {
                self.random.u64(0..far)
            };
            let life = self.nodes[node].life;
            self.after(wait, Event::Heard(node, life, self.made));
        }
    }

    /// Ends the storm: everything runs and reaches everything.
    fn settle(&mut self) {
        self.show(format_args!("the storm ends"));
        self.storming = false;
        for lines in &mut self.cut_until {
            lines.fill(0);
        }
        for node in 0..self.nodes.len() {
            self.nodes[node].stopped_until = 0;
            self.revive(node);
            if node == 0 && self.plan.control_plane_lost {
                self.nodes[0].alive = false;
            }
        }
        if !self.nodes[0].alive {
            return;
        }
        for node in 0..self.nodes.len() {
            let life = self.nodes[node].life;
            self.after(1000, Event::Heard(node, life, self.made));
        }
    }

    /// Kills the leaders of all storages; false if that would leave nobody, or if nobody could
    /// tell of the next snapshot.
    fn lose_leaders(&mut self) -> bool {
        let mut leaders: Vec<_> = (1..self.nodes.len())
            .filter(|node| self.nodes[*node].alive && self.leads_somewhere(*node))
            .collect();
        // One of each version is enough for the others to be asked.
        leaders.retain(|leader| {
            let software = self.plan.nodes[*leader].software;
            (0..self.nodes.len()).any(|node| {
                node != *leader
                    && self.nodes[node].alive
                    && self.plan.nodes[node].software == software
                    && !self.leads_somewhere(node)
            })
        });
        if leaders.is_empty() || !self.nodes[0].alive || self.failure.is_some() {
            return false;
        }
        for leader in leaders {
            self.show(format_args!("leader {leader} dies"));
            self.nodes[leader].alive = false;
            let software = self.plan.nodes[leader].software;
            for storage in 0..self.storages.len() {
                if self.nodes[leader].lanes[storage].leads {
                    self.watch.lost(storage, software, self.now);
                }
            }
        }
        self.make();
        true
    }

    fn leads_somewhere(&self, node: usize) -> bool {
        self.nodes[node].lanes.iter().any(|lane| lane.leads)
    }
}
