//! A storage that does not compare.

use super::*;

fn unfenced() -> Machine<u32> {
    let mut machine = leader();
    machine.fence(Fencing::None);
    machine
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
