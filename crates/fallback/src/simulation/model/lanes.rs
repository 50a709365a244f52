//! The publishers of the model: what may happen next, and what must always hold.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stateright::{Model, Property};

use super::store::{Answer, Document, History, Late, Mutation, NOTHING, Store};
use crate::publish::machine::{Action, Knowledge, Machine, Standing};
use crate::{Fencing, PublishSettings};

/// More steps than any publisher needs from anywhere to the newest.
const ENOUGH: usize = 60;

/// How much is searched.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) publishers: usize,
    pub(super) storages: Vec<Fencing>,
    /// What the control plane makes, in this order.
    pub(super) documents: Vec<Document>,
    /// How many requests may be under way at once in all, unknown to their publishers.
    pub(super) late: usize,
    /// Whether requests and answers are lost, and whether publishers lose all that they know, as in
    /// a crash or when they win the lease anew.
    pub(super) faults: bool,
    pub(super) mutation: Option<Mutation>,
}

/// A publisher's machine for one storage, equal to others by what it knows.
#[derive(Clone)]
pub(super) struct Lane {
    machine: Machine<Document>,
    knowledge: Knowledge,
}

impl Lane {
    fn born(fencing: Fencing) -> Self {
        let zero = Duration::ZERO;
        let pace = PublishSettings {
            delay: zero,
            gap: zero,
            check: zero,
            check_unfenced: zero,
            relief: zero,
            retry_base: zero,
            retry_cap: zero,
        };
        let mut machine = Machine::new(pace, 1);
        machine.fence(fencing);
        machine.lead(true);
        Self::of(machine)
    }

    fn of(mut machine: Machine<Document>) -> Self {
        machine.forget_checks();
        Self {
            knowledge: machine.knowledge(),
            machine,
        }
    }

    fn changed(&self, change: impl FnOnce(&mut Machine<Document>)) -> Self {
        let mut machine = self.machine.clone();
        change(&mut machine);
        Self::of(machine)
    }

    fn wanted(&self) -> Document {
        let wanted = self.machine.wanted();
        wanted.map_or(NOTHING, |wanted| Document::of(&wanted))
    }

    /// The next request, however long it waits for it.
    fn next(machine: &mut Machine<Document>) -> Option<Action<Document>> {
        for _ in 0..4 {
            match machine.poll(Duration::ZERO) {
                Action::Wait(None) => return None,
                Action::Wait(Some(_)) => {}
                // A hint that nothing here depends on.
                Action::Index => machine.indexed(true),
                action => return Some(action),
            }
        }
        None
    }

    fn take(machine: &mut Machine<Document>, answer: Answer) {
        match answer {
            Answer::Read(read) => machine.read(read),
            Answer::History(newest) => machine.history_read(newest),
            Answer::HistoryWritten(identity) => machine.history_written(identity),
            Answer::ConfigWritten => machine.config_written(),
            Answer::Pruned => machine.pruned(),
            Answer::Failed => machine.failed(Duration::ZERO),
        }
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.wanted(), self.knowledge)
    }
}

impl PartialEq for Lane {
    fn eq(&self, other: &Self) -> bool {
        self.knowledge == other.knowledge
    }
}

impl Eq for Lane {}

impl PartialOrd for Lane {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Lane {
    fn cmp(&self, other: &Self) -> Ordering {
        self.knowledge.cmp(&other.knowledge)
    }
}

impl Hash for Lane {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.knowledge);
    }
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(super) struct World {
    /// How many documents were made.
    made: usize,
    /// One row of lanes per publisher, one lane per storage. Publishers are alike: the rows are in
    /// order.
    publishers: Vec<Arc<Vec<Lane>>>,
    stores: Vec<Store>,
}

/// How a request goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Way {
    /// Executed and answered.
    Well,
    /// Executed, answered with an error or not at all.
    Unanswered,
    /// Not executed, and the publisher knows no more than before.
    Refused,
    /// Given up by its publisher before it is executed.
    Late,
    /// Executed and answered, and executed again later.
    Twice,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Event {
    /// The control plane makes the next snapshot.
    Made,
    /// A publisher hears of a document, for one storage.
    Heard(usize, usize, Document),
    /// A publisher does its next step in a storage.
    Step(usize, usize, Way),
    /// A publisher's process dies and comes back.
    Crashed(usize),
    /// The network delivers a request at last.
    Delivered(usize, Late),
}

/// Whether the newest is reached, for every situation of a leader and a storage.
type Settled = Mutex<HashMap<(Knowledge, [Document; 3], History), bool>>;

/// The model.
#[derive(Debug)]
pub(super) struct Lanes {
    pub(super) bounds: Bounds,
    settled: Settled,
}

impl Lanes {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            settled: Mutex::default(),
        }
    }

    fn step(&self, before: &World, publisher: usize, index: usize, way: Way) -> Option<World> {
        let mut machine = before.publishers[publisher][index].machine.clone();
        let action = Lane::next(&mut machine)?;
        let mutation = self.bounds.mutation;
        let write = before.stores[index].write(&machine, &action, mutation);
        if matches!(way, Way::Late | Way::Twice) {
            let under_way: usize = before.stores.iter().map(|store| store.late.len()).sum();
            if under_way >= self.bounds.late || before.stores[index].late.contains(&write?) {
                return None;
            }
        }
        let mut world = before.clone();
        let store = &mut world.stores[index];
        let answer = match way {
            Way::Well | Way::Twice => store.execute(&machine, &action, mutation),
            Way::Refused | Way::Late => Answer::Failed,
            // A read that is not answered is one that was not executed.
            Way::Unanswered => {
                store.deliver(write?);
                Answer::Failed
            }
        };
        if matches!(way, Way::Late | Way::Twice) {
            store.late.extend(write);
        }
        let is_written = matches!(answer, Answer::ConfigWritten);
        Lane::take(&mut machine, answer);
        if is_written && mutation == Some(Mutation::NeverChecks) {
            // Believes the storage's word, for good.
            machine.lead(false);
        }
        Arc::make_mut(&mut world.publishers[publisher])[index] = Lane::of(machine);
        Some(world)
    }

    /// Whether every publisher, if it leads alone and hears of the newest while faults cease,
    /// brings a storage to the newest and finds that out.
    ///
    /// A state with requests under way has a twin without, in which the network lost them: that one
    /// is looked at.
    fn settles(&self, world: &World) -> bool {
        let Some(newest) = self.newest(world) else {
            return true;
        };
        world.stores.iter().any(|store| !store.late.is_empty())
            || world.publishers.iter().all(|lanes| {
                let mut lanes = lanes.iter().zip(&world.stores);
                lanes.all(|(lane, store)| self.reaches(lane, store, newest))
            })
    }

    fn newest(&self, world: &World) -> Option<Document> {
        self.bounds.documents[..world.made].last().copied()
    }

    fn reaches(&self, lane: &Lane, store: &Store, newest: Document) -> bool {
        let mut way = Vec::new();
        let mut machine = lane.machine.clone();
        let mut store = store.clone();
        let target = newest.edition();
        machine.newest(Duration::ZERO, target);
        let reached = (0..ENOUGH).find_map(|_| {
            let config = [store.config, store.first, newest];
            let key = (machine.knowledge(), config, store.history);
            if let Some(known) = self.settled.lock().unwrap().get(&key) {
                return Some(*known);
            }
            way.push(key);
            // Who created the first may have died before it was copied.
            let is_kept = store.history[usize::from(newest.revision)] != NOTHING
                || store.config == store.first;
            let is_known = machine.standing() == Standing::Stored(target.identity);
            if store.config == newest && is_kept && is_known {
                return Some(true);
            }
            let Some(action) = Lane::next(&mut machine) else {
                return Some(false);
            };
            let answer = store.execute(&machine, &action, self.bounds.mutation);
            Lane::take(&mut machine, answer);
            None
        });
        let reached = reached.unwrap_or(false);
        let mut settled = self.settled.lock().unwrap();
        settled.extend(way.into_iter().map(|key| (key, reached)));
        reached
    }
}

impl Model for Lanes {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        let storages = self.bounds.storages.iter().copied();
        // Publishers that are alike may share: whoever changes gets a row of its own.
        let lanes: Arc<Vec<_>> = Arc::new(storages.map(Lane::born).collect());
        vec![World {
            made: 0,
            publishers: vec![lanes; self.bounds.publishers],
            stores: self
                .bounds
                .storages
                .iter()
                .copied()
                .map(Store::new)
                .collect(),
        }]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        if world.made < self.bounds.documents.len() {
            events.push(Event::Made);
        }
        for (publisher, lanes) in world.publishers.iter().enumerate() {
            if world.publishers[..publisher].contains(lanes) {
                // Another one in the very same situation: what it may do leads to the same states.
                continue;
            }
            if self.bounds.faults && lanes.iter().any(|lane| lane.wanted() != NOTHING) {
                events.push(Event::Crashed(publisher));
            }
            for (index, lane) in lanes.iter().enumerate() {
                let made = self.bounds.documents[..world.made].iter();
                let news = made.filter(|document| **document > lane.wanted());
                events.extend(news.map(|news| Event::Heard(publisher, index, *news)));
                if lane.wanted() == NOTHING {
                    continue;
                }
                let ways = [
                    Way::Well,
                    Way::Unanswered,
                    Way::Refused,
                    Way::Late,
                    Way::Twice,
                ];
                let ways = ways
                    .into_iter()
                    .take(if self.bounds.faults { 5 } else { 1 });
                events.extend(ways.map(|way| Event::Step(publisher, index, way)));
            }
        }
        for (index, store) in world.stores.iter().enumerate() {
            events.extend(store.late.iter().map(|late| Event::Delivered(index, *late)));
        }
    }

    fn next_state(&self, before: &World, event: Event) -> Option<World> {
        let mut world = match event {
            Event::Step(publisher, index, way) => self.step(before, publisher, index, way)?,
            _ => before.clone(),
        };
        match event {
            Event::Made => world.made += 1,
            Event::Step(..) => {}
            Event::Heard(publisher, index, document) => {
                let lane = &mut Arc::make_mut(&mut world.publishers[publisher])[index];
                let news = document.edition();
                *lane = lane.changed(|machine| machine.newest(Duration::ZERO, news));
            }
            Event::Crashed(publisher) => {
                let storages = self.bounds.storages.iter().copied();
                world.publishers[publisher] = Arc::new(storages.map(Lane::born).collect());
            }
            Event::Delivered(index, request) => {
                let store = &mut world.stores[index];
                store.deliver(request);
                store.late.retain(|late| *late != request);
            }
        }
        for store in &mut world.stores {
            store.settle(self.bounds.mutation);
        }
        world.publishers.sort_unstable();
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "no storage takes a reader back",
                |model: &Self, world: &World| {
                    let mutation = model.bounds.mutation;
                    world
                        .stores
                        .iter()
                        .all(|store| store.choice(mutation) >= store.highest)
                },
            ),
            Property::always(
                "no set of storages takes a reader back",
                |model: &Self, world: &World| {
                    let mutation = model.bounds.mutation;
                    let chosen = world
                        .stores
                        .iter()
                        .map(|store| store.choice(mutation))
                        .max();
                    chosen >= world.stores.iter().map(|store| store.highest).max()
                },
            ),
            Property::always(
                "config.json never goes back where it is compared",
                |_, world: &World| {
                    world.stores.iter().all(|store| {
                        store.fencing == Fencing::None || store.config == store.config_highest
                    })
                },
            ),
            Property::always(
                "what config.json holds is in the history, but for the first",
                |_, world: &World| {
                    world.stores.iter().all(|store| {
                        let kept = store.history[usize::from(store.config.revision)];
                        store.config.revision < store.highest
                            || store.config == store.first
                            || kept != NOTHING
                            || store.config == NOTHING
                    })
                },
            ),
            Property::always(
                "the newest is reached once faults cease",
                |model: &Self, world: &World| model.settles(world),
            ),
            Property::sometimes(
                "the newest is stored everywhere",
                |model: &Self, world: &World| {
                    world
                        .stores
                        .iter()
                        .all(|store| Some(&store.config) == model.bounds.documents.last())
                },
            ),
        ]
    }
}
