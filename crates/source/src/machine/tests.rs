//! The choice, case by case.

mod age;

use keelgate_snapshot::Digest;
use uuid::Uuid;

use super::*;

const CP: &str = "cp.example:8005";

fn identity(epoch: u64, revision: u64) -> Identity {
    Identity {
        cluster_id: Uuid::from_u128(1),
        epoch,
        revision,
        sha256: Digest::of(format!("{epoch}-{revision}").as_bytes()),
    }
}

fn offer(source: Source, revision: u64) -> Offer<()> {
    Offer {
        source,
        identity: identity(1, revision),
        stated_at: SystemTime::UNIX_EPOCH,
        stale: false,
        empty: false,
        snapshot: (),
    }
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A started machine with one storage, and what it does on the way.
struct Bed {
    machine: Machine<()>,
    now: Duration,
}

impl Bed {
    fn new(control_planes: usize, storages: usize) -> Self {
        let settings = ChoiceSettings {
            control_planes,
            storages,
            ..ChoiceSettings::default()
        };
        let mut bed = Self {
            machine: Machine::new(settings, 5),
            now: Duration::ZERO,
        };
        let decisions = bed.happens(Event::Started(HashSet::new()));
        assert_eq!(decisions[0], Decision::LoadCache);
        assert_eq!(decisions.len(), 1 + storages, "storages are read at once");
        bed
    }

    fn happens(&mut self, event: Event<()>) -> Vec<Decision<()>> {
        self.machine.handle(self.now, event)
    }

    fn at(&mut self, now: Duration, event: Event<()>) -> Vec<Decision<()>> {
        self.now = now;
        self.happens(event)
    }

    fn serves(&mut self, decisions: &[Decision<()>], source: Source, revision: u64) {
        assert_eq!(decisions, [Decision::Activate(offer(source, revision))]);
        self.happens(Event::Activated);
        assert_eq!(self.machine.served(), Some((source, identity(1, revision))));
    }

    /// Lets the control plane deliver and serve a revision.
    fn obeys(&mut self, revision: u64) {
        self.happens(Event::Connected);
        if self.machine.cached.is_none() {
            self.happens(Event::CacheLoaded(Vec::new()));
        }
        let decisions = self.happens(Event::SnapshotArrived(offer(
            Source::ControlPlane,
            revision,
        )));
        self.serves(&decisions, Source::ControlPlane, revision);
    }
}

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
fn the_returned_control_plane_replaces_confirms_or_is_told_to_be_behind() {
    let mut bed = Bed::new(1, 1);
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

#[test]
fn without_control_planes_the_candidates_serve_at_once() {
    let mut bed = Bed::new(0, 1);
    let decisions = bed.happens(Event::StorageFetched(0, Some(offer(Source::Storage(0), 4))));
    bed.serves(&decisions, Source::Storage(0), 4);
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
