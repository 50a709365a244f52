//! When publishers write.

use std::collections::BTreeMap;
use std::time::Duration;

use keelgate_fallback::{ErrorKind, PublishSettings, PublisherSettings, PublisherState};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::cluster::{Cluster, settings, stored, until};
use crate::memory::{Conditions, Memory, Write};

fn of<'a>(writes: &'a [Write], key: &str) -> Vec<&'a Write> {
    writes.iter().filter(|write| write.key == key).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_change_is_stored_at_once_and_then_the_newest_of_each_delay() {
    let (memory, cluster) = (Memory::new("memory"), Cluster::new());
    let (sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    let publisher = cluster.publisher_with(&settings(), &memory.storage(), &snapshots);
    let status = &publisher.statuses()[0];
    until(status, stored(1)).await;
    sleep(Duration::from_secs(30)).await;
    let start = Instant::now();
    for (pause, revision) in [(0, 2), (1, 3), (1, 4), (1, 5)] {
        sleep(Duration::from_secs(pause)).await;
        sender.send_replace(Some(cluster.snapshot(revision)));
        if revision == 2 {
            until(status, stored(2)).await;
            assert!(
                start.elapsed() < Duration::from_millis(100),
                "{:?}",
                start.elapsed()
            );
        }
    }
    until(status, stored(5)).await;
    let passed = start.elapsed().as_millis();
    assert!(
        (5000..5100).contains(&passed),
        "{passed} ms after the first change"
    );
    publisher.stop().await;
    let kept = memory.keys();
    let has = |revision| {
        kept.iter()
            .any(|key| key.contains(&format!("/1-{revision}-")))
    };
    assert!(has(2) && has(5) && !has(3) && !has(4), "{kept:?}");
}

#[tokio::test(start_paused = true)]
async fn no_object_is_written_more_often_than_once_a_second() {
    for conditions in [Conditions::Kept, Conditions::Ignored] {
        let (memory, cluster) = (Memory::with(conditions), Cluster::new());
        let (sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
        let hasty = || PublisherSettings {
            pace: PublishSettings {
                delay: Duration::ZERO,
                ..PublishSettings::default()
            },
            ..settings()
        };
        let publishers: Vec<_> = (0..3)
            .map(|_| cluster.publisher_with(&hasty(), &memory.storage(), &snapshots))
            .collect();
        for revision in 2..=300 {
            sleep(Duration::from_millis(100)).await;
            if revision % 50 == 0 {
                memory.change(|faults| faults.unanswered = 2);
            }
            sender.send_replace(Some(cluster.snapshot(revision)));
        }
        let statuses = publishers.iter().map(|publisher| {
            let status = publisher.statuses()[0].clone();
            Box::pin(async move { until(&status, stored(300)).await })
        });
        futures_util::future::select_all(statuses).await;
        let mut by_key: BTreeMap<String, Vec<Instant>> = BTreeMap::new();
        for write in memory.writes() {
            // The probe asks a few times in a row, once.
            if !write.key.contains("probe") {
                by_key.entry(write.key).or_default().push(write.at);
            }
        }
        assert!(by_key["0.1.0/config.json"].len() > 20);
        for (key, times) in &by_key {
            let span = (*times.last().unwrap() - times[0]).as_secs_f64();
            let allowed = match key.as_str() {
                // Candidates meet at the lease when it is free.
                "0.1.0/election/lease.json" => span + 4.0,
                _ => span + 1.0,
            };
            assert!(
                times.len() as f64 <= allowed,
                "{key}: {} in {span} s",
                times.len()
            );
        }
        for publisher in publishers {
            publisher.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_asks_for_time_is_given_it_and_then_the_newest() {
    let (memory, cluster) = (Memory::new("memory"), Cluster::new());
    let (sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    let lasting = PublisherSettings {
        lease: Duration::from_secs(600),
        ..settings()
    };
    let publisher = cluster.publisher_with(&lasting, &memory.storage(), &snapshots);
    let status = &publisher.statuses()[0];
    until(status, stored(1)).await;
    sleep(Duration::from_secs(10)).await;
    let before = memory.requests().len();
    let asked = Duration::from_secs(3);
    memory.change(|faults| faults.away = Some((ErrorKind::Throttled, Some(asked))));
    sender.send_replace(Some(cluster.snapshot(2)));
    until(status, |status| status.state == PublisherState::Retrying).await;
    sender.send_replace(Some(cluster.snapshot(3)));
    sleep(Duration::from_secs(60)).await;
    let requests = memory.requests();
    let documents: Vec<_> = requests[before..]
        .iter()
        .filter(|request| !request.key.contains("election"))
        .collect();
    assert!(documents.len() > 4, "{documents:?}");
    for pair in documents.windows(2) {
        assert!(pair[1].at - pair[0].at >= asked, "{documents:?}");
    }
    memory.change(|faults| faults.away = None);
    let seen = until(status, stored(3)).await;
    assert!(seen.failures["throttled"] > 0, "{:?}", seen.failures);
    publisher.stop().await;
    assert!(!memory.keys().iter().any(|key| key.contains("/1-2-")));
}

#[tokio::test(start_paused = true)]
async fn registering_files_are_refreshed_and_removed_and_those_of_dead_nodes_cleared_away() {
    let (memory, cluster) = (Memory::new("memory"), Cluster::new());
    let (_sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    let node = settings();
    let own = format!("0.1.0/election/{}", node.node_id);
    let dead = format!("0.1.0/election/{}", Uuid::from_u128(9));
    let left_over = format!("0.1.0/election/probe-{}-1", Uuid::from_u128(9));
    let foreign = "0.1.0/election/notes.txt";
    for key in [dead.as_str(), &left_over, foreign] {
        memory.set(key, "{}");
    }
    let publisher = cluster.publisher_with(&node, &memory.storage(), &snapshots);
    until(&publisher.statuses()[0], stored(1)).await;
    sleep(Duration::from_secs(2400)).await;
    assert!(memory.keys().contains(&dead), "not at once");
    sleep(Duration::from_secs(3600)).await;
    let keys = memory.keys();
    assert!(
        !keys.contains(&dead) && !keys.contains(&left_over),
        "{keys:?}"
    );
    assert!(
        keys.contains(&own) && keys.contains(&foreign.to_owned()),
        "{keys:?}"
    );
    let writes = memory.writes();
    let refreshed = of(&writes, &own).len();
    assert!(
        (20..=30).contains(&refreshed),
        "{refreshed} times in two hours"
    );
    publisher.stop().await;
    assert!(!memory.keys().contains(&own));
}
