//! How targets go and come back.

use keelgate_entities::kinds::Algorithm;

use super::{ALGORITHMS, checked, index, pick, three, upstream};
use crate::{Health, Outcome};

#[test]
fn failures_in_a_row_take_a_target_out_for_every_algorithm() {
    for algorithm in ALGORITHMS {
        let balancer = three(&checked(algorithm));
        let b = index(&balancer, "b.test:80");
        assert_eq!(balancer.report(b, Outcome::Status(500)), None);
        assert_eq!(
            balancer.report(b, Outcome::Status(503)),
            Some(Health::Unhealthy)
        );
        for random in 0..50 {
            let picked = pick(&balancer, Some(random), &[], random).unwrap();
            assert_ne!(picked, "b.test:80", "{algorithm:?}");
        }
    }
}

#[test]
fn nothing_is_picked_when_all_are_out() {
    for algorithm in ALGORITHMS {
        let balancer = three(&checked(algorithm));
        for peer in balancer.peers() {
            balancer.report(peer.index, Outcome::TcpFailure);
            balancer.report(peer.index, Outcome::TcpFailure);
        }
        assert_eq!(pick(&balancer, Some(1), &[], 1), None, "{algorithm:?}");
        assert!(!balancer.is_healthy());
    }
}

#[test]
fn statuses_that_are_not_listed_do_not_count() {
    let balancer = three(&checked(Algorithm::RoundRobin));
    let a = index(&balancer, "a.test:80");
    for _ in 0..10 {
        assert_eq!(balancer.report(a, Outcome::Status(502)), None);
    }
    assert_eq!(balancer.peer(a).unwrap().health, Health::Healthy);
}

#[test]
fn probes_have_limits_of_their_own() {
    let mut upstream = checked(Algorithm::RoundRobin);
    upstream.healthchecks.active.unhealthy.timeouts = 1;
    upstream.healthchecks.active.healthy.successes = 1;
    upstream.healthchecks.active.healthy.http_statuses = vec![204];
    let balancer = three(&upstream);
    let a = index(&balancer, "a.test:80");
    assert_eq!(
        balancer.probed(a, Outcome::Timeout),
        Some(Health::Unhealthy)
    );
    assert_eq!(
        balancer.probed(a, Outcome::Status(204)),
        Some(Health::Healthy)
    );
    assert_eq!(balancer.probed(a, Outcome::Connected), None);
}

#[test]
fn a_limit_of_zero_switches_a_check_off() {
    let mut upstream = checked(Algorithm::RoundRobin);
    upstream.healthchecks.passive.unhealthy.timeouts = 0;
    let balancer = three(&upstream);
    let a = index(&balancer, "a.test:80");
    for _ in 0..10 {
        assert_eq!(balancer.report(a, Outcome::Timeout), None);
    }
}

#[test]
fn without_checks_nothing_takes_a_target_out() {
    let balancer = three(&upstream(Algorithm::RoundRobin));
    let a = index(&balancer, "a.test:80");
    for _ in 0..10 {
        assert_eq!(balancer.report(a, Outcome::TcpFailure), None);
    }
    let health = balancer.peer(a).unwrap().health;
    assert_eq!(health.as_str(), "HEALTHCHECKS_OFF");
}

#[test]
fn below_the_threshold_the_whole_upstream_is_out() {
    let mut upstream = checked(Algorithm::RoundRobin);
    upstream.healthchecks.threshold = 50.0;
    let balancer = three(&upstream);
    let (a, b) = (index(&balancer, "a.test:80"), index(&balancer, "b.test:80"));
    balancer.set_healthy(a, false);
    assert!(balancer.is_healthy());
    assert_eq!(balancer.set_healthy(b, false), Some(Health::Unhealthy));
    assert!(!balancer.is_healthy());
    assert_eq!(pick(&balancer, None, &[], 0), None);
    assert_eq!(balancer.set_healthy(b, true), Some(Health::Healthy));
    assert!(balancer.is_healthy());
}

#[test]
fn checks_of_connections_take_any_answer_for_a_success() {
    let mut upstream = checked(Algorithm::RoundRobin);
    upstream.healthchecks.passive.r#type = Some("tcp".into());
    let balancer = three(&upstream);
    let a = index(&balancer, "a.test:80");
    for _ in 0..10 {
        assert_eq!(balancer.report(a, Outcome::Status(500)), None);
    }
    balancer.report(a, Outcome::TcpFailure);
    let out = balancer.report(a, Outcome::TcpFailure);
    assert_eq!(out, Some(Health::Unhealthy));
    balancer.report(a, Outcome::Status(500));
    let back = balancer.report(a, Outcome::Status(500));
    assert_eq!(back, Some(Health::Healthy));
}

#[test]
fn an_answer_that_is_no_http_is_a_failure_of_http() {
    let mut upstream = checked(Algorithm::RoundRobin);
    upstream.healthchecks.active.unhealthy.http_failures = 1;
    let balancer = three(&upstream);
    let a = index(&balancer, "a.test:80");
    let out = balancer.probed(a, Outcome::Garbage);
    assert_eq!(out, Some(Health::Unhealthy));
}

#[test]
fn a_status_of_the_gateway_itself_counts_where_it_is_listed_and_is_never_a_success() {
    let mut upstream = checked(Algorithm::RoundRobin);
    let passive = &mut upstream.healthchecks.passive;
    passive.unhealthy.http_statuses = vec![502];
    passive.unhealthy.http_failures = 1;
    passive.healthy.http_statuses = vec![200, 504];
    passive.healthy.successes = 1;
    let balancer = three(&upstream);
    let a = index(&balancer, "a.test:80");
    let out = balancer.report(a, Outcome::Failed(502));
    assert_eq!(out, Some(Health::Unhealthy));
    assert_eq!(balancer.report(a, Outcome::Failed(504)), None);
}
