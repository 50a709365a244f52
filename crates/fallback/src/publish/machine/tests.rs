//! The decisions of a publisher, case by case.

mod checks;
mod following;
mod pacing;
mod unfenced;

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
