//! A simulated upstream whose targets come and go, with probes and traffic: no clock, no network.

use std::time::Duration;

use keelgate_entities::kinds::Algorithm;
use proptest::prelude::*;

use super::{checked, index, targets};
use crate::{Balancer, Health, Outcome, Pick};

const NAMES: [&str; 4] = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"];

/// What happens in one step.
#[derive(Clone, Debug)]
enum Event {
    /// A target dies or returns.
    Flip(usize),
    /// Every target is probed once.
    Probe,
    /// A request, with as many attempts as there are targets.
    Request(u64),
    /// The same configuration is served anew.
    Swap,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => (0..NAMES.len()).prop_map(Event::Flip),
        3 => Just(Event::Probe),
        6 => any::<u64>().prop_map(Event::Request),
        1 => Just(Event::Swap),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After two rounds of probes the balancer knows the truth, whatever happened before; and no
    /// request is refused while a living target has not been taken out.
    #[test]
    fn probes_find_the_truth_and_requests_the_living(
        events in proptest::collection::vec(event(), 1..200),
        algorithm in proptest::sample::select(vec![
            Algorithm::RoundRobin,
            Algorithm::ConsistentHashing,
            Algorithm::LeastConnections,
            Algorithm::Latency,
        ]),
    ) {
        let mut upstream = checked(algorithm);
        let active = &mut upstream.healthchecks.active;
        active.healthy.http_statuses = vec![200];
        active.healthy.successes = 2;
        active.unhealthy.tcp_failures = 2;
        let list = targets(&NAMES.map(|name| (name, 100)));
        let mut balancer = Balancer::compile(&upstream, &list).unwrap();
        let mut alive = [true; NAMES.len()];
        let mut settled = 0;
        for (step, event) in events.into_iter().enumerate() {
            match event {
                Event::Flip(n) => {
                    alive[n] = !alive[n];
                    settled = 0;
                }
                Event::Probe => {
                    for (n, name) in NAMES.iter().enumerate() {
                        let outcome = if alive[n] { Outcome::Status(200) } else { Outcome::TcpFailure };
                        balancer.probed(index(&balancer, name), outcome);
                    }
                    settled += 1;
                }
                Event::Request(random) => {
                    let mut tried = Vec::new();
                    let mut answered = false;
                    let up = |n: usize| {
                        let index = index(&balancer, NAMES[n]);
                        balancer.peer(index).unwrap().health != Health::Unhealthy
                    };
                    let possible = (0..NAMES.len()).any(|n| alive[n] && up(n));
                    for _ in NAMES {
                        let pick = Pick {
                            hash: Some(random),
                            tried: &tried,
                            random,
                            now: Duration::from_secs(step as u64),
                        };
                        let Some(peer) = balancer.pick(&pick) else { break };
                        prop_assert!(!tried.contains(&peer) || !possible);
                        let n = NAMES
                            .iter()
                            .position(|name| index(&balancer, name) == peer)
                            .unwrap();
                        if alive[n] {
                            balancer.report(peer, Outcome::Status(200));
                            answered = true;
                            break;
                        }
                        balancer.report(peer, Outcome::TcpFailure);
                        tried.push(peer);
                    }
                    prop_assert_eq!(answered, possible);
                }
                Event::Swap => {
                    balancer = Balancer::compile_from(&upstream, &list, &balancer).unwrap();
                }
            }
            if settled >= 2 {
                for (n, name) in NAMES.iter().enumerate() {
                    let health = balancer.peer(index(&balancer, name)).unwrap().health;
                    let truth = if alive[n] { Health::Healthy } else { Health::Unhealthy };
                    prop_assert_eq!(health, truth);
                }
                prop_assert_eq!(balancer.is_healthy(), alive.contains(&true));
            }
        }
    }

    /// A target that fails one probe in `every` is never out with a limit of two in a row.
    #[test]
    fn single_failures_never_take_a_target_out(every in 2_usize..10, rounds in 1_usize..100) {
        let mut upstream = checked(Algorithm::RoundRobin);
        let active = &mut upstream.healthchecks.active;
        active.healthy.http_statuses = vec![200];
        active.healthy.successes = 1;
        active.unhealthy.tcp_failures = 2;
        let balancer = Balancer::compile(&upstream, &targets(&[(NAMES[0], 100)])).unwrap();
        let peer = index(&balancer, NAMES[0]);
        for round in 0..rounds {
            let outcome = if round % every == 0 { Outcome::TcpFailure } else { Outcome::Status(200) };
            balancer.probed(peer, outcome);
            prop_assert_eq!(balancer.peer(peer).unwrap().health, Health::Healthy);
        }
    }

    /// Shares follow weights for every algorithm that spreads by itself.
    #[test]
    fn shares_follow_weights(
        weights in proptest::collection::vec(1_u32..10, 2..6),
        seed in any::<u64>(),
    ) {
        let names: Vec<String> = (1..=weights.len()).map(|n| format!("10.0.0.{n}:80")).collect();
        let list: Vec<(&str, u32)> =
            names.iter().map(String::as_str).zip(weights.iter().copied()).collect();
        let total: u32 = weights.iter().sum();
        for algorithm in [Algorithm::RoundRobin, Algorithm::ConsistentHashing] {
            let mut upstream = super::upstream(algorithm);
            upstream.slots = 10_000;
            let balancer = Balancer::compile(&upstream, &targets(&list)).unwrap();
            let picks = 200 * total;
            let mut counts = vec![0_u32; weights.len()];
            for n in 0..picks {
                // Hashes of keys, which fall anywhere.
                let hash = xxhash_rust::xxh3::xxh3_64(&(seed ^ u64::from(n)).to_le_bytes());
                let pick = Pick { hash: Some(hash), tried: &[], random: seed, now: Duration::ZERO };
                let peer = balancer.pick(&pick).unwrap();
                let own = names.iter().position(|name| index(&balancer, name) == peer).unwrap();
                counts[own] += 1;
            }
            for (count, weight) in counts.iter().zip(&weights) {
                let fair = 200.0 * f64::from(*weight);
                let allowed = match algorithm {
                    Algorithm::RoundRobin => 0.0,
                    // Keys and slots fall by chance.
                    _ => 6.0 * fair.sqrt() + 0.1 * fair,
                };
                prop_assert!((f64::from(*count) - fair).abs() <= allowed, "{:?} {:?}", counts, weights);
            }
        }
    }
}
