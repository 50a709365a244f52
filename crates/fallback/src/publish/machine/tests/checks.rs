//! A settled storage is looked at again.

use super::*;

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

/// How many checks come before the awaited operation, when all others are done.
fn checks_until(machine: &mut Machine<u32>, now: &mut Duration, awaited: &Action<u32>) -> u32 {
    let mut checks = 0;
    loop {
        match machine.poll(*now) {
            action if action == *awaited => return checks,
            Action::Wait(Some(until)) => *now = until,
            Action::Read(_) => {
                checks += 1;
                machine.read(Read::NotModified);
            }
            Action::Index => machine.indexed(true),
            Action::WriteHistory(edition) => machine.history_written(edition),
            Action::Prune => machine.pruned(),
            action => panic!("{action:?}"),
        }
    }
}

#[test]
fn the_index_is_looked_at_again_after_some_checks_and_sooner_after_a_failure() {
    let (mut machine, mut now) = (leader(), seconds(1));
    machine.newest(now, edition(3));
    machine.read(good(3, 1));
    for (done, checks) in [(false, 1), (true, CHECKS_PER_INDEX)] {
        assert_eq!(machine.poll(now), Action::Index);
        machine.indexed(done);
        assert_eq!(checks_until(&mut machine, &mut now, &Action::Index), checks);
    }
}

#[test]
fn the_history_object_of_a_settled_storage_is_looked_at_soon_and_after_some_checks() {
    let (mut machine, mut now) = (leader(), seconds(1));
    machine.newest(now, edition(3));
    machine.read(good(3, 1));
    let look = Action::WriteHistory(edition(3));
    for checks in [1, CHECKS_PER_COPY] {
        assert_eq!(checks_until(&mut machine, &mut now, &look), checks);
        machine.history_written(edition(3));
    }
}
