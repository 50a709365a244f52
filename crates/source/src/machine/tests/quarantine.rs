//! What cannot be used on this node.

use super::*;

#[test]
fn a_rejected_snapshot_is_quarantined_and_the_next_best_serves() {
    let mut bed = Bed::new(1, 1);
    bed.happens(Event::CacheLoaded(vec![offer(Source::Cache, 3)]));
    bed.happens(Event::StorageFetched(0, Some(offer(Source::Storage(0), 4))));
    let decisions = bed.happens(Event::DialFailed(CP.into()));
    assert_eq!(
        decisions,
        [Decision::Activate(offer(Source::Storage(0), 4))]
    );
    let decisions = bed.happens(Event::Rejected);
    let quarantine = HashSet::from([identity(1, 4)]);
    assert_eq!(
        decisions,
        [
            Decision::Activate(offer(Source::Cache, 3)),
            Decision::Fetch(0, quarantine),
        ]
    );
    bed.happens(Event::Activated);
    let again = bed.happens(Event::SnapshotArrived(offer(Source::ControlPlane, 4)));
    let quarantined = Notice::Quarantined {
        source: Source::ControlPlane,
        offered: identity(1, 4),
    };
    assert_eq!(again, [Decision::Tell(quarantined)]);
    bed.obeys(5);
}

#[test]
fn a_rejected_update_leaves_what_is_served() {
    let mut bed = Bed::new(1, 0);
    bed.obeys(5);
    let update = Event::SnapshotArrived(offer(Source::ControlPlane, 6));
    assert_eq!(
        bed.happens(update),
        [Decision::Activate(offer(Source::ControlPlane, 6))]
    );
    assert_eq!(bed.happens(Event::Rejected), []);
    assert_eq!(
        bed.machine.served(),
        Some((Source::ControlPlane, identity(1, 5)))
    );
    bed.obeys(7);
}

#[test]
fn what_killed_former_lives_is_passed_over() {
    let settings = ChoiceSettings::default();
    let mut machine = Machine::new(settings, 1);
    machine.handle(millis(0), Event::Started(HashSet::from([identity(1, 4)])));
    let cached = vec![offer(Source::Cache, 4), offer(Source::Cache, 3)];
    machine.handle(millis(1), Event::CacheLoaded(cached));
    let decisions = machine.handle(millis(2), Event::DialFailed(CP.into()));
    assert!(
        decisions.contains(&Decision::Activate(offer(Source::Cache, 3))),
        "{decisions:?}"
    );
}
