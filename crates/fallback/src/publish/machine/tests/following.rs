//! A node that does not lead.

use super::*;

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
