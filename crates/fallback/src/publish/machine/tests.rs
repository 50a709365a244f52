//! The decisions of a publisher, case by case.

use super::*;
use crate::publish::picture::Content;
use keelgate_snapshot::Digest;
use uuid::Uuid;

fn identity(revision: u64) -> Identity {
    Identity {
        cluster_id: Uuid::from_u128(1),
        epoch: 1,
        revision,
        sha256: Digest::of(&revision.to_be_bytes()),
    }
}

fn edition(revision: u64) -> Edition {
    stated(revision, 1000 * revision)
}

/// A statement of `revision` that was made at this time.
fn stated(revision: u64, created_at: u64) -> Edition {
    Edition {
        identity: identity(revision),
        created_at,
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn content(edition: Edition) -> Content {
    Content::Good { edition, fit: true }
}

fn good(revision: u64, version: u32) -> Read<u32> {
    Read::Found {
        version,
        content: content(edition(revision)),
    }
}

fn leader() -> Machine<u32> {
    let mut machine = Machine::new(PublishSettings::default(), 7);
    machine.lead(true);
    machine
}

fn unfenced() -> Machine<u32> {
    let mut machine = leader();
    machine.fence(Fencing::None);
    machine
}

/// Leads the machine over a publication of `revision` upon `before`.
fn publish(machine: &mut Machine<u32>, now: Duration, revision: u64, version: u32) {
    let wanted = edition(revision);
    let is_first = machine.mind.picture.is_absent() && machine.fencing() == Fencing::Compare;
    if machine.mind.kept != Some(wanted) && !is_first {
        assert_eq!(machine.poll(now), Action::WriteHistory(wanted));
        machine.history_written(wanted);
    }
    assert!(matches!(machine.poll(now), Action::WriteConfig(id, _) if id == wanted));
    machine.config_written();
    assert_eq!(machine.poll(now), Action::Read(None));
    machine.read(good(revision, version));
    assert_eq!(machine.standing(), Standing::Stored(wanted.identity));
    tidy(machine, now);
}

/// Does what follows a publication.
fn tidy(machine: &mut Machine<u32>, now: Duration) {
    loop {
        match machine.poll(now) {
            Action::WriteHistory(edition) => machine.history_written(edition),
            Action::Prune => machine.pruned(),
            Action::Index => machine.indexed(true),
            Action::Wait(Some(_)) => return,
            action => panic!("{action:?} after a publication"),
        }
    }
}

#[test]
fn the_first_change_goes_at_once_and_later_ones_are_gathered() {
    let mut machine = leader();
    machine.newest(seconds(100), edition(1));
    assert_eq!(machine.poll(seconds(100)), Action::Read(None));
    machine.read(Read::Absent);
    assert_eq!(machine.poll(seconds(100)), Action::ReadHistory(identity(1)));
    machine.history_read(None);
    publish(&mut machine, seconds(100), 1, 1);
    for revision in 2..=4 {
        machine.newest(seconds(100 + revision - 1), edition(revision));
    }
    assert_eq!(machine.poll(seconds(103)), Action::Wait(Some(seconds(105))));
    publish(&mut machine, seconds(105), 4, 2);
    machine.newest(seconds(106), edition(5));
    assert_eq!(machine.poll(seconds(106)), Action::Wait(Some(seconds(110))));
    publish(&mut machine, seconds(110), 5, 3);
    machine.newest(seconds(150), edition(6));
    publish(&mut machine, seconds(150), 6, 4);
}

#[test]
fn the_delay_counts_from_the_change_and_not_from_the_end_of_its_publication() {
    let mut machine = leader();
    machine.newest(seconds(100), edition(1));
    machine.read(good(0, 1));
    // The storage is slow: the publication of the change takes four seconds.
    assert_eq!(machine.poll(seconds(100)), Action::WriteHistory(edition(1)));
    machine.history_written(edition(1));
    assert!(matches!(
        machine.poll(seconds(103)),
        Action::WriteConfig(..)
    ));
    machine.config_written();
    machine.newest(seconds(103), edition(2));
    assert_eq!(machine.poll(seconds(104)), Action::Read(None));
    machine.read(good(1, 2));
    assert_eq!(machine.poll(seconds(104)), Action::Wait(Some(seconds(105))));
    publish(&mut machine, seconds(105), 2, 3);
}

#[test]
fn the_first_config_comes_before_anything_that_readers_would_find_instead() {
    let mut machine = leader();
    let (wanted, now) = (edition(1), seconds(1));
    machine.newest(now, wanted);
    machine.read(Read::Absent);
    machine.history_read(None);
    let create = Action::WriteConfig(wanted, Expected::Absent);
    assert_eq!(machine.poll(now), create);
    machine.config_written();
    machine.read(good(1, 1));
    assert_eq!(machine.poll(now), Action::WriteHistory(wanted));
    machine.history_written(wanted);
    tidy(&mut machine, now);
}

#[test]
fn an_object_is_not_written_twice_within_a_second_even_without_a_delay() {
    let settings = PublishSettings {
        delay: Duration::ZERO,
        retry_base: Duration::from_millis(1),
        retry_cap: Duration::from_millis(1),
        ..PublishSettings::default()
    };
    let mut machine = Machine::<u32>::new(settings, 7);
    machine.lead(true);
    let (mut config, mut history) = (Vec::new(), Vec::new());
    for millisecond in 0..10_000 {
        let now = Duration::from_millis(millisecond);
        if millisecond % 10 == 0 {
            machine.newest(now, edition(1 + millisecond / 2000));
        }
        match machine.poll(now) {
            Action::Read(_) => machine.read(good(0, 1)),
            Action::WriteHistory(wanted) => {
                history.push((wanted.identity, now));
                // Every other write fails.
                match history.len() % 2 {
                    0 => machine.history_written(wanted),
                    _ => machine.failed(now),
                }
            }
            Action::WriteConfig(..) => {
                config.push(now);
                machine.failed(now);
            }
            _ => {}
        }
    }
    assert!(
        config.len() >= 4 && history.len() >= 5,
        "{config:?} {history:?}"
    );
    for pair in config.windows(2) {
        assert!(pair[1] - pair[0] >= seconds(1), "{config:?}");
    }
    for pair in history.windows(2) {
        let same = pair[0].0 == pair[1].0;
        assert!(!same || pair[1].1 - pair[0].1 >= seconds(1), "{history:?}");
    }
}

#[test]
fn a_newer_snapshot_takes_the_place_of_one_that_waits_for_a_retry() {
    let mut machine = leader();
    machine.newest(seconds(1), edition(1));
    machine.failed(seconds(1));
    machine.newest(seconds(1), edition(2));
    let Action::Wait(Some(retry)) = machine.poll(seconds(1)) else {
        panic!("a failure is followed by a delay");
    };
    assert_eq!(machine.poll(retry), Action::Read(None));
    machine.read(good(0, 1));
    publish(&mut machine, retry, 2, 2);
}

#[test]
fn a_storage_that_asks_to_be_left_alone_is_left_alone() {
    for (asked, waited) in [(7, 7), (86_400, 300)] {
        let mut machine = leader();
        machine.newest(seconds(1), edition(1));
        assert_eq!(machine.poll(seconds(1)), Action::Read(None));
        machine.failed(seconds(1));
        machine.leave_alone(seconds(asked));
        let Action::Wait(Some(retry)) = machine.poll(seconds(1)) else {
            panic!("a failure is followed by a delay");
        };
        assert!(
            retry > seconds(1 + waited) && retry < seconds(2 + waited),
            "{retry:?}"
        );
    }
}

#[test]
fn a_follower_writes_nothing_until_it_leads_and_then_looks_first() {
    let mut machine = Machine::<u32>::new(PublishSettings::default(), 7);
    machine.newest(seconds(1), edition(3));
    assert_eq!(machine.poll(seconds(9)), Action::Wait(None));
    assert_eq!(machine.standing(), Standing::Following);
    machine.lead(true);
    assert_eq!(machine.poll(seconds(9)), Action::Read(None));
    machine.read(good(2, 1));
    publish(&mut machine, seconds(9), 3, 2);
}

#[test]
fn a_storage_that_has_the_newest_is_left_alone_but_for_the_index() {
    let mut machine = leader();
    machine.newest(seconds(1), edition(3));
    assert_eq!(machine.poll(seconds(1)), Action::Read(None));
    machine.read(good(3, 1));
    assert_eq!(machine.poll(seconds(1)), Action::Index);
    machine.indexed(true);
    assert!(matches!(machine.poll(seconds(1)), Action::Wait(Some(_))));
    assert_eq!(machine.standing(), Standing::Stored(identity(3)));
}

#[test]
fn nothing_newer_forked_or_foreign_is_replaced() {
    let fork = Identity {
        sha256: Digest([9; 32]),
        ..identity(3)
    };
    let foreign = Identity {
        cluster_id: Uuid::from_u128(2),
        ..identity(1)
    };
    let of = |identity| {
        content(Edition {
            identity,
            created_at: 1,
        })
    };
    for (content, blocked) in [
        (content(edition(4)), Blocked::Ahead(identity(4))),
        (of(fork), Blocked::Fork(fork)),
        (of(foreign), Blocked::Foreign(foreign)),
        (Content::Unverified(foreign), Blocked::Foreign(foreign)),
        (
            Content::Unverified(identity(4)),
            Blocked::Unverified(identity(4)),
        ),
        (Content::Unverified(fork), Blocked::Unverified(fork)),
        (Content::Sealed, Blocked::Sealed),
        (Content::TooNew, Blocked::TooNew),
    ] {
        for fencing in [Fencing::Compare, Fencing::None] {
            let mut machine = leader();
            machine.fence(fencing);
            machine.newest(seconds(1), edition(3));
            machine.read(Read::Found {
                version: 1,
                content: content.clone(),
            });
            assert!(matches!(machine.poll(seconds(1)), Action::Wait(Some(_))));
            assert_eq!(machine.standing(), Standing::Blocked(blocked));
        }
    }
}

#[test]
fn a_damaged_document_is_mended_from_the_history_if_that_is_ahead() {
    let mut machine = leader();
    machine.newest(seconds(1), edition(3));
    machine.read(Read::Found {
        version: 5,
        content: Content::Unreadable,
    });
    assert_eq!(machine.poll(seconds(1)), Action::ReadHistory(identity(3)));
    machine.history_read(Some(edition(4)));
    assert_eq!(
        machine.poll(seconds(1)),
        Action::Restore(edition(4), Expected::Version(5))
    );
    machine.config_written();
    assert_eq!(machine.poll(seconds(1)), Action::Read(None));
    machine.read(good(4, 6));
    assert_eq!(
        machine.standing(),
        Standing::Blocked(Blocked::Ahead(identity(4)))
    );
    machine.newest(seconds(10), edition(5));
    publish(&mut machine, seconds(10), 5, 7);
}

#[test]
fn the_same_snapshot_signed_with_a_former_key_is_renewed() {
    let mut machine = leader();
    machine.newest(seconds(1), edition(3));
    machine.read(Read::Found {
        version: 5,
        content: Content::Unverified(identity(3)),
    });
    publish(&mut machine, seconds(1), 3, 6);
}

#[test]
fn a_newer_statement_of_the_same_snapshot_is_written_and_an_older_one_never() {
    for (stored, held, written) in [(10, 20, true), (20, 20, false), (20, 10, false)] {
        let mut machine = leader();
        machine.newest(seconds(1), stated(3, held));
        machine.read(Read::Found {
            version: 5,
            content: content(stated(3, stored)),
        });
        let action = machine.poll(seconds(1));
        if written {
            assert_eq!(action, Action::WriteHistory(stated(3, held)));
        } else {
            assert_eq!(action, Action::Index);
            assert_eq!(machine.standing(), Standing::Stored(identity(3)));
        }
    }
}

#[test]
fn an_older_statement_does_not_supersede_the_one_at_hand() {
    let mut machine = leader();
    machine.newest(seconds(1), stated(3, 20));
    machine.newest(seconds(2), stated(3, 10));
    assert_eq!(machine.wanted(), Some(stated(3, 20)));
    machine.newest(seconds(3), stated(3, 30));
    assert_eq!(machine.wanted(), Some(stated(3, 30)));
}

#[test]
fn a_document_that_is_not_sealed_as_it_should_be_is_replaced_unless_it_is_newer() {
    for (stored, replaced) in [(20, true), (30, false)] {
        let mut machine = leader();
        machine.newest(seconds(1), stated(3, 20));
        machine.read(Read::Found {
            version: 5,
            content: Content::Good {
                edition: stated(3, stored),
                fit: false,
            },
        });
        let action = machine.poll(seconds(1));
        assert_eq!(action == Action::WriteHistory(stated(3, 20)), replaced);
    }
}

#[test]
fn what_no_data_plane_can_use_gives_way_to_the_last_that_was_good() {
    let mut machine = leader();
    machine.newest(seconds(1), edition(1));
    machine.read(good(0, 1));
    publish(&mut machine, seconds(1), 1, 2);
    machine.newest(seconds(10), edition(2));
    assert_eq!(machine.poll(seconds(10)), Action::WriteHistory(edition(2)));
    machine.unfit(Some(edition(1)));
    assert!(matches!(machine.poll(seconds(10)), Action::Wait(Some(_))));
    assert_eq!(machine.standing(), Standing::Stored(identity(1)));
    machine.newest(seconds(20), edition(3));
    publish(&mut machine, seconds(20), 3, 3);
}

#[test]
fn a_lost_comparison_reads_again_before_it_writes_again() {
    let mut machine = leader();
    machine.newest(seconds(1), edition(3));
    machine.read(good(2, 1));
    assert_eq!(machine.poll(seconds(1)), Action::WriteHistory(edition(3)));
    machine.history_written(edition(3));
    assert_eq!(
        machine.poll(seconds(1)),
        Action::WriteConfig(edition(3), Expected::Version(1))
    );
    machine.failed(seconds(1));
    let Action::Wait(Some(retry)) = machine.poll(seconds(1)) else {
        panic!("a failure is followed by a delay");
    };
    assert_eq!(machine.poll(retry), Action::Read(None));
    machine.read(good(3, 2));
    assert_eq!(machine.standing(), Standing::Stored(identity(3)));
}

#[test]
fn a_settled_storage_is_checked_again_and_mended() {
    let mut machine = leader();
    machine.newest(seconds(1), edition(3));
    machine.read(good(3, 1));
    tidy(&mut machine, seconds(1));
    let Action::Wait(Some(check)) = machine.poll(seconds(1)) else {
        panic!("a settled storage is checked again");
    };
    assert_eq!(machine.poll(check), Action::Read(Some(1)));
    machine.read(Read::NotModified);
    tidy(&mut machine, check);
    let Action::Wait(Some(check)) = machine.poll(check) else {
        panic!("nothing has changed");
    };
    assert_eq!(machine.poll(check), Action::Read(Some(1)));
    machine.read(Read::Absent);
    assert_eq!(machine.poll(check), Action::ReadHistory(identity(3)));
    machine.history_read(Some(edition(3)));
    publish(&mut machine, check, 3, 2);
}

#[test]
fn the_index_is_looked_at_again_after_some_checks_and_sooner_after_a_failure() {
    let mut machine = leader();
    machine.newest(seconds(1), edition(3));
    machine.read(good(3, 1));
    assert_eq!(machine.poll(seconds(1)), Action::Index);
    machine.indexed(false);
    let mut now = seconds(1);
    let mut checks_until_index = |machine: &mut Machine<u32>| {
        let mut checks = 0;
        loop {
            match machine.poll(now) {
                Action::Wait(Some(until)) => now = until,
                Action::Read(_) => {
                    checks += 1;
                    machine.read(Read::NotModified);
                }
                Action::Index => return checks,
                Action::WriteHistory(edition) => machine.history_written(edition),
                Action::Prune => machine.pruned(),
                action => panic!("{action:?}"),
            }
        }
    };
    assert_eq!(checks_until_index(&mut machine), 1);
    machine.indexed(true);
    assert_eq!(checks_until_index(&mut machine), CHECKS_PER_INDEX);
}

#[test]
fn the_history_object_of_a_settled_storage_is_looked_at_soon_and_after_some_checks() {
    let mut machine = leader();
    machine.newest(seconds(1), edition(3));
    machine.read(good(3, 1));
    let mut now = seconds(1);
    for expected in [1, CHECKS_PER_COPY] {
        let mut checks = 0;
        loop {
            match machine.poll(now) {
                Action::Wait(Some(until)) => now = until,
                Action::Read(_) => {
                    checks += 1;
                    machine.read(Read::NotModified);
                }
                Action::Index => machine.indexed(true),
                Action::Prune => machine.pruned(),
                action => {
                    assert_eq!(action, Action::WriteHistory(edition(3)));
                    machine.history_written(edition(3));
                    break;
                }
            }
        }
        assert_eq!(checks, expected);
    }
}

#[test]
fn a_follower_publishes_what_the_leader_leaves_undone_for_long() {
    let mut machine = Machine::<u32>::new(PublishSettings::default(), 7);
    machine.fence(Fencing::Compare);
    machine.newest(seconds(1), edition(3));
    let mut now = seconds(1);
    let mut look = |machine: &mut Machine<u32>| loop {
        match machine.poll(now) {
            Action::Wait(Some(until)) => now = until,
            Action::Read(_) => return now,
            action => panic!("{action:?}"),
        }
    };
    // The leader has done it: the next look is long after.
    let first = look(&mut machine);
    assert!(first >= seconds(61), "{first:?}");
    machine.read(good(3, 1));
    assert_eq!(machine.standing(), Standing::Following);
    // A newer one does not have to wait for so long.
    machine.newest(first, edition(4));
    let second = look(&mut machine);
    assert!(second < first + seconds(100), "{second:?}");
    machine.read(Read::NotModified);
    assert_eq!(
        machine.poll(second),
        Action::WriteHistory(edition(4)),
        "nobody else does it"
    );
    machine.history_written(edition(4));
    assert_eq!(
        machine.poll(second),
        Action::WriteConfig(edition(4), Expected::Version(1))
    );
    machine.config_written();
    assert_eq!(machine.poll(second), Action::Read(None));
    machine.read(good(4, 2));
    assert!(look(&mut machine) > second + seconds(200));
}

#[test]
fn without_fencing_a_write_follows_a_read_of_config_and_history() {
    let mut machine = unfenced();
    let (wanted, now) = (edition(3), seconds(1));
    machine.newest(now, wanted);
    assert_eq!(machine.poll(now), Action::Read(None));
    machine.read(good(2, 1));
    assert_eq!(machine.poll(now), Action::ReadHistory(identity(3)));
    machine.history_read(None);
    assert_eq!(machine.poll(now), Action::Index, "readers must know first");
    machine.indexed(true);
    assert_eq!(machine.poll(now), Action::WriteHistory(wanted));
    machine.history_written(wanted);
    assert_eq!(machine.poll(now), Action::Read(Some(1)));
    machine.read(Read::NotModified);
    assert_eq!(machine.poll(now), Action::ReadHistory(identity(3)));
    machine.history_read(Some(wanted));
    assert_eq!(
        machine.poll(now),
        Action::WriteConfig(wanted, Expected::Anything)
    );
    machine.config_written();
    assert_eq!(machine.poll(now), Action::Read(None));
    machine.read(good(3, 2));
    assert_ne!(machine.standing(), Standing::Stored(identity(3)));
    assert_eq!(machine.poll(now), Action::ReadHistory(identity(3)));
    machine.history_read(None);
    assert_eq!(machine.standing(), Standing::Stored(identity(3)));
}

#[test]
fn without_fencing_what_a_paused_writer_put_back_is_mended_soon() {
    let mut machine = unfenced();
    machine.newest(seconds(1), edition(3));
    machine.read(good(3, 1));
    machine.history_read(None);
    machine.history_written(edition(3));
    tidy(&mut machine, seconds(1));
    let Action::Wait(Some(check)) = machine.poll(seconds(1)) else {
        panic!("a settled storage is checked again");
    };
    assert!(check <= seconds(12), "{check:?}");
    assert_eq!(machine.poll(check), Action::Read(Some(1)));
    machine.read(good(2, 2));
    assert_eq!(machine.poll(check), Action::ReadHistory(identity(3)));
    machine.history_read(None);
    assert_eq!(
        machine.poll(check),
        Action::WriteConfig(edition(3), Expected::Anything)
    );
}

#[test]
fn without_fencing_a_writer_that_is_behind_restores_the_newest_of_the_history() {
    let mut machine = unfenced();
    machine.newest(seconds(1), edition(3));
    // A paused writer has put something older back, and its successor is gone.
    machine.read(good(3, 1));
    assert_eq!(machine.poll(seconds(1)), Action::ReadHistory(identity(3)));
    machine.history_read(Some(edition(5)));
    assert_eq!(
        machine.poll(seconds(1)),
        Action::Restore(edition(5), Expected::Anything)
    );
}
