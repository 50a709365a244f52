//! What names stand for, and what happens when that changes.

use std::collections::BTreeMap;
use std::time::Duration;

use keelgate_entities::kinds::{Algorithm, Upstream};

use super::{ALGORITHMS, checked, found, index, pick, targets, three, upstream};
use crate::{Balancer, Endpoint, Health, PeerIndex, Pick, Record, Resolution, Weight};

fn of_names(upstream: &Upstream, list: &[(&str, u32)]) -> Balancer {
    Balancer::compile(upstream, &targets(list)).unwrap()
}

/// After the nth target's name was resolved.
fn after(balancer: &Balancer, n: usize, resolution: Resolution) -> Balancer {
    let target = balancer.targets().nth(n).unwrap().index;
    balancer.resolved(&[(target, resolution)])
}

/// How often each address is picked.
fn spread(balancer: &Balancer, picks: u64) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for random in 0..picks {
        let picked = balancer.pick(&Pick {
            hash: None,
            tried: &[],
            random,
            now: Duration::ZERO,
        });
        let address = balancer.peer(picked.unwrap()).unwrap().address;
        *counts.entry(address.to_string()).or_insert(0) += 1;
    }
    counts
}

fn counts(list: &[(&str, u32)]) -> BTreeMap<String, u32> {
    let list = list.iter();
    list.map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

#[test]
fn a_name_without_an_answer_is_pending_and_has_no_peer() {
    let pending = of_names(&upstream(Algorithm::RoundRobin), &[("a.test:80", 1)]);
    assert!(pending.is_pending());
    assert_eq!(pick(&pending, None, &[], 1), None);
    let failed = after(&pending, 0, Resolution::Failed("no such name".into()));
    assert!(!failed.is_pending());
    let view = failed.targets().next().unwrap();
    assert_eq!(view.health, Health::Unavailable);
    assert_eq!(view.health.as_str(), "DNS_ERROR");
    assert!(!of_names(&upstream(Algorithm::Latency), &[("10.0.0.1:80", 1)]).is_pending());
}

#[test]
fn a_name_that_does_not_resolve_is_passed_over() {
    for algorithm in ALGORITHMS {
        let balancer = after(
            &three(&upstream(algorithm)),
            0,
            Resolution::Failed("no such name".into()),
        );
        for random in 0..30 {
            let picked = pick(&balancer, Some(random), &[], random).unwrap();
            assert_ne!(picked, "a.test:80", "{algorithm:?}");
        }
    }
}

#[test]
fn every_address_of_a_name_has_the_weight_of_its_target() {
    let list = [("a.test:80", 100), ("10.0.0.9:80", 100)];
    let balancer = of_names(&upstream(Algorithm::RoundRobin), &list);
    let balancer = after(&balancer, 0, found(&[[10, 0, 0, 1], [10, 0, 0, 2]]));
    let even = [
        ("10.0.0.1:80", 100),
        ("10.0.0.2:80", 100),
        ("10.0.0.9:80", 100),
    ];
    assert_eq!(spread(&balancer, 300), counts(&even));
}

#[test]
fn service_records_bring_ports_weights_and_names() {
    let record = |host: u8, port, weight, name: &str| Endpoint {
        ip: [10, 0, 0, host].into(),
        port: Some(port),
        weight: Some(weight),
        name: Some(name.into()),
    };
    let answer = Resolution::Found {
        record: Record::Srv,
        endpoints: [
            record(1, 8001, 3, "one.test"),
            record(2, 8002, 1, "two.test"),
        ]
        .into(),
    };
    let mut upstream = upstream(Algorithm::RoundRobin);
    let pending = of_names(&upstream, &[("a.test:80", 100)]);
    let balancer = after(&pending, 0, answer.clone());
    let shares = [("10.0.0.1:8001", 3), ("10.0.0.2:8002", 1)];
    assert_eq!(spread(&balancer, 4), counts(&shares));
    assert!(balancer.peers().all(|peer| peer.name.is_none()));

    upstream.use_srv_name = true;
    let pending = of_names(&upstream, &[("a.test:80", 100)]);
    let balancer = after(&pending, 0, answer.clone());
    let names: Vec<_> = balancer.peers().filter_map(|peer| peer.name).collect();
    assert_eq!(names, ["one.test", "two.test"]);

    let out = after(&of_names(&upstream, &[("a.test:80", 0)]), 0, answer);
    assert_eq!(pick(&out, None, &[], 1), None);
}

#[test]
fn one_bad_address_does_not_take_its_target_out() {
    let balancer = of_names(&checked(Algorithm::RoundRobin), &[("a.test:80", 10)]);
    let balancer = after(&balancer, 0, found(&[[10, 0, 0, 1], [10, 0, 0, 2]]));
    balancer.set_healthy(index(&balancer, "a.test:80"), false);
    assert_eq!(spread(&balancer, 10), counts(&[("10.0.0.2:80", 10)]));
    let view = balancer.targets().next().unwrap();
    assert_eq!(view.health, Health::Healthy);
    let weight = Weight {
        total: 20,
        available: 10,
    };
    assert_eq!(balancer.weigh(balancer.peers()), weight);
    let other: Vec<PeerIndex> = balancer.peers().map(|peer| peer.index).collect();
    balancer.set_healthy(other[1], false);
    let view = balancer.targets().next().unwrap();
    assert_eq!(view.health, Health::Unhealthy);
}

#[test]
fn addresses_that_stay_keep_their_health_when_others_change() {
    let balancer = of_names(&checked(Algorithm::RoundRobin), &[("a.test:80", 10)]);
    let before = after(&balancer, 0, found(&[[10, 0, 0, 1], [10, 0, 0, 2]]));
    before.set_healthy(index(&before, "a.test:80"), false);
    let open = before.open(index(&before, "a.test:80")).unwrap();
    let now = after(&before, 0, found(&[[10, 0, 0, 1], [10, 0, 0, 3]]));
    let health: Vec<_> = now.peers().map(|peer| (peer.health, peer.open)).collect();
    assert_eq!(health, [(Health::Unhealthy, 1), (Health::Healthy, 0)]);
    drop(open);
    assert!(now.peers().all(|peer| peer.open == 0));
}

#[test]
fn names_stay_resolved_when_the_configuration_changes() {
    let upstream = upstream(Algorithm::ConsistentHashing);
    let before = three(&upstream);
    let list = targets(&[("c.test:80", 7), ("d.test:80", 7), ("c.test:81", 7)]);
    let now = Balancer::compile_from(&upstream, &list, &before).unwrap();
    let pending: Vec<_> = now
        .targets()
        .map(|target| *target.resolution == Resolution::Pending)
        .collect();
    assert_eq!(pending, [false, true, true]);
}

#[test]
fn a_hash_keeps_its_address_when_another_one_of_the_name_leaves() {
    let pending = of_names(
        &upstream(Algorithm::ConsistentHashing),
        &[("a.test:80", 10)],
    );
    let before = after(
        &pending,
        0,
        found(&[[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3]]),
    );
    let now = after(&before, 0, found(&[[10, 0, 0, 1], [10, 0, 0, 3]]));
    let address = |balancer: &Balancer, hash| {
        let picked = balancer.pick(&Pick {
            hash: Some(hash),
            tried: &[],
            random: 0,
            now: Duration::ZERO,
        });
        balancer.peer(picked.unwrap()).unwrap().address.to_string()
    };
    for hash in 0..1000 {
        let (was, is) = (address(&before, hash), address(&now, hash));
        assert!(was == is || was == "10.0.0.2:80", "{was} became {is}");
    }
}
