//! A data plane over many lives: what its disk remembers, what kills it, and what its sources say,
//! in seeded schedules.
//!
//! The machine is the production one; disk, guard and sources are played. `KEELGATE_SEED` shows one
//! schedule again, `KEELGATE_SEEDS` sets how many there are.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime};

use keelgate_snapshot::{Digest, Identity};
use uuid::Uuid;

use crate::machine::{ChoiceSettings, Decision, Event, Machine};
use crate::{Offer, Source};

const STORAGES: usize = 2;
const STEPS: usize = 150;

/// How many deaths a snapshot may cost.
const DEATHS: u32 = 2;

/// How many snapshots the disk cache and the history of a storage hold.
const CACHED: usize = 2;
const KEPT: u64 = 4;

/// What a snapshot does to this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    Good,
    /// It cannot be compiled.
    Unfit,
    /// It kills the process that compiles it.
    Deadly,
}

/// A rule that is broken on purpose, to see that the simulation finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    /// The guard counts no deaths.
    ForgetsDeaths,
    /// A restarted node does not read its disk.
    ForgetsCache,
    /// A storage answers with what it held before.
    GoesBack,
}

/// What outlives a process.
#[derive(Clone, Debug, Default)]
struct Disk {
    /// Newest first.
    cache: Vec<u64>,
    /// What is being activated.
    mark: Option<u64>,
    /// What a former life did not survive, and how many times.
    suspects: HashMap<u64, u32>,
    quarantine: BTreeSet<u64>,
}

struct World {
    random: fastrand::Rng,
    mutation: Option<Mutation>,
    machine: Machine<()>,
    now: Duration,
    born: Duration,
    disk: Disk,
    /// Whether the machine waits for the disk, and for which storages.
    loading: bool,
    reading: [Option<HashSet<Identity>>; STORAGES],
    /// What serves in this life.
    served: u64,
    activating: Option<u64>,
    /// What is to be written to the cache, which takes its time.
    unwritten: Option<u64>,
    /// Something good was offered in this life, and may serve.
    offered: bool,
    connected: bool,
    newest: u64,
    storages: [u64; STORAGES],
    deaths: HashMap<u64, u32>,
    lives: u64,
    failure: Option<String>,
    shows: bool,
}

fn identity(revision: u64) -> Identity {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&revision.to_be_bytes());
    Identity {
        cluster_id: Uuid::from_u128(1),
        epoch: 1,
        revision,
        sha256: Digest(digest),
    }
}

fn offer(source: Source, revision: u64) -> Offer<()> {
    Offer {
        source,
        identity: identity(revision),
        stated_at: SystemTime::UNIX_EPOCH,
        stale: false,
        empty: false,
        snapshot: (),
    }
}

/// Snapshots are alike in all seeds: some are bad.
fn nature(revision: u64) -> Nature {
    match revision % 10 {
        4 => Nature::Unfit,
        7 => Nature::Deadly,
        _ => Nature::Good,
    }
}

fn settings() -> ChoiceSettings {
    ChoiceSettings {
        control_planes: 2,
        storages: STORAGES,
        ..ChoiceSettings::default()
    }
}

fn show(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

impl World {
    fn new(seed: u64, mutation: Option<Mutation>, shows: bool) -> Self {
        let mut world = Self {
            random: fastrand::Rng::with_seed(seed),
            mutation,
            machine: Machine::new(settings(), seed),
            now: Duration::ZERO,
            born: Duration::ZERO,
            disk: Disk::default(),
            loading: false,
            reading: Default::default(),
            served: 0,
            activating: None,
            unwritten: None,
            offered: false,
            connected: false,
            newest: 1,
            storages: [0; STORAGES],
            deaths: HashMap::new(),
            lives: 0,
            failure: None,
            shows,
        };
        world.start();
        world
    }

    fn fail(&mut self, failure: String) {
        self.failure.get_or_insert(failure);
    }

    /// The newest on the disk that may serve again.
    fn remembered(&self) -> u64 {
        let cache = self.disk.cache.iter().copied();
        let mut usable = cache.filter(|revision| !self.disk.quarantine.contains(revision));
        usable.next().unwrap_or(0)
    }

    /// A process begins, as the driver does.
    fn start(&mut self) {
        self.lives += 1;
        self.born = self.now;
        self.machine = Machine::new(settings(), self.random.u64(..));
        self.reading = Default::default();
        (self.loading, self.connected, self.offered) = (false, false, false);
        (self.served, self.activating, self.unwritten) = (0, None, None);
        if let Some(suspect) = self.disk.mark.take() {
            let deaths = self.disk.suspects.entry(suspect).or_default();
            *deaths += 1;
            if *deaths >= DEATHS {
                self.disk.quarantine.insert(suspect);
            }
        }
        let quarantine = self.disk.quarantine.iter().copied().map(identity).collect();
        self.happens(Event::Started(quarantine));
    }

    fn happens(&mut self, event: Event<()>) {
        if self.shows {
            show(format_args!("{:>9.3} {event:?}", self.now.as_secs_f64()));
        }
        for decision in self.machine.handle(self.now, event) {
            if self.shows && !matches!(decision, Decision::Fetch(..)) {
                show(format_args!("            {decision:?}"));
            }
            match decision {
                Decision::LoadCache => self.loading = true,
                Decision::Fetch(index, skip) => self.reading[index] = Some(skip),
                Decision::Activate(offer) => self.activate(offer.identity.revision),
                Decision::Adopt(_) => self.fail("adopts another content".into()),
                Decision::Restate(_) | Decision::Tell(_) => {}
            }
        }
        let served = self.machine.served();
        let served = served.map_or(0, |(_, identity)| identity.revision);
        if served != self.served {
            self.fail(format!(
                "tells that {served} serves, and {} does",
                self.served
            ));
        }
    }

    fn activate(&mut self, revision: u64) {
        if revision <= self.served {
            self.fail(format!("{revision} after {}", self.served));
        }
        let remembered = self.remembered();
        // A disk that does not answer in time is not waited for.
        let unanswered = self.loading && self.now >= self.born + settings().deadline;
        if self.served == 0 && revision < remembered && !unanswered {
            self.fail(format!(
                "a restart goes back to {revision}, the disk holds {remembered}"
            ));
        }
        if self.disk.quarantine.contains(&revision) {
            self.fail(format!("{revision} is quarantined"));
        }
        if self.activating.replace(revision).is_some() {
            self.fail("two activations at once".into());
        }
        if self.mutation != Some(Mutation::ForgetsDeaths) {
            self.disk.mark = Some(revision);
        }
    }

    /// An activation ends, in one way or another.
    fn activated(&mut self) {
        let Some(revision) = self.activating else {
            return;
        };
        match nature(revision) {
            Nature::Deadly => {
                let deaths = self.deaths.entry(revision).or_default();
                *deaths += 1;
                let deaths = *deaths;
                if deaths > DEATHS {
                    self.fail(format!("{revision} has killed {deaths} times"));
                }
                self.start();
            }
            Nature::Unfit => {
                self.activating = None;
                self.disk.mark = None;
                self.disk.suspects.remove(&revision);
                self.happens(Event::Rejected);
            }
            Nature::Good => {
                self.activating = None;
                self.disk.mark = None;
                self.disk.suspects.remove(&revision);
                self.served = revision;
                self.unwritten = Some(revision);
                self.happens(Event::Activated);
            }
        }
    }

    fn write_cache(&mut self) {
        if let Some(revision) = self.unwritten.take() {
            self.disk.cache.retain(|cached| *cached != revision);
            self.disk.cache.insert(0, revision);
            self.disk.cache.truncate(CACHED);
        }
    }

    fn load_cache(&mut self) {
        if std::mem::take(&mut self.loading) {
            let cached: Vec<_> = match self.mutation {
                Some(Mutation::ForgetsCache) => Vec::new(),
                _ => self.disk.cache.clone(),
            };
            self.offered |= self.remembered() > 0 && !cached.is_empty();
            let offers = cached
                .into_iter()
                .map(|cached| offer(Source::Cache, cached));
            self.happens(Event::CacheLoaded(offers.collect()));
        }
    }

    /// The answer of a storage: the newest that it has and that may be used.
    fn answer(&mut self, index: usize, well: bool) {
        let Some(skip) = self.reading[index].take() else {
            return;
        };
        if !well {
            return self.happens(Event::StorageFailed(index));
        }
        let newest = match self.mutation {
            Some(Mutation::GoesBack) => self.random.u64(0..=self.storages[index]),
            _ => self.storages[index],
        };
        let oldest = newest.saturating_sub(KEPT).max(1);
        let mut kept = (oldest..=newest).rev();
        let found = kept.find(|revision| !skip.contains(&identity(*revision)));
        self.offered |= found.is_some_and(|found| nature(found) == Nature::Good);
        let found = found.map(|found| offer(Source::Storage(index), found));
        self.happens(Event::StorageFetched(index, found));
    }

    /// Lets time pass, ticking whenever the machine asked for it.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(wake) = self.machine.wake_at().filter(|wake| *wake <= end) {
            self.now = self.now.max(wake);
            self.happens(Event::Tick);
            if self.machine.wake_at().is_some_and(|next| next <= self.now) {
                return self.fail("a busy loop".into());
            }
        }
        self.now = end;
        let late = self.now > self.born + settings().deadline;
        if late && self.offered && self.served == 0 && self.activating.is_none() {
            self.fail("something good was offered, and nothing serves after the deadline".into());
        }
    }

    fn step(&mut self) {
        let storage = self.random.usize(0..STORAGES);
        match self.random.u32(0..100) {
            0..22 => {
                let time = Duration::from_millis(self.random.u64(0..2500));
                self.pass(time);
            }
            22..32 => self.load_cache(),
            32..50 => {
                let well = self.random.u32(0..4) > 0;
                self.answer(storage, well);
            }
            50..70 => self.activated(),
            70..78 => self.write_cache(),
            78..80 => self.newest += self.random.u64(1..3),
            80..84 => {
                self.storages[storage] = self.random.u64(self.storages[storage]..=self.newest)
            }
            84 | 85 => {
                // The process is killed; an activation under way counts as its victim.
                self.start();
            }
            86 if self.random.bool() => self.disk.cache.clear(),
            _ => self.control_plane(),
        }
    }

    fn control_plane(&mut self) {
        let address = format!("cp{}", self.random.u32(0..2));
        if !self.connected {
            if self.random.u32(0..4) == 0 {
                self.connected = true;
                return self.happens(Event::Connected);
            }
            return self.happens(Event::DialFailed(address));
        }
        match self.random.u32(0..8) {
            0 => {
                self.connected = false;
                self.happens(Event::Disconnected(address));
            }
            1 => self.happens(Event::Stalled),
            2 => self.happens(Event::DocumentRefused),
            3 => {
                // It was restored from a backup.
                let behind = self.random.u64(1..=self.newest);
                self.happens(Event::SnapshotArrived(offer(Source::ControlPlane, behind)));
            }
            _ => self.happens(Event::SnapshotArrived(offer(
                Source::ControlPlane,
                self.newest,
            ))),
        }
    }

    /// Faults cease; the newest, a good one, is everywhere, and the control plane may be gone.
    fn calm(&mut self) {
        // Whoever is killed twice while it activates something good blames that.
        self.newest += 1;
        while nature(self.newest) != Nature::Good {
            self.newest += 1;
        }
        self.storages = [self.newest; STORAGES];
        let mut there = self.random.bool();
        if !there {
            let address = "cp0".to_owned();
            self.connected = false;
            self.happens(Event::Disconnected(address));
            self.happens(Event::DialFailed("cp1".to_owned()));
        }
        for _ in 0..400 {
            self.load_cache();
            self.activated();
            self.write_cache();
            for index in 0..STORAGES {
                self.answer(index, true);
            }
            if std::mem::take(&mut there) || (self.connected && self.random.u32(0..20) == 0) {
                self.connected = true;
                self.happens(Event::Connected);
                self.happens(Event::SnapshotArrived(offer(
                    Source::ControlPlane,
                    self.newest,
                )));
            }
            self.pass(Duration::from_millis(500));
        }
        if self.served != self.newest {
            self.fail(format!(
                "{} serves in the end, not {}",
                self.served, self.newest
            ));
        }
    }

    fn run(&mut self) -> Result<u64, String> {
        for _ in 0..STEPS {
            self.step();
            if self.failure.is_some() {
                break;
            }
        }
        if self.failure.is_none() {
            self.calm();
        }
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(self.lives),
        }
    }
}

fn seeds() -> u64 {
    let seeds = std::env::var("KEELGATE_SEEDS").ok();
    seeds.map_or(10_000, |seeds| {
        seeds.parse().expect("KEELGATE_SEEDS is a whole number")
    })
}

#[test]
fn no_life_goes_back_dies_for_ever_or_stays_behind() {
    if let Ok(seed) = std::env::var("KEELGATE_SEED") {
        let seed = seed.parse().expect("KEELGATE_SEED is a whole number");
        let outcome = World::new(seed, None, true).run();
        assert!(outcome.is_ok(), "seed {seed}: {outcome:?}");
        return;
    }
    let (began, mut lives) = (Instant::now(), 0);
    for seed in 0..seeds() {
        match World::new(seed, None, false).run() {
            Ok(more) => lives += more,
            Err(failure) => panic!(
                "seed {seed}: {failure}\nagain, with its schedule: KEELGATE_SEED={seed} cargo test -p keelgate-source no_life"
            ),
        }
    }
    show(format_args!(
        "data plane: {} seeds, {lives} lives, {:.1} s",
        seeds(),
        began.elapsed().as_secs_f64(),
    ));
    assert!(lives > seeds() * 2, "{lives} lives: idle");
}

#[test]
fn broken_rules_are_found() {
    for (mutation, word) in [
        (Mutation::ForgetsDeaths, "has killed"),
        (Mutation::ForgetsCache, "goes back"),
    ] {
        let failure = (0..500).find_map(|seed| World::new(seed, Some(mutation), false).run().err());
        let failure = failure.unwrap_or_else(|| panic!("{mutation:?} is not found in 500 seeds"));
        assert!(failure.contains(word), "{mutation:?}: {failure}");
    }
}

#[test]
fn a_storage_that_goes_back_takes_no_data_plane_back() {
    for seed in 0..500 {
        let outcome = World::new(seed, Some(Mutation::GoesBack), false).run();
        let back = outcome
            .err()
            .filter(|failure| !failure.contains("in the end"));
        assert_eq!(back, None, "seed {seed}");
    }
}
