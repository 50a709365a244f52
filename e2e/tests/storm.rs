//! Backup nodes under a storm of SIGKILL, SIGSTOP and SIGCONT while the configuration changes all the
//! time: the storage ends at the newest snapshot, and no reader ever goes back.

use e2e::reader::Choice;
use e2e::s3::{Behaviour, Proxy, Server};
use e2e::storm::{Length, Plan, storm};
use e2e::{Cluster, Storage};

const STRIKES: Length = Length::Strikes(16);

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_over_s3_ends_at_the_newest_snapshot() {
    let cluster = Cluster::with_s3().await;
    let plan = Plan {
        seed: 7,
        length: STRIKES,
        choice: Choice::Config,
    };
    let outcome = storm(&cluster, plan).await;
    assert!(outcome.sightings.chosen.len() > 2, "{outcome:?}");
    assert_eq!(outcome.sightings.relapses, 0, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_over_a_store_that_ignores_conditions_ends_at_the_newest_snapshot() {
    let server = Server::under_test();
    let proxy = Proxy::start(server.clone(), Behaviour::IgnoresConditions).await;
    let cluster = Cluster::new()
        .await
        .and_storage(Storage::on(&server).behind(&proxy));
    let plan = Plan {
        seed: 11,
        length: STRIKES,
        choice: Choice::Newest,
    };
    let outcome = storm(&cluster, plan).await;
    assert!(proxy.ignored() > 0, "the nodes sent no condition");
    assert!(outcome.sightings.chosen.len() > 2, "{outcome:?}");
}
