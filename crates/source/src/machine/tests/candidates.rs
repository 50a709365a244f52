//! Cache and storages while the control plane is asked, and while it is away.

use super::*;

#[test]
fn candidates_wait_for_the_control_plane() {
    let mut bed = Bed::new(1, 1);
    assert_eq!(
        bed.happens(Event::CacheLoaded(vec![offer(Source::Cache, 3)])),
        []
    );
    assert_eq!(
        bed.happens(Event::StorageFetched(0, Some(offer(Source::Storage(0), 4)))),
        []
    );
    bed.obeys(5);
    assert!(bed.machine.is_current());
    assert_eq!(
        bed.machine.wake_at(),
        Some(millis(3000)),
        "only the deadline is left"
    );
    assert_eq!(bed.at(millis(3000), Event::Tick), []);
    assert_eq!(bed.machine.wake_at(), None);
}

#[test]
fn a_refused_connection_lets_the_best_candidate_serve_at_once() {
    let mut bed = Bed::new(1, 1);
    bed.happens(Event::CacheLoaded(vec![offer(Source::Cache, 3)]));
    bed.happens(Event::StorageFetched(0, Some(offer(Source::Storage(0), 4))));
    let decisions = bed.at(millis(2), Event::DialFailed(CP.into()));
    bed.serves(&decisions, Source::Storage(0), 4);
}

#[test]
fn candidates_that_come_after_the_failure_serve_as_they_come() {
    let mut bed = Bed::new(1, 1);
    assert_eq!(bed.happens(Event::DialFailed(CP.into())), []);
    let decisions = bed.happens(Event::CacheLoaded(vec![offer(Source::Cache, 3)]));
    bed.serves(&decisions, Source::Cache, 3);
    let decisions = bed.happens(Event::StorageFetched(0, Some(offer(Source::Storage(0), 4))));
    bed.serves(&decisions, Source::Storage(0), 4);
}

#[test]
fn one_failed_address_of_two_is_no_proof() {
    let mut bed = Bed::new(2, 0);
    bed.happens(Event::CacheLoaded(vec![offer(Source::Cache, 3)]));
    assert_eq!(bed.happens(Event::DialFailed("a:1".into())), []);
    assert_eq!(bed.happens(Event::DialFailed("a:1".into())), []);
    let decisions = bed.happens(Event::DialFailed("b:1".into()));
    bed.serves(&decisions, Source::Cache, 3);
}

#[test]
fn silence_is_bounded_by_the_deadline() {
    let mut bed = Bed::new(1, 0);
    bed.happens(Event::CacheLoaded(vec![offer(Source::Cache, 3)]));
    bed.happens(Event::Connected);
    assert_eq!(bed.machine.wake_at(), Some(millis(3000)));
    assert_eq!(bed.at(millis(2999), Event::Tick), []);
    let decisions = bed.at(millis(3000), Event::Tick);
    bed.serves(&decisions, Source::Cache, 3);
}

#[test]
fn a_stall_or_a_useless_document_counts_as_away() {
    for event in [
        Event::Stalled,
        Event::DocumentRefused,
        Event::Disconnected(CP.into()),
    ] {
        let mut bed = Bed::new(1, 0);
        bed.happens(Event::CacheLoaded(vec![offer(Source::Cache, 3)]));
        bed.happens(Event::Connected);
        let decisions = bed.happens(event);
        bed.serves(&decisions, Source::Cache, 3);
    }
}

#[test]
fn nothing_good_anywhere_is_told_once_and_the_search_goes_on() {
    let mut bed = Bed::new(1, 1);
    bed.happens(Event::CacheLoaded(vec![]));
    bed.happens(Event::StorageFailed(0));
    let wake = bed.machine.wake_at().unwrap();
    assert!(wake <= millis(250));
    assert!(matches!(
        bed.at(wake, Event::Tick)[..],
        [Decision::Fetch(0, _)]
    ));
    assert_eq!(bed.happens(Event::DialFailed(CP.into())), []);
    assert_eq!(
        bed.at(millis(3000), Event::Tick),
        [Decision::Tell(Notice::Empty)]
    );
    assert_eq!(bed.at(millis(3100), Event::DialFailed(CP.into())), []);
    let decisions = bed.at(
        millis(9000),
        Event::StorageFetched(0, Some(offer(Source::Storage(0), 4))),
    );
    bed.serves(&decisions, Source::Storage(0), 4);
}

#[test]
fn while_the_control_plane_is_away_the_storage_is_followed() {
    let mut bed = Bed::new(1, 1);
    bed.happens(Event::StorageFetched(0, None));
    bed.obeys(5);
    bed.at(millis(60_000), Event::Disconnected(CP.into()));
    let wake = bed.machine.wake_at().unwrap();
    assert!(wake >= millis(60_000) && wake <= millis(120_000));
    assert!(matches!(
        bed.at(wake, Event::Tick)[..],
        [Decision::Fetch(0, _)]
    ));
    let emergency = Offer {
        source: Source::Storage(0),
        identity: identity(2, 1),
        stated_at: SystemTime::UNIX_EPOCH,
        stale: false,
        empty: false,
        snapshot: (),
    };
    let decisions = bed.happens(Event::StorageFetched(0, Some(emergency.clone())));
    assert_eq!(decisions, [Decision::Activate(emergency)]);
    bed.happens(Event::Activated);
    let wait = bed.machine.wake_at().unwrap() - wake;
    assert!(wait >= millis(45_000) && wait <= millis(75_000), "{wait:?}");
}

#[test]
fn what_arrives_during_an_activation_is_decided_after_it() {
    let mut bed = Bed::new(1, 0);
    bed.happens(Event::CacheLoaded(Vec::new()));
    let first = Event::SnapshotArrived(offer(Source::ControlPlane, 1));
    assert_eq!(
        bed.happens(first),
        [Decision::Activate(offer(Source::ControlPlane, 1))]
    );
    for revision in 2..=4 {
        let next = Event::SnapshotArrived(offer(Source::ControlPlane, revision));
        assert_eq!(bed.happens(next), []);
    }
    let decisions = bed.happens(Event::Activated);
    bed.serves(&decisions, Source::ControlPlane, 4);
}

#[test]
fn a_fork_or_a_foreign_storage_is_told_and_not_used() {
    let mut bed = Bed::new(1, 2);
    bed.happens(Event::DialFailed(CP.into()));
    let decisions = bed.happens(Event::CacheLoaded(vec![offer(Source::Cache, 3)]));
    bed.serves(&decisions, Source::Cache, 3);
    let served = identity(1, 3);
    let fork = Identity {
        sha256: Digest([7; 32]),
        ..served
    };
    let foreign = Identity {
        cluster_id: Uuid::from_u128(2),
        ..identity(1, 9)
    };
    for (index, offered) in [fork, foreign].into_iter().enumerate() {
        let source = Source::Storage(index);
        let notice = if index == 0 {
            Notice::Fork {
                source,
                offered,
                served,
            }
        } else {
            Notice::Foreign {
                source,
                offered,
                served,
            }
        };
        let offer = Offer {
            identity: offered,
            ..offer(source, 1)
        };
        let decisions = bed.happens(Event::StorageFetched(index, Some(offer)));
        assert_eq!(decisions, [Decision::Tell(notice)]);
    }
    assert_eq!(bed.machine.served(), Some((Source::Cache, served)));
}

#[test]
fn without_control_planes_the_candidates_serve_at_once() {
    let mut bed = Bed::new(0, 1);
    bed.happens(Event::CacheLoaded(Vec::new()));
    let decisions = bed.happens(Event::StorageFetched(0, Some(offer(Source::Storage(0), 4))));
    bed.serves(&decisions, Source::Storage(0), 4);
}

#[test]
fn a_storage_does_not_serve_before_the_disk_has_told_what_a_former_life_served() {
    let mut bed = Bed::new(1, 1);
    bed.happens(Event::DialFailed(CP.into()));
    let fetched = Event::StorageFetched(0, Some(offer(Source::Storage(0), 2)));
    assert_eq!(bed.happens(fetched), []);
    let decisions = bed.happens(Event::CacheLoaded(vec![offer(Source::Cache, 8)]));
    bed.serves(&decisions, Source::Cache, 8);
}

#[test]
fn a_stale_cache_gives_way_to_a_newer_storage_after_a_restart() {
    let mut bed = Bed::new(1, 1);
    bed.happens(Event::CacheLoaded(vec![offer(Source::Cache, 3)]));
    let decisions = bed.happens(Event::DialFailed(CP.into()));
    bed.serves(&decisions, Source::Cache, 3);
    let decisions = bed.happens(Event::StorageFetched(0, Some(offer(Source::Storage(0), 5))));
    bed.serves(&decisions, Source::Storage(0), 5);
    let decisions = bed.happens(Event::StorageFetched(0, Some(offer(Source::Storage(0), 4))));
    assert_eq!(decisions, []);
}
