//! Many seeds, one seed again, and broken rules.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::plan::Mutation;
use super::{Totals, World};
use crate::simulation::{bound, show};

/// What went wrong first, by seed.
type Failed = Option<(u64, String)>;

/// Runs seeds on all cores until one fails.
fn simulate(seeds: u64, mutation: Option<Mutation>) -> (Totals, Failed) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, failing) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    let outcomes = std::thread::scope(|scope| {
        let work = || {
            let (mut totals, mut failed): (Totals, Failed) = Default::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                // The lowest failing seed is found, whoever is faster.
                if seed >= seeds || seed > failing.load(Ordering::Relaxed) {
                    return (totals, failed);
                }
                match World::new(seed, mutation, false).run() {
                    Ok(more) => totals = totals.and(more),
                    Err(failure) => {
                        failing.fetch_min(seed, Ordering::Relaxed);
                        failed.get_or_insert((seed, failure));
                    }
                }
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .collect::<Vec<_>>()
    });
    outcomes
        .into_iter()
        .fold(Default::default(), |(totals, failed), (more, other)| {
            let first = failed
                .into_iter()
                .chain(other)
                .min_by_key(|(seed, _)| *seed);
            (totals.and(more), first)
        })
}

impl Totals {
    fn and(self, other: Self) -> Self {
        Self {
            events: self.events + other.events,
            published: self.published + other.published,
            elections: self.elections + other.elections,
        }
    }
}

#[test]
fn no_schedule_of_faults_takes_readers_back_or_loses_the_newest() {
    if let Ok(seed) = std::env::var("KEELGATE_SEED") {
        let seed = seed.parse().expect("KEELGATE_SEED is a whole number");
        let outcome = World::new(seed, None, true).run();
        assert!(outcome.is_ok(), "seed {seed}: {outcome:?}");
        return;
    }
    let (began, seeds) = (Instant::now(), bound("KEELGATE_SEEDS", 10_000));
    let (totals, failed) = simulate(seeds, None);
    show(format_args!(
        "simulation: {seeds} seeds, {} events, {} publications, {} elections, {:.1} s",
        totals.events,
        totals.published,
        totals.elections,
        began.elapsed().as_secs_f64(),
    ));
    if let Some((seed, failure)) = failed {
        panic!(
            "seed {seed}: {failure}\nagain, with its schedule: KEELGATE_SEED={seed} cargo test -p keelgate-fallback no_schedule"
        );
    }
    assert!(
        totals.published > seeds * 5 && totals.elections > seeds,
        "{totals:?}: idle"
    );
}

#[test]
fn a_seed_gives_the_same_schedule_again() {
    let run = || {
        let mut world = World::new(11, None, false);
        let totals = world.run().unwrap();
        (
            totals.events,
            totals.published,
            world.made,
            world.random.u64(..),
        )
    };
    assert_eq!(run(), run());
}

#[test]
fn broken_rules_are_found() {
    for (mutation, word) in [
        (Mutation::WritesWithoutComparing, "go back"),
        (Mutation::ReadsConfigOnly, "go back"),
        (Mutation::PrunesNewest, "of version"),
        (Mutation::TakesOverEarly, "at once"),
        (Mutation::NobodyTakesOver, "lead"),
        (Mutation::NeverChecks, "after the storm"),
        (Mutation::RetriesAtOnce, "writes"),
    ] {
        let (_, failed) = simulate(500, Some(mutation));
        let Some((seed, failure)) = failed else {
            panic!("{mutation:?} is not found in 500 seeds");
        };
        show(format_args!(
            "simulation, {mutation:?}: found with seed {seed}: {failure}"
        ));
        assert!(
            failure.contains(word),
            "{mutation:?} is found as something else: {failure}"
        );
    }
}
