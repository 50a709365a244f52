//! The control plane is the authority, and what it may not do.

use super::*;

#[test]
fn the_returned_control_plane_replaces_confirms_or_is_told_to_be_behind() {
    let mut bed = Bed::new(1, 1);
    bed.happens(Event::CacheLoaded(Vec::new()));
    bed.happens(Event::DialFailed(CP.into()));
    let decisions = bed.happens(Event::StorageFetched(0, Some(offer(Source::Storage(0), 4))));
    bed.serves(&decisions, Source::Storage(0), 4);

    let behind = Notice::ControlPlaneBehind {
        offered: identity(1, 2),
        served: identity(1, 4),
    };
    let old = Event::SnapshotArrived(offer(Source::ControlPlane, 2));
    assert_eq!(bed.happens(old.clone()), [Decision::Tell(behind)]);
    assert_eq!(bed.happens(old), [], "told once");
    assert!(!bed.machine.is_current());
    assert_eq!(
        bed.machine.served(),
        Some((Source::Storage(0), identity(1, 4)))
    );

    bed.happens(Event::Connected);
    let same = Event::SnapshotArrived(offer(Source::ControlPlane, 4));
    assert_eq!(
        bed.happens(same),
        [Decision::Tell(Notice::Confirmed(identity(1, 4)))]
    );
    assert!(bed.machine.is_current());
    assert_eq!(
        bed.machine.served(),
        Some((Source::ControlPlane, identity(1, 4)))
    );
    bed.obeys(5);
}

#[test]
fn the_same_configuration_under_a_new_identity_is_adopted_without_a_swap() {
    let mut bed = Bed::new(1, 0);
    bed.obeys(5);
    let renamed = Offer {
        identity: Identity {
            revision: 6,
            ..identity(1, 5)
        },
        ..offer(Source::ControlPlane, 5)
    };
    let decisions = bed.happens(Event::SnapshotArrived(renamed.clone()));
    assert_eq!(decisions, [Decision::Adopt(renamed)]);
}

#[test]
fn a_control_plane_of_another_cluster_is_followed_and_told() {
    let mut bed = Bed::new(1, 0);
    bed.obeys(5);
    let offered = Identity {
        cluster_id: Uuid::from_u128(2),
        ..identity(1, 1)
    };
    let offer = Offer {
        source: Source::ControlPlane,
        identity: offered,
        stated_at: SystemTime::UNIX_EPOCH,
        stale: false,
        empty: false,
        snapshot: (),
    };
    let served = identity(1, 5);
    assert_eq!(
        bed.happens(Event::SnapshotArrived(offer.clone())),
        [
            Decision::Tell(Notice::ClusterChanged { offered, served }),
            Decision::Activate(offer),
        ]
    );
}

#[test]
fn the_last_word_of_a_kong_control_plane_counts() {
    let mut bed = Bed::new(1, 0);
    bed.happens(Event::CacheLoaded(Vec::new()));
    for revision in [1000, 900, 1100] {
        let offer = Offer {
            source: Source::ControlPlane,
            identity: identity(0, revision),
            ..offer(Source::ControlPlane, 1)
        };
        let decisions = bed.happens(Event::SnapshotArrived(offer.clone()));
        assert_eq!(decisions, [Decision::Activate(offer)]);
        bed.happens(Event::Activated);
    }
}

/// An offer of the control plane of another cluster.
fn foreign(empty: bool) -> Offer<()> {
    Offer {
        source: Source::ControlPlane,
        identity: Identity {
            cluster_id: Uuid::from_u128(2),
            ..identity(1, 1)
        },
        empty,
        ..offer(Source::ControlPlane, 1)
    }
}

#[test]
fn a_restart_is_no_way_back() {
    let mut bed = Bed::new(1, 0);
    bed.happens(Event::Connected);
    let behind = offer(Source::ControlPlane, 4);
    let arrived = Event::SnapshotArrived(behind.clone());
    assert_eq!(bed.happens(arrived), [], "the cache is awaited");
    let decisions = bed.happens(Event::CacheLoaded(vec![offer(Source::Cache, 5)]));
    let told = Notice::ControlPlaneBehind {
        offered: identity(1, 4),
        served: identity(1, 5),
    };
    assert_eq!(
        decisions,
        [
            Decision::Tell(told),
            Decision::Activate(offer(Source::Cache, 5)),
        ]
    );
    // What cannot be used here stands in nobody's way.
    let decisions = bed.happens(Event::Rejected);
    assert_eq!(decisions, [Decision::Activate(behind)]);
    bed.happens(Event::Activated);
    assert!(bed.machine.is_current());
}

#[test]
fn a_cache_that_is_not_read_in_time_does_not_hold_up_the_control_plane() {
    let mut bed = Bed::new(1, 0);
    bed.happens(Event::Connected);
    bed.happens(Event::SnapshotArrived(offer(Source::ControlPlane, 4)));
    let decisions = bed.at(millis(3000), Event::Tick);
    bed.serves(&decisions, Source::ControlPlane, 4);
}

#[test]
fn a_control_plane_that_lost_its_database_does_not_empty_the_fleet() {
    let told = |revision| Notice::EmptyCluster {
        offered: foreign(true).identity,
        served: identity(1, revision),
    };
    // While it serves.
    let mut bed = Bed::new(1, 0);
    bed.obeys(5);
    let decisions = bed.happens(Event::SnapshotArrived(foreign(true)));
    assert_eq!(decisions, [Decision::Tell(told(5))]);
    assert!(!bed.machine.is_current());
    // After a restart.
    let mut bed = Bed::new(1, 0);
    bed.happens(Event::Connected);
    bed.happens(Event::CacheLoaded(vec![offer(Source::Cache, 5)]));
    assert_eq!(
        bed.happens(Event::SnapshotArrived(foreign(true))),
        [
            Decision::Tell(told(5)),
            Decision::Activate(offer(Source::Cache, 5)),
        ]
    );
    bed.happens(Event::Activated);
    // The first entity that is made there makes it the authority.
    let decisions = bed.happens(Event::SnapshotArrived(foreign(false)));
    assert!(decisions.contains(&Decision::Activate(foreign(false))));
}

#[test]
fn the_own_control_plane_may_delete_everything() {
    let mut bed = Bed::new(1, 0);
    bed.obeys(5);
    let emptied = Offer {
        empty: true,
        ..offer(Source::ControlPlane, 6)
    };
    let decisions = bed.happens(Event::SnapshotArrived(emptied.clone()));
    assert_eq!(decisions, [Decision::Activate(emptied)]);
}

#[test]
fn an_empty_configuration_is_better_than_none() {
    let mut bed = Bed::new(1, 0);
    bed.happens(Event::Connected);
    bed.happens(Event::CacheLoaded(Vec::new()));
    let decisions = bed.happens(Event::SnapshotArrived(foreign(true)));
    assert_eq!(decisions, [Decision::Activate(foreign(true))]);
}
