//! When something is done: at once, gathered, after a failure.

use super::*;

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
