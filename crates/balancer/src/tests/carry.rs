//! What survives a change of the configuration.

use std::time::Duration;

use keelgate_entities::kinds::Algorithm;

use super::{checked, index, known, pick, targets, three, upstream};
use crate::{Balancer, Health, Outcome};

#[test]
fn health_and_counts_follow_the_address() {
    let upstream = checked(Algorithm::RoundRobin);
    let old = three(&upstream);
    old.set_healthy(index(&old, "b.test:80"), false);
    old.report(index(&old, "c.test:80"), Outcome::TcpFailure);

    let list = targets(&[("c.test:80", 5), ("d.test:80", 5), ("b.test:80", 7)]);
    let new = known(Balancer::compile_from(&upstream, &list, &old).unwrap());
    let health = |name| new.peer(index(&new, name)).unwrap().health;
    assert_eq!(health("b.test:80"), Health::Unhealthy);
    assert_eq!(health("d.test:80"), Health::Healthy);
    let changed = new.report(index(&new, "c.test:80"), Outcome::TcpFailure);
    assert_eq!(changed, Some(Health::Unhealthy));
}

#[test]
fn what_old_requests_learn_reaches_the_new_balancer() {
    let mut upstream = checked(Algorithm::LeastConnections);
    upstream.healthchecks.threshold = 70.0;
    let old = three(&upstream);
    let open = old.open(index(&old, "a.test:80")).unwrap();
    let list = targets(&[("a.test:80", 1), ("b.test:80", 1), ("c.test:80", 1)]);
    let new = known(Balancer::compile_from(&upstream, &list, &old).unwrap());
    assert!(new.is_healthy());
    assert_eq!(new.peer(index(&new, "a.test:80")).unwrap().open, 1);
    drop(open);
    assert_eq!(new.peer(index(&new, "a.test:80")).unwrap().open, 0);
    old.set_healthy(index(&old, "a.test:80"), false);
    assert!(!new.is_healthy());
}

#[test]
fn latencies_survive() {
    let upstream = upstream(Algorithm::Latency);
    let old = three(&upstream);
    for (name, latency) in [("a.test:80", 50), ("b.test:80", 10), ("c.test:80", 90)] {
        let open = old.open(index(&old, name)).unwrap();
        open.answered(Duration::from_millis(latency), Duration::from_secs(1));
    }
    let list = targets(&[("a.test:80", 1), ("b.test:80", 1), ("c.test:80", 1)]);
    let new = known(Balancer::compile_from(&upstream, &list, &old).unwrap());
    for random in 0..9 {
        assert_eq!(pick(&new, None, &[], random).as_deref(), Some("b.test:80"));
    }
}

#[test]
fn turns_go_on_where_they_were() {
    let upstream = upstream(Algorithm::RoundRobin);
    let list = targets(&[("a.test:80", 1), ("b.test:80", 1), ("c.test:80", 1)]);
    let mut balancer = three(&upstream);
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..3 {
        names.insert(pick(&balancer, None, &[], 0));
        balancer = Balancer::compile_from(&upstream, &list, &balancer).unwrap();
    }
    assert_eq!(names.len(), 3);
}
