//! What is searched, and that the search finds broken rules.

use std::time::Instant;

use stateright::{Checker, DiscoveryClassification, HasDiscoveries, Model};

use super::lanes::{Bounds, Lanes};
use super::store::{Document, Mutation};
use crate::Fencing;
use crate::simulation::{bound, show};

fn revisions(count: u64) -> Vec<Document> {
    let revisions = 1..=u8::try_from(count).unwrap();
    revisions
        .map(|revision| Document {
            revision,
            statement: 0,
        })
        .collect()
}

/// One storage, searched through.
fn one(fencing: Fencing) -> Bounds {
    Bounds {
        publishers: 3,
        storages: vec![fencing],
        documents: revisions(bound("KEELGATE_MODEL_REVISIONS", 2)),
        late: usize::try_from(bound("KEELGATE_MODEL_LATE", 1)).unwrap(),
        faults: true,
        mutation: None,
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn search(name: &str, bounds: Bounds) {
    let began = Instant::now();
    let checker = Lanes::new(bounds)
        .checker()
        .threads(threads())
        .spawn_bfs()
        .join();
    show(format_args!(
        "model, {name}: {} states, {} transitions, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64(),
    ));
    for (property, path) in checker.discoveries() {
        if let DiscoveryClassification::Counterexample = checker.discovery_classification(property)
        {
            for (world, event) in path.into_vec() {
                show(format_args!("{world:?}\n  {event:?}"));
            }
            panic!("{name}: not always: {property}");
        }
    }
    checker.assert_properties();
}

#[test]
fn every_state_of_a_storage_that_compares_is_safe_and_live() {
    search("compare", one(Fencing::Compare));
}

#[test]
fn every_state_of_a_storage_without_conditions_is_safe_and_live() {
    search("none", one(Fencing::None));
}

#[test]
fn every_state_of_a_snapshot_that_is_signed_anew_is_safe_and_live() {
    let signed = |revision, statement| Document {
        revision,
        statement,
    };
    for (fencing, late) in [(Fencing::Compare, 1), (Fencing::None, 0)] {
        let bounds = Bounds {
            documents: vec![signed(1, 0), signed(1, 1), signed(2, 1)],
            publishers: 2,
            late,
            ..one(fencing)
        };
        search(&format!("{fencing}, signed anew"), bounds);
    }
}

#[test]
fn every_state_of_two_storages_together_is_safe_and_live() {
    let bounds = Bounds {
        publishers: 2,
        storages: vec![Fencing::Compare, Fencing::None],
        documents: revisions(2),
        late: 0,
        faults: false,
        mutation: None,
    };
    search("both", bounds);
}

/// A broken rule, where it does harm, and the property that fails.
fn finds(mutation: Mutation, fencing: Fencing, property: &'static str) {
    let bounds = Bounds {
        mutation: Some(mutation),
        ..one(fencing)
    };
    // One thread searches strictly by depth: the path is a shortest one.
    let checker = Lanes::new(bounds)
        .checker()
        .finish_when(HasDiscoveries::AnyOf([property].into()))
        .spawn_bfs()
        .join();
    let path = checker.assert_any_discovery(property);
    show(format_args!(
        "model, {mutation:?}: found after {} steps: {:?}",
        path.clone().into_actions().len(),
        path.into_actions(),
    ));
}

#[test]
fn a_broken_rule_is_found() {
    let (compare, none) = (Fencing::Compare, Fencing::None);
    let back = "no storage takes a reader back";
    finds(Mutation::WritesWithoutComparing, compare, back);
    finds(Mutation::ReadsConfigOnly, none, back);
    finds(Mutation::PrunesNewest, none, back);
    finds(
        Mutation::SkipsHistory,
        compare,
        "what config.json holds is in the history, but for the first",
    );
    finds(
        Mutation::NeverChecks,
        none,
        "the newest is reached once faults cease",
    );
}
