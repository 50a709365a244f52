//! The decisions of a candidate, case by case.

use super::*;

const PERIOD: Duration = Duration::from_secs(12);
const OTHER: Uuid = Uuid::from_u128(2);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn candidate() -> Machine<u32> {
    Machine::new(Uuid::from_u128(1), PERIOD, 3)
}

fn lease_of(holder: Option<Uuid>, nonce: u128) -> Lease {
    Lease {
        holder,
        term: 4,
        nonce: Uuid::from_u128(nonce),
    }
}

/// The next operation, after the delay before it.
fn next(machine: &mut Machine<u32>, now: &mut Duration) -> Action<u32> {
    loop {
        match machine.poll(*now) {
            Action::Wait(Some(until)) => *now = until,
            action => return action,
        }
    }
}

#[test]
fn a_missing_lease_is_created_and_renewed() {
    let (mut machine, mut now) = (candidate(), seconds(0));
    assert_eq!(next(&mut machine, &mut now), Action::Read);
    machine.read(now, None);
    assert!(matches!(next(&mut machine, &mut now), Action::Create(_)));
    assert!(!machine.leads(now));
    machine.written(now, 1);
    assert!(machine.leads(now));
    let began = now;
    assert!(matches!(next(&mut machine, &mut now), Action::Replace(lease, 1) if lease.term == 1));
    assert_eq!(now, began + PERIOD / 3);
    machine.written(now, 2);
    assert!(machine.leads(began + PERIOD + seconds(1)));
}

#[test]
fn a_kept_lease_is_left_alone_and_an_abandoned_one_is_taken_over() {
    let (mut machine, mut now) = (candidate(), seconds(0));
    for version in 1..9 {
        assert_eq!(next(&mut machine, &mut now), Action::Read);
        machine.read(
            now,
            Some((lease_of(Some(OTHER), u128::from(version)), version)),
        );
    }
    let abandoned = now;
    let taken = loop {
        match next(&mut machine, &mut now) {
            Action::Read => machine.read(now, Some((lease_of(Some(OTHER), 8), 8))),
            action => break action,
        }
    };
    assert!(matches!(taken, Action::Replace(lease, 8) if lease.term == 5));
    assert!(now >= abandoned + PERIOD, "{:?}", now - abandoned);
    assert!(now <= abandoned + PERIOD * 2, "{:?}", now - abandoned);
}

#[test]
fn a_leader_that_cannot_renew_stops_leading_in_time() {
    let (mut machine, mut now) = (candidate(), seconds(0));
    next(&mut machine, &mut now);
    machine.read(now, None);
    next(&mut machine, &mut now);
    machine.written(now, 1);
    let until = machine.leads_until().unwrap();
    while now < until {
        assert!(machine.leads(now));
        let before = now;
        next(&mut machine, &mut now);
        machine.failed(now);
        if now == before {
            now += Duration::from_millis(1);
        }
    }
    assert!(!machine.leads(until));
}

#[test]
fn a_write_whose_answer_was_lost_is_recognised() {
    let (mut machine, mut now) = (candidate(), seconds(0));
    next(&mut machine, &mut now);
    machine.read(now, None);
    let Action::Create(lease) = next(&mut machine, &mut now) else {
        panic!("a missing lease is created");
    };
    machine.failed(now);
    assert_eq!(next(&mut machine, &mut now), Action::Read);
    machine.read(now, Some((lease, 1)));
    assert!(machine.leads(now));
}

#[test]
fn a_resigned_lease_is_free_at_once() {
    let (mut machine, mut now) = (candidate(), seconds(0));
    next(&mut machine, &mut now);
    machine.read(now, Some((lease_of(None, 1), 1)));
    assert!(matches!(
        next(&mut machine, &mut now),
        Action::Replace(_, 1)
    ));
    assert!(now <= PERIOD / 4);
    machine.written(now, 2);
    machine.resign();
    assert!(!machine.leads(now));
    assert!(matches!(machine.poll(now), Action::Replace(lease, 2) if lease.holder.is_none()));
    assert_eq!(machine.poll(now), Action::Wait(None));
}

#[test]
fn without_comparison_a_claim_counts_once_it_is_found_unchanged() {
    let (mut machine, mut now) = (candidate(), seconds(0));
    machine.fence(Fencing::None);
    assert_eq!(next(&mut machine, &mut now), Action::Read);
    machine.read(now, None);
    let Action::Put(lease) = next(&mut machine, &mut now) else {
        panic!("a missing lease is written");
    };
    machine.written(now, 1);
    assert!(!machine.leads(now));
    let claimed = now;
    assert_eq!(next(&mut machine, &mut now), Action::Read);
    assert!(now >= claimed + PERIOD / 4);
    machine.read(now, Some((lease.clone(), 1)));
    assert!(machine.leads(now));
    assert_eq!(
        next(&mut machine, &mut now),
        Action::Read,
        "before a renewal"
    );
    machine.read(now, Some((lease, 1)));
    assert!(matches!(next(&mut machine, &mut now), Action::Put(_)));
    machine.written(now, 2);
    assert!(machine.leads(now));
}

#[test]
fn without_comparison_the_last_claim_wins_and_an_overtaken_leader_follows() {
    let (mut machine, mut now) = (candidate(), seconds(0));
    machine.fence(Fencing::None);
    next(&mut machine, &mut now);
    machine.read(now, None);
    let Action::Put(lease) = next(&mut machine, &mut now) else {
        panic!("a missing lease is written");
    };
    machine.written(now, 1);
    assert_eq!(next(&mut machine, &mut now), Action::Read);
    let mut lost = machine.clone();
    lost.read(now, Some((lease_of(Some(OTHER), 7), 2)));
    assert!(!lost.leads(now));
    machine.read(now, Some((lease, 1)));
    assert!(machine.leads(now));
    assert_eq!(next(&mut machine, &mut now), Action::Read);
    machine.read(now, Some((lease_of(Some(OTHER), 8), 3)));
    assert!(!machine.leads(now));
    assert_eq!(machine.leader(), Some((OTHER, 4)));
}

#[test]
fn the_lease_is_not_written_more_often_than_its_pace() {
    let (mut machine, mut now) = (candidate(), seconds(0));
    next(&mut machine, &mut now);
    machine.read(now, None);
    let mut last = None;
    for _ in 0..50 {
        match next(&mut machine, &mut now) {
            Action::Read => machine.read(now, None),
            _ => {
                if let Some(last) = last.replace(now) {
                    assert!(now - last >= PERIOD / 10, "{:?}", now - last);
                }
                machine.failed(now);
            }
        }
    }
    assert!(last.is_some());
}

#[test]
fn a_leader_that_was_overtaken_follows() {
    let (mut machine, mut now) = (candidate(), seconds(0));
    next(&mut machine, &mut now);
    machine.read(now, None);
    next(&mut machine, &mut now);
    machine.written(now, 1);
    assert!(matches!(next(&mut machine, &mut now), Action::Replace(..)));
    machine.failed(now);
    assert_eq!(next(&mut machine, &mut now), Action::Read);
    machine.read(now, Some((lease_of(Some(OTHER), 7), 9)));
    assert!(!machine.leads(now));
    assert_eq!(machine.leader(), Some((OTHER, 4)));
}

#[test]
fn the_highest_term_stops_nobody() {
    let (mut machine, mut now) = (candidate(), seconds(0));
    next(&mut machine, &mut now);
    let vacant = Lease {
        term: u64::MAX,
        ..lease_of(None, 1)
    };
    machine.read(now, Some((vacant, 1)));
    let claimed = next(&mut machine, &mut now);
    assert!(matches!(claimed, Action::Replace(lease, 1) if lease.term == u64::MAX));
    machine.written(now, 2);
    assert!(machine.leads(now));
}
