//! Several candidates with clocks of their own, pauses, crashes and a faulty storage, in seeded
//! orders.

use std::time::Duration;

use uuid::Uuid;

use super::Lease;
use super::machine::{Action, Machine};

const SEEDS: u64 = 200;
const CANDIDATES: usize = 4;
const PERIOD: Duration = Duration::from_secs(12);
const TICK: Duration = Duration::from_millis(50);

#[derive(Clone)]
enum Outcome {
    Read(Option<(Lease, u64)>),
    Written(u64),
    Failed,
}

#[derive(Default)]
struct Store {
    lease: Option<(Lease, u64)>,
    writes: u64,
}

impl Store {
    fn apply(&mut self, action: &Action<u64>) -> Outcome {
        let current = self.lease.as_ref().map(|(_, version)| *version);
        let (lease, holds) = match action {
            Action::Read => return Outcome::Read(self.lease.clone()),
            Action::Create(lease) => (lease, current.is_none()),
            Action::Replace(lease, expected) => (lease, current == Some(*expected)),
            Action::Put(lease) => (lease, true),
            Action::Wait(_) => unreachable!("waiting is no request"),
        };
        if !holds {
            return Outcome::Failed;
        }
        self.writes += 1;
        self.lease = Some((lease.clone(), self.writes));
        Outcome::Written(self.writes)
    }
}

struct Flight {
    action: Action<u64>,
    execute_at: Duration,
    answer_at: Duration,
    outcome: Option<Outcome>,
}

struct Node {
    machine: Machine<u64>,
    /// What its clock shows when the simulation begins: clocks are never compared.
    offset: Duration,
    flight: Option<Flight>,
    paused_until: Duration,
    dead: bool,
}

struct World {
    random: fastrand::Rng,
    store: Store,
    nodes: Vec<Node>,
    now: Duration,
    faults: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let nodes = (0..CANDIDATES as u128)
            .map(|n| Node {
                machine: Machine::new(Uuid::from_u128(n + 1), PERIOD, random.u64(..)),
                offset: Duration::from_secs(random.u64(0..1_000_000)),
                flight: None,
                paused_until: Duration::ZERO,
                dead: false,
            })
            .collect();
        Self {
            random,
            store: Store::default(),
            nodes,
            now: Duration::ZERO,
            faults: true,
        }
    }

    fn tick(&mut self) {
        self.now += TICK;
        for index in 0..self.nodes.len() {
            let slow = if self.faults { 3000 } else { 200 };
            let node = &mut self.nodes[index];
            if self.faults && self.random.u32(0..2000) == 0 {
                node.paused_until = self.now + Duration::from_secs(self.random.u64(0..60));
            }
            if let Some(flight) = &mut node.flight
                && flight.outcome.is_none()
                && self.now >= flight.execute_at
            {
                let fault = self.faults.then(|| self.random.u32(0..20));
                flight.outcome = Some(match fault {
                    Some(0) => Outcome::Failed,
                    Some(1) => {
                        self.store.apply(&flight.action);
                        Outcome::Failed
                    }
                    Some(2) => {
                        self.store.apply(&flight.action);
                        self.store.apply(&flight.action)
                    }
                    _ => self.store.apply(&flight.action),
                });
            }
            if node.dead || self.now < node.paused_until {
                continue;
            }
            let clock = self.now + node.offset;
            match node.flight.take_if(|flight| self.now >= flight.answer_at) {
                Some(flight) => match flight.outcome {
                    Some(Outcome::Read(lease)) => node.machine.read(clock, lease),
                    Some(Outcome::Written(version)) => node.machine.written(clock, version),
                    Some(Outcome::Failed) | None => node.machine.failed(clock),
                },
                None if node.flight.is_none() => {
                    let action = node.machine.poll(clock);
                    if !matches!(action, Action::Wait(_)) {
                        let execute_at = self.now + Duration::from_millis(self.random.u64(0..slow));
                        let answer_at =
                            execute_at + Duration::from_millis(self.random.u64(0..slow));
                        node.flight = Some(Flight {
                            action,
                            execute_at,
                            answer_at,
                            outcome: None,
                        });
                    }
                }
                None => {}
            }
        }
    }

    /// Who believes to lead; a paused process would find out before it acts.
    fn leaders(&self) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|index| {
                let node = &self.nodes[*index];
                !node.dead && node.machine.leads(self.now + node.offset)
            })
            .collect()
    }
}

#[test]
fn at_most_one_leads_and_a_lost_leader_is_replaced_within_two_periods() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        let mut led = 0;
        for _ in 0..6000 {
            world.tick();
            let leaders = world.leaders();
            assert!(
                leaders.len() <= 1,
                "seed {seed}: {leaders:?} lead at {:?}",
                world.now
            );
            led += leaders.len();
        }
        assert!(led > 600, "seed {seed}: led for {led} of 6000 ticks");
        world.faults = false;
        for node in &mut world.nodes {
            node.paused_until = Duration::ZERO;
        }
        for _ in 0..(PERIOD * 4).as_millis() / TICK.as_millis() {
            world.tick();
        }
        let leaders = world.leaders();
        assert_eq!(leaders.len(), 1, "seed {seed}: nobody leads");
        world.nodes[leaders[0]].dead = true;
        let lost = world.now;
        while world.leaders().is_empty() {
            world.tick();
            assert!(
                world.now - lost < PERIOD * 2 + TICK * 20,
                "seed {seed}: no successor"
            );
        }
    }
}

#[test]
fn a_deleted_lease_is_made_again_by_one() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for _ in 0..4000 {
            world.tick();
            if world.random.u32(0..300) == 0 {
                world.store.lease = None;
            }
        }
        world.faults = false;
        for node in &mut world.nodes {
            node.paused_until = Duration::ZERO;
        }
        for _ in 0..(PERIOD * 4).as_millis() / TICK.as_millis() {
            world.tick();
        }
        assert_eq!(world.leaders().len(), 1, "seed {seed}");
    }
}
