//! Backup nodes under a storm of SIGKILL, SIGSTOP and SIGCONT while the configuration changes all the
//! time: the storage ends at the newest snapshot, and no reader ever goes back.

use std::time::Duration;

use e2e::reader::Choice;
use e2e::s3::{Behaviour, Proxy, Server};
use e2e::storm::{Length, Plan, storm};
use e2e::{Cluster, Storage};

const STRIKES: Length = Length::Strikes(12);

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
    assert_eq!(outcome.fencing, "compare");
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
    assert_eq!(outcome.fencing, "none");
    assert!(outcome.sightings.chosen.len() > 2, "{outcome:?}");
}

/// The long suite: this long, with this seed.
fn long(choice: Choice) -> Plan {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seconds = number("KEELGATE_STORM_SECONDS").unwrap_or(180);
    Plan {
        seed: number("KEELGATE_STORM_SEED").unwrap_or_else(|| fastrand::u64(..)),
        length: Length::Time(Duration::from_secs(seconds)),
        choice,
    }
}

#[expect(clippy::print_stdout, reason = "what the long suite is run for")]
async fn minutes_over(storage: Storage, choice: Choice) {
    let location = storage.url.clone();
    let cluster = Cluster::new().await.and_storage(storage);
    let plan = long(choice);
    println!("{location}: {plan:?}");
    let outcome = storm(&cluster, plan).await;
    let seen = &outcome.sightings;
    println!(
        "{location}: {} kills, {} pauses, {} changes, {} terms of leaders; {} looks saw {} snapshots in order, config.json went back {} times; fencing {}",
        outcome.kills,
        outcome.pauses,
        outcome.changes,
        outcome.terms,
        seen.looks,
        seen.chosen.len(),
        seen.relapses,
        outcome.fencing,
    );
    if choice == Choice::Config {
        assert_eq!(outcome.fencing, "compare");
        assert_eq!(seen.relapses, 0, "{outcome:?}");
    } else {
        assert_eq!(outcome.fencing, "none");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: cargo xtask long"]
async fn minutes_of_storm_over_s3_end_at_the_newest_snapshot() {
    minutes_over(Storage::s3(), Choice::Config).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: cargo xtask long"]
async fn minutes_of_storm_over_unfenced_s3_end_at_the_newest_snapshot() {
    let server = Server::under_test();
    let proxy = Proxy::start(server.clone(), Behaviour::IgnoresConditions).await;
    minutes_over(Storage::on(&server).behind(&proxy), Choice::Newest).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: cargo xtask long"]
async fn minutes_of_storm_over_gcs_end_at_the_newest_snapshot() {
    minutes_over(Storage::gcs(), Choice::Config).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: cargo xtask long"]
async fn minutes_of_storm_over_azure_end_at_the_newest_snapshot() {
    minutes_over(Storage::azure(), Choice::Config).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: cargo xtask long"]
async fn minutes_of_storm_over_directory_end_at_the_newest_snapshot() {
    let directory = tempfile::tempdir().expect("make a directory");
    let storage = Storage::directory(directory.path().join("backup"));
    minutes_over(storage, Choice::Config).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: cargo xtask long"]
async fn minutes_of_storm_over_garage_end_at_the_newest_snapshot() {
    minutes_over(Storage::garage(), Choice::Newest).await;
}
