//! Several publishers against one storage that loses, delays and repeats, in seeded orders.
//!
//! Nobody is kept from leading here: all safety must come from the comparison.

use std::collections::BTreeSet;
use std::time::Duration;

use keelgate_snapshot::{Digest, Identity};
use uuid::Uuid;

use super::PublishSettings;
use super::edition::Edition;
use super::machine::{Action, Machine, Standing};
use super::picture::{Content, Expected, Read};

const SEEDS: u64 = 400;
const PUBLISHERS: usize = 3;
const STEPS: usize = 1500;

fn identity(revision: u64) -> Identity {
    Identity {
        cluster_id: Uuid::from_u128(1),
        epoch: 1,
        revision,
        sha256: Digest::of(&revision.to_be_bytes()),
    }
}

fn edition(revision: u64) -> Edition {
    Edition {
        identity: identity(revision),
        created_at: revision,
    }
}

fn good(revision: u64) -> Content {
    Content::Good {
        edition: edition(revision),
        fit: true,
    }
}

/// The storage: `config.json` and the good history objects.
#[derive(Default)]
struct Store {
    config: Option<(u64, Content)>,
    history: BTreeSet<u64>,
    writes: u64,
    /// The highest revision that `config.json` ever held.
    highest: u64,
    /// Whether something was deleted or damaged from outside, after which an older snapshot may
    /// be seen for a while.
    damaged: bool,
}

#[derive(Clone, Debug)]
enum Outcome {
    Read(Read<u64>),
    History(Option<Edition>),
    HistoryWritten(Edition),
    Indexed,
    ConfigWritten,
    Pruned,
    Failed,
}

impl Store {
    fn apply(&mut self, action: &Action<u64>) -> Outcome {
        match action {
            Action::Read(known) => Outcome::Read(match &self.config {
                None => Read::Absent,
                Some((version, _)) if known.as_ref() == Some(version) => Read::NotModified,
                Some((version, content)) => Read::Found {
                    version: *version,
                    content: content.clone(),
                },
            }),
            Action::ReadHistory(wanted) => Outcome::History(
                self.history
                    .last()
                    .filter(|newest| **newest >= wanted.revision)
                    .map(|newest| edition(*newest)),
            ),
            Action::WriteHistory(wanted) => {
                self.history.insert(wanted.identity.revision);
                Outcome::HistoryWritten(*wanted)
            }
            Action::WriteConfig(wanted, expected) | Action::Restore(wanted, expected) => {
                let wanted = &wanted.identity;
                if matches!(action, Action::Restore(..)) && !self.history.contains(&wanted.revision)
                {
                    return Outcome::Failed;
                }
                let current = self.config.as_ref().map(|(version, _)| *version);
                let holds = match expected {
                    Expected::Absent => current.is_none(),
                    Expected::Version(version) => current == Some(*version),
                    Expected::Anything => unreachable!("the storage compares"),
                };
                if !holds {
                    return Outcome::Failed;
                }
                assert!(
                    self.history.contains(&wanted.revision) || self.damaged,
                    "config.json written before its history object"
                );
                if let Some((_, Content::Good { edition, .. })) = &self.config {
                    let before = edition.identity;
                    assert!(
                        before.revision < wanted.revision,
                        "{before} was replaced by {wanted}"
                    );
                }
                assert!(
                    wanted.revision >= self.highest || self.damaged,
                    "went back to {wanted}"
                );
                self.highest = self.highest.max(wanted.revision);
                self.writes += 1;
                self.config = Some((self.writes, good(wanted.revision)));
                Outcome::ConfigWritten
            }
            Action::Prune => Outcome::Pruned,
            Action::Index => Outcome::Indexed,
            Action::Wait(_) => unreachable!("waiting is no request"),
        }
    }
}

/// A request on its way.
struct Flight {
    action: Action<u64>,
    outcome: Option<Outcome>,
}

struct Node {
    machine: Machine<u64>,
    flight: Option<Flight>,
    /// The last revision that has reached it.
    heard: u64,
    paused: bool,
}

impl Node {
    fn deliver(&mut self, now: Duration, outcome: Outcome) {
        let machine = &mut self.machine;
        match outcome {
            Outcome::Read(read) => machine.read(read),
            Outcome::History(newest) => machine.history_read(newest),
            Outcome::HistoryWritten(identity) => machine.history_written(identity),
            Outcome::ConfigWritten => machine.config_written(),
            Outcome::Pruned => machine.pruned(),
            Outcome::Indexed => machine.indexed(true),
            Outcome::Failed => machine.failed(now),
        }
    }

    /// Takes the next action, if it is a request.
    fn act(&mut self, now: Duration) {
        match self.machine.poll(now) {
            Action::Wait(_) => {}
            action => {
                self.flight = Some(Flight {
                    action,
                    outcome: None,
                });
            }
        }
    }
}

struct World {
    random: fastrand::Rng,
    store: Store,
    nodes: Vec<Node>,
    now: Duration,
    newest: u64,
    damage: bool,
}

impl World {
    fn new(seed: u64, damage: bool) -> Self {
        let nodes = (0..PUBLISHERS as u64)
            .map(|n| Node {
                machine: Machine::new(PublishSettings::default(), seed * 31 + n),
                flight: None,
                heard: 0,
                paused: false,
            })
            .collect();
        Self {
            random: fastrand::Rng::with_seed(seed),
            store: Store::default(),
            nodes,
            now: Duration::ZERO,
            newest: 0,
            damage,
        }
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(self.random.u64(0..400));
        let index = self.random.usize(0..self.nodes.len());
        match self.random.u32(0..100) {
            0..10 => self.newest += 1,
            10..25 => self.hear(index),
            25..30 => {
                let leads = self.random.bool();
                self.nodes[index].machine.lead(leads);
            }
            30..33 => self.nodes[index].paused = self.random.u32(0..4) == 0,
            33 if self.damage => {
                self.store.damaged = true;
                let (version, content) = (self.store.writes + 1, Content::Unreadable);
                self.store.writes = version;
                self.store.config = self.random.bool().then_some((version, content));
                if self.random.bool() {
                    self.store.history.clear();
                }
            }
            _ => self.move_request(index, true),
        }
    }

    /// Tells a node of the next revision, or of the newest: watches skip.
    fn hear(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.heard < self.newest && !node.paused {
            node.heard = self.random.u64(node.heard + 1..=self.newest);
            node.machine.newest(self.now, edition(node.heard));
        }
    }

    /// Sends, executes or answers the request of a node; faults happen on the way.
    fn move_request(&mut self, index: usize, faults: bool) {
        let node = &mut self.nodes[index];
        let Some(flight) = &mut node.flight else {
            if !node.paused {
                node.act(self.now);
            }
            return;
        };
        let fault = faults.then(|| self.random.u32(0..20));
        match (&flight.outcome, fault) {
            // Lost before it was executed.
            (None, Some(0)) => flight.outcome = Some(Outcome::Failed),
            (None, fault) => {
                let mut outcome = self.store.apply(&flight.action);
                match fault {
                    // Executed, but answered with an error.
                    Some(1) => outcome = Outcome::Failed,
                    // Sent twice by the network: the second answer is the one that arrives.
                    Some(2) => outcome = self.store.apply(&flight.action),
                    _ => {}
                }
                flight.outcome = Some(outcome);
            }
            // A paused process takes its answer only when it goes on.
            (Some(_), _) if node.paused => {}
            (Some(_), _) => {
                let outcome = node.flight.take().and_then(|flight| flight.outcome);
                if let Some(outcome) = outcome {
                    node.deliver(self.now, outcome);
                }
            }
        }
    }

    /// Ends all faults and lets one leader finish.
    fn settle(&mut self) {
        for (index, node) in self.nodes.iter_mut().enumerate() {
            node.paused = false;
            node.machine.lead(index == 0);
        }
        self.newest += 1;
        for node in &mut self.nodes {
            node.machine.newest(self.now, edition(self.newest));
        }
        let end = self.now + Duration::from_secs(180);
        while self.now < end {
            self.now += Duration::from_millis(50);
            for index in 0..self.nodes.len() {
                self.move_request(index, false);
            }
        }
    }
}

#[expect(clippy::print_stderr, reason = "the failing seed, for replay")]
fn simulate(damage: bool) {
    let mut total = 0;
    for seed in 0..SEEDS {
        let result = std::panic::catch_unwind(|| {
            let mut world = World::new(seed, damage);
            for _ in 0..STEPS {
                world.step();
            }
            world.settle();
            let newest = identity(world.newest);
            assert_eq!(
                world.store.config.map(|(_, content)| content),
                Some(good(world.newest)),
                "the newest is lost"
            );
            assert_eq!(world.nodes[0].machine.standing(), Standing::Stored(newest));
            world.store.writes
        });
        match result {
            Ok(writes) => total += writes,
            Err(cause) => {
                eprintln!("seed {seed}, damage {damage}");
                std::panic::resume_unwind(cause);
            }
        }
    }
    assert!(
        total > SEEDS * 10,
        "only {total} writes: the simulation is idle"
    );
}

#[test]
fn no_order_of_publishers_and_faults_loses_or_regresses_a_snapshot() {
    simulate(false);
}

#[test]
fn deleted_and_damaged_objects_are_mended_with_the_newest() {
    simulate(true);
}
