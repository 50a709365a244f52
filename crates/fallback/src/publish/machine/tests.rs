//! The decisions of a publisher, case by case.

use super::*;
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

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn good(revision: u64, version: u32) -> Read<u32> {
    Read::Found {
        version,
        content: Content::Good(identity(revision)),
    }
}

fn leader() -> Machine<u32> {
    let mut machine = Machine::new(PublishSettings::default(), 7);
    machine.lead(true);
    machine
}

/// Leads the machine over a publication of `revision` upon `before`.
fn publish(machine: &mut Machine<u32>, now: Duration, revision: u64, version: u32) {
    let wanted = identity(revision);
    if machine.kept != Some(wanted) {
        assert_eq!(machine.poll(now), Action::WriteHistory(wanted));
        machine.history_written(wanted);
    }
    assert!(matches!(machine.poll(now), Action::WriteConfig(id, _) if id == wanted));
    machine.config_written();
    assert_eq!(machine.poll(now), Action::Read(None));
    machine.read(good(revision, version));
    assert_eq!(machine.standing(), Standing::Stored(wanted));
    assert_eq!(machine.poll(now), Action::Prune);
    machine.pruned();
}

#[test]
fn the_first_change_goes_at_once_and_later_ones_are_gathered() {
    let mut machine = leader();
    machine.newest(seconds(100), identity(1));
    assert_eq!(machine.poll(seconds(100)), Action::Read(None));
    machine.read(Read::Absent);
    assert_eq!(machine.poll(seconds(100)), Action::ReadHistory(identity(1)));
    machine.history_read(None);
    publish(&mut machine, seconds(100), 1, 1);
    for revision in 2..=4 {
        machine.newest(seconds(100 + revision - 1), identity(revision));
    }
    assert_eq!(machine.poll(seconds(103)), Action::Wait(Some(seconds(105))));
    publish(&mut machine, seconds(105), 4, 2);
    machine.newest(seconds(106), identity(5));
    assert_eq!(machine.poll(seconds(106)), Action::Wait(Some(seconds(110))));
    publish(&mut machine, seconds(110), 5, 3);
    machine.newest(seconds(200), identity(6));
    publish(&mut machine, seconds(200), 6, 4);
}

#[test]
fn a_follower_writes_nothing_until_it_leads_and_then_looks_first() {
    let mut machine = Machine::<u32>::new(PublishSettings::default(), 7);
    machine.newest(seconds(1), identity(3));
    assert_eq!(machine.poll(seconds(9)), Action::Wait(None));
    assert_eq!(machine.standing(), Standing::Following);
    machine.lead(true);
    assert_eq!(machine.poll(seconds(9)), Action::Read(None));
    machine.read(good(2, 1));
    publish(&mut machine, seconds(9), 3, 2);
}

#[test]
fn a_storage_that_has_the_newest_is_left_alone() {
    let mut machine = leader();
    machine.newest(seconds(1), identity(3));
    assert_eq!(machine.poll(seconds(1)), Action::Read(None));
    machine.read(good(3, 1));
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
    for (content, blocked) in [
        (Content::Good(identity(4)), Blocked::Ahead(identity(4))),
        (Content::Good(fork), Blocked::Fork(fork)),
        (Content::Good(foreign), Blocked::Foreign(foreign)),
        (Content::Unverified(foreign), Blocked::Foreign(foreign)),
        (
            Content::Unverified(identity(4)),
            Blocked::Unverified(identity(4)),
        ),
        (Content::Unverified(fork), Blocked::Unverified(fork)),
        (Content::TooNew, Blocked::TooNew),
    ] {
        let mut machine = leader();
        machine.newest(seconds(1), identity(3));
        machine.read(Read::Found {
            version: 1,
            content,
        });
        assert!(matches!(machine.poll(seconds(1)), Action::Wait(Some(_))));
        assert_eq!(machine.standing(), Standing::Blocked(blocked));
    }
}

#[test]
fn a_damaged_document_is_mended_unless_the_history_is_ahead() {
    let mut machine = leader();
    machine.newest(seconds(1), identity(3));
    machine.read(Read::Found {
        version: 5,
        content: Content::Unreadable,
    });
    assert_eq!(machine.poll(seconds(1)), Action::ReadHistory(identity(3)));
    machine.history_read(Some(identity(4)));
    assert_eq!(
        machine.standing(),
        Standing::Blocked(Blocked::Ahead(identity(4)))
    );
    machine.newest(seconds(2), identity(5));
    assert_eq!(machine.poll(seconds(10)), Action::ReadHistory(identity(5)));
    machine.history_read(None);
    publish(&mut machine, seconds(10), 5, 6);
}

#[test]
fn the_same_snapshot_signed_with_a_former_key_is_renewed() {
    let mut machine = leader();
    machine.newest(seconds(1), identity(3));
    machine.read(Read::Found {
        version: 5,
        content: Content::Unverified(identity(3)),
    });
    publish(&mut machine, seconds(1), 3, 6);
}

#[test]
fn a_lost_comparison_reads_again_before_it_writes_again() {
    let mut machine = leader();
    machine.newest(seconds(1), identity(3));
    machine.read(good(2, 1));
    assert_eq!(machine.poll(seconds(1)), Action::WriteHistory(identity(3)));
    machine.history_written(identity(3));
    assert_eq!(
        machine.poll(seconds(1)),
        Action::WriteConfig(identity(3), Expected::Version(1))
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
    machine.newest(seconds(1), identity(3));
    machine.read(good(3, 1));
    let Action::Wait(Some(check)) = machine.poll(seconds(1)) else {
        panic!("a settled storage is checked again");
    };
    assert_eq!(machine.poll(check), Action::Read(Some(1)));
    machine.read(Read::NotModified);
    let Action::Wait(Some(check)) = machine.poll(check) else {
        panic!("nothing has changed");
    };
    assert_eq!(machine.poll(check), Action::Read(Some(1)));
    machine.read(Read::Absent);
    assert_eq!(machine.poll(check), Action::ReadHistory(identity(3)));
    machine.history_read(Some(identity(3)));
    publish(&mut machine, check, 3, 2);
}
