//! Which target is chosen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use keelgate_entities::kinds::{Algorithm, HashOn};
use proptest::prelude::*;

use super::{ALGORITHMS, Tenant, checked, index, known, pick, targets, three, upstream};
use crate::{Balancer, PeerIndex, Pick};

#[test]
fn round_robin_is_exact_by_weight() {
    let targets = targets(&[("a.test:80", 300), ("b.test:80", 100), ("c.test:80", 0)]);
    let balancer = known(Balancer::compile(&upstream(Algorithm::RoundRobin), &targets).unwrap());
    let mut counts = BTreeMap::new();
    for random in 0..400 {
        *counts
            .entry(pick(&balancer, None, &[], random).unwrap())
            .or_insert(0) += 1;
    }
    let expected = [("a.test:80".to_owned(), 300), ("b.test:80".to_owned(), 100)];
    assert_eq!(counts, BTreeMap::from(expected));
}

#[test]
fn balancers_that_begin_at_once_do_not_begin_in_step() {
    let firsts: BTreeSet<_> = (0..50)
        .map(|random| pick(&three(&upstream(Algorithm::RoundRobin)), None, &[], random))
        .collect();
    assert_eq!(firsts.len(), 3);
}

#[test]
fn tried_targets_are_taken_again_only_when_there_is_no_other() {
    for algorithm in ALGORITHMS {
        let balancer = three(&upstream(algorithm));
        let all: Vec<PeerIndex> = balancer.peers().map(|peer| peer.index).collect();
        for random in 0..20 {
            let picked = pick(&balancer, Some(random), &all[..2], random);
            assert_eq!(picked.as_deref(), Some("c.test:80"), "{algorithm:?}");
        }
        assert!(pick(&balancer, Some(1), &all, 1).is_some(), "{algorithm:?}");
    }
}

#[test]
fn a_retry_of_a_hashed_request_always_takes_the_same_other_target() {
    let balancer = three(&upstream(Algorithm::ConsistentHashing));
    let first = index(&balancer, &pick(&balancer, Some(42), &[], 0).unwrap());
    let second: BTreeSet<_> = (0..20)
        .map(|random| pick(&balancer, Some(42), &[first], random))
        .collect();
    assert_eq!(second.len(), 1);
}

#[test]
fn a_hash_keeps_its_target_and_the_others_keep_theirs_when_one_leaves() {
    let upstream = upstream(Algorithm::ConsistentHashing);
    let before = three(&upstream);
    let rest = targets(&[("c.test:80", 100), ("a.test:80", 100)]);
    let after = known(Balancer::compile(&upstream, &rest).unwrap());
    for hash in (0..2000).map(|n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15)) {
        let was = pick(&before, Some(hash), &[], 0).unwrap();
        let is = pick(&after, Some(hash), &[], 9).unwrap();
        assert!(was == is || was == "b.test:80", "{was} became {is}");
    }
}

#[test]
fn the_hash_is_that_of_the_first_attribute_or_the_fallback() {
    let mut upstream = upstream(Algorithm::ConsistentHashing);
    upstream.hash_on = HashOn::Header;
    upstream.hash_on_header = Some("Tenant".into());
    let balancer = three(&upstream);
    let hash = |tenant| balancer.hash(&Tenant(tenant), 0).map(|hashed| hashed.hash);
    assert_eq!(hash(Some("x")), hash(Some("x")));
    assert_ne!(hash(Some("x")), hash(Some("y")));
    assert_eq!(hash(None), None);

    upstream.hash_fallback = HashOn::Ip;
    let balancer = three(&upstream);
    let hash = |tenant| balancer.hash(&Tenant(tenant), 0).map(|hashed| hashed.hash);
    assert_eq!(hash(None), hash(Some("10.0.0.1")));
}

#[test]
fn hashes_are_the_same_everywhere() {
    let mut upstream = upstream(Algorithm::ConsistentHashing);
    upstream.hash_on = HashOn::Path;
    let hashed = three(&upstream).hash(&Tenant(None), 0).unwrap();
    // XXH3 (64 bits, seed 0) of "/".
    assert_eq!(hashed.hash, 5_134_827_694_651_168_302);
    let balancer = three(&upstream);
    let picks: String = (0..24)
        .map(|hash| pick(&balancer, Some(hash), &[], 0).unwrap().remove(0))
        .collect();
    assert_eq!(picks, "aacbccbbcbbbbacccaccbbab");
}

#[test]
fn a_client_without_the_cookie_gets_one_that_leads_back() {
    let mut upstream = upstream(Algorithm::ConsistentHashing);
    upstream.hash_on = HashOn::Cookie;
    upstream.hash_on_cookie = Some("sticky".into());
    let balancer = three(&upstream);
    let hashed = balancer.hash(&Tenant(None), 5).unwrap();
    let cookie = hashed.cookie.unwrap();
    assert_eq!((&*cookie.name, &*cookie.path), ("sticky", "/"));
    assert_eq!(cookie.value.get_version_num(), 4);
    let value = cookie.value.to_string();
    assert_eq!(hashed.hash, xxhash_rust::xxh3::xxh3_64(value.as_bytes()));
}

#[test]
fn requests_without_anything_to_hash_are_spread() {
    let balancer = three(&upstream(Algorithm::ConsistentHashing));
    let picked: BTreeSet<_> = (0..100)
        .map(|random| pick(&balancer, None, &[], random))
        .collect();
    assert_eq!(picked.len(), 3);
}

#[test]
fn the_target_with_the_fewest_open_requests_is_taken() {
    let balancer = three(&upstream(Algorithm::LeastConnections));
    let mut open = Vec::new();
    for random in 0..30 {
        let picked = index(&balancer, &pick(&balancer, None, &[], random).unwrap());
        open.push(balancer.open(picked).unwrap());
    }
    assert!(balancer.peers().all(|peer| peer.open == 10));
    open.clear();
    assert!(balancer.peers().all(|peer| peer.open == 0));
}

#[test]
fn the_fastest_target_is_taken_until_it_slows_down() {
    let balancer = three(&upstream(Algorithm::Latency));
    let now = Duration::from_secs(1);
    for (name, latency) in [("a.test:80", 50), ("b.test:80", 10), ("c.test:80", 90)] {
        let open = balancer.open(index(&balancer, name)).unwrap();
        open.answered(Duration::from_millis(latency), now);
    }
    assert_eq!(pick(&balancer, None, &[], 3).as_deref(), Some("b.test:80"));
    let open = balancer.open(index(&balancer, "b.test:80")).unwrap();
    for second in 1..30 {
        open.answered(
            Duration::from_millis(500),
            now + Duration::from_secs(second),
        );
    }
    let picked = balancer.pick(&Pick {
        hash: None,
        tried: &[],
        random: 0,
        now: Duration::from_secs(30),
    });
    assert_eq!(picked, Some(index(&balancer, "a.test:80")));
}

#[test]
fn an_upstream_without_weight_has_no_target() {
    for algorithm in ALGORITHMS {
        for list in [&[][..], &[("a.test:80", 0)][..]] {
            let balancer = known(Balancer::compile(&upstream(algorithm), &targets(list)).unwrap());
            assert_eq!(pick(&balancer, Some(1), &[], 1), None, "{algorithm:?}");
            assert!(!balancer.is_healthy());
        }
    }
}

#[test]
fn a_bad_target_is_told_with_its_upstream() {
    let bad = targets(&[("a b", 1)]);
    let error = Balancer::compile(&upstream(Algorithm::RoundRobin), &bad).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("upstream orders, target 00000000-"),
        "{text}"
    );
    assert!(text.contains("\"a b\""), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_pick_is_available_and_fresh_if_any_target_is(
        algorithm in proptest::sample::select(&ALGORITHMS[..]),
        states in proptest::collection::vec((0_u32..3, any::<bool>(), any::<bool>()), 1..7),
        hash in any::<u64>(),
        random in any::<u64>(),
    ) {
        let names: Vec<String> = (0..states.len()).map(|n| format!("10.0.0.{n}:80")).collect();
        let list: Vec<_> = names.iter().zip(&states).map(|(n, s)| (n.as_str(), s.0)).collect();
        let balancer = Balancer::compile(&checked(algorithm), &targets(&list)).unwrap();
        let all: Vec<PeerIndex> = balancer.peers().map(|peer| peer.index).collect();
        let mut tried = Vec::new();
        for (&(_, up, was_tried), &index) in states.iter().zip(&all) {
            balancer.set_healthy(index, up);
            if was_tried {
                tried.push(index);
            }
        }
        let available = |n: usize| states[n].0 > 0 && states[n].1;
        let picked = balancer.pick(&Pick { hash: Some(hash), tried: &tried, random, now: Duration::ZERO });
        match picked.and_then(|picked| all.iter().position(|own| *own == picked)) {
            None => prop_assert!(!(0..states.len()).any(available)),
            Some(n) => {
                prop_assert!(available(n));
                let fresh = |n: usize| available(n) && !states[n].2;
                prop_assert!(fresh(n) || !(0..states.len()).any(fresh));
            }
        }
    }
}
