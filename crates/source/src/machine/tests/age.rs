//! Restatements of what is served, and candidates that are too old.

use super::*;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The offer of a revision, made or restated at that second.
fn stated(source: Source, revision: u64, seconds: u64) -> Offer<()> {
    Offer {
        stated_at: at(seconds),
        ..offer(source, revision)
    }
}

fn stale(source: Source, revision: u64) -> Offer<()> {
    Offer {
        stale: true,
        ..offer(source, revision)
    }
}

#[test]
fn a_restatement_of_the_control_plane_is_taken_over_without_a_swap() {
    let mut bed = Bed::new(1, 0);
    bed.obeys(3);
    let again = stated(Source::ControlPlane, 3, 60);
    let decisions = bed.happens(Event::SnapshotArrived(again.clone()));
    assert_eq!(
        decisions,
        [
            Decision::Restate(again),
            Decision::Tell(Notice::Confirmed(identity(1, 3)))
        ]
    );
    let earlier = stated(Source::ControlPlane, 3, 59);
    assert_eq!(
        bed.happens(Event::SnapshotArrived(earlier)),
        [],
        "time does not go back"
    );
}

#[test]
fn a_restatement_in_the_storage_reaches_a_node_without_control_plane() {
    let mut bed = Bed::new(1, 1);
    bed.happens(Event::CacheLoaded(vec![stated(Source::Cache, 3, 10)]));
    let decisions = bed.happens(Event::DialFailed(CP.into()));
    assert_eq!(
        decisions,
        [Decision::Activate(stated(Source::Cache, 3, 10))]
    );
    bed.happens(Event::Activated);
    let later = stated(Source::Storage(0), 3, 20);
    assert_eq!(
        bed.happens(Event::StorageFetched(0, Some(later.clone()))),
        [Decision::Restate(later)]
    );
    assert_eq!(
        bed.machine.served(),
        Some((Source::Cache, identity(1, 3))),
        "what is served came from where it came"
    );
}

#[test]
fn a_stale_candidate_never_begins_to_serve() {
    let mut bed = Bed::new(1, 1);
    assert_eq!(
        bed.happens(Event::CacheLoaded(vec![stale(Source::Cache, 3)])),
        []
    );
    assert_eq!(bed.happens(Event::DialFailed(CP.into())), []);
    let too_old = Some(stale(Source::Storage(0), 4));
    assert_eq!(bed.happens(Event::StorageFetched(0, too_old)), []);
    assert_eq!(
        bed.at(millis(3000), Event::Tick).last(),
        Some(&Decision::Tell(Notice::Empty))
    );
    assert!(bed.machine.wake_at().is_some(), "the search goes on");
}

#[test]
fn a_stale_cache_still_tells_how_far_the_cluster_was() {
    let mut bed = Bed::new(1, 0);
    bed.happens(Event::CacheLoaded(vec![stale(Source::Cache, 5)]));
    bed.happens(Event::Connected);
    let decisions = bed.happens(Event::SnapshotArrived(offer(Source::ControlPlane, 4)));
    assert!(
        matches!(
            decisions[0],
            Decision::Tell(Notice::ControlPlaneBehind { .. })
        ),
        "{decisions:?}"
    );
}

#[test]
fn the_control_plane_is_believed_whatever_the_time_in_its_snapshot() {
    let mut bed = Bed::new(1, 0);
    bed.happens(Event::CacheLoaded(vec![stale(Source::Cache, 5)]));
    bed.obeys(5);
    assert!(bed.machine.is_current());
}
