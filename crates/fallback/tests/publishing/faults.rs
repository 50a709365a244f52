//! Publishers over storages that fail, lose, and are shared.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use keelgate_fallback::{
    ErrorKind, Fetcher, Layout, Publisher, PublisherSettings, PublisherState, Storage,
};
use tokio::sync::watch;
use tokio::time::sleep;
use uuid::Uuid;

use crate::cluster::{
    Cluster, VERSION, directory, indexed, overwrite, s3, settings, stored, until,
};
use crate::memory::{Conditions, Memory};

#[tokio::test(start_paused = true)]
async fn a_write_that_was_done_and_answered_with_an_error_is_found_by_reading_back() {
    for conditions in [Conditions::Kept, Conditions::Ignored] {
        let (memory, cluster) = (Memory::with(conditions), Cluster::new());
        let (sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
        let publisher = cluster.publisher_with(&settings(), &memory.storage(), &snapshots);
        let status = &publisher.statuses()[0];
        until(status, stored(1)).await;
        for revision in 2..=5 {
            sleep(Duration::from_secs(10)).await;
            memory.change(|faults| faults.unanswered = 3);
            sender.send_replace(Some(cluster.snapshot(revision)));
            until(status, stored(revision)).await;
        }
        let config = "0.1.0/config.json";
        let writes = memory.writes();
        let configs = writes.iter().filter(|write| write.key == config).count();
        assert!(
            configs <= 5,
            "each was written once: {configs} writes of 5 snapshots"
        );
        publisher.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_publishers_with_different_news_the_newest_is_stored_and_no_reader_goes_back() {
    for conditions in [
        Conditions::Kept,
        Conditions::Ignored,
        Conditions::Unsupported,
    ] {
        let (memory, cluster) = (Memory::with(conditions), Cluster::new());
        let (ahead, ahead_snapshots) = watch::channel(None);
        let (behind, behind_snapshots) = watch::channel(None);
        let publishers = [&ahead_snapshots, &behind_snapshots]
            .map(|news| cluster.publisher_with(&settings(), &memory.storage(), news));
        let mut fetcher = cluster.fetcher(&memory.storage());
        let mut served = 0;
        for revision in 1..=200 {
            if revision % 3 != 0 {
                ahead.send_replace(Some(cluster.snapshot(revision)));
            }
            if revision % 3 == 0 {
                behind.send_replace(Some(cluster.snapshot(revision.saturating_sub(5).max(1))));
            }
            if revision % 40 == 0 {
                // Whoever leads loses the lease.
                memory.remove(|key| key.ends_with("lease.json"));
            }
            sleep(Duration::from_millis(700)).await;
            if let Some(candidate) = fetcher.fetch(&HashSet::new()).await.candidate {
                let chosen = candidate.snapshot.identity().revision;
                assert!(chosen >= served, "{conditions:?}: {served}, then {chosen}");
                served = chosen;
            }
        }
        assert!(served > 50, "{conditions:?}: {served}");
        for news in [&ahead, &behind] {
            news.send_replace(Some(cluster.snapshot(201)));
        }
        let statuses = publishers.iter().map(|publisher| {
            let status = publisher.statuses()[0].clone();
            Box::pin(async move { until(&status, stored(201)).await })
        });
        futures_util::future::select_all(statuses).await;
        for publisher in publishers {
            publisher.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn deleted_election_files_cost_nothing_but_an_election() {
    let (memory, cluster) = (Memory::new("memory"), Cluster::new());
    let (sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    let publishers: Vec<_> = (0..3)
        .map(|_| cluster.publisher_with(&settings(), &memory.storage(), &snapshots))
        .collect();
    for revision in 2..=20 {
        sleep(Duration::from_secs(10)).await;
        memory.remove(|key| key.contains("/election/"));
        sender.send_replace(Some(cluster.snapshot(revision)));
    }
    sleep(Duration::from_secs(30)).await;
    let leading = publishers
        .iter()
        .filter(|publisher| publisher.statuses()[0].borrow().leading)
        .count();
    assert_eq!(leading, 1);
    let config = memory.bytes("0.1.0/config.json").unwrap();
    assert_eq!((cluster.verify)(config).unwrap().identity().revision, 20);
    for publisher in publishers {
        publisher.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_to_be_a_lease_stops_no_election() {
    let (memory, cluster) = (Memory::new("memory"), Cluster::new());
    memory.set("0.1.0/election/lease.json", vec![b' '; 5000]);
    let (_sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    let publisher = cluster.publisher_with(&settings(), &memory.storage(), &snapshots);
    let status = until(&publisher.statuses()[0], stored(1)).await;
    assert!(status.leading);
    publisher.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_clears_away_slowly_goes_on_leading() {
    let (memory, cluster) = (Memory::new("memory"), Cluster::new());
    let (_sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    let publisher = cluster.publisher_with(&settings(), &memory.storage(), &snapshots);
    let mut status = publisher.statuses()[0].clone();
    until(&status, stored(1)).await;
    let registering = |key: &str| Uuid::try_parse(key.rsplit('/').next().unwrap()).is_ok();
    for node in 0..40 {
        memory.set(
            &Layout::new(VERSION).registration(Uuid::from_u128(node)),
            "{}",
        );
    }
    memory.change(|faults| faults.slow_delete = Some(Duration::from_secs(2)));
    let lost = status.wait_for(|status| !status.leading);
    let lost = tokio::time::timeout(Duration::from_secs(3600 * 6), lost).await;
    assert!(lost.is_err(), "it lost the lease");
    let left = memory.keys().into_iter().filter(|key| registering(key));
    assert_eq!(left.count(), 1, "its own alone is left");
    publisher.stop().await;
}

async fn two_versions_export_at_once(storage: Arc<dyn Storage>) {
    let cluster = Cluster::new();
    let (sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    let publishers: Vec<_> = [VERSION, "0.2.0"]
        .into_iter()
        .map(|version| {
            let settings = PublisherSettings {
                version: version.into(),
                ..crate::cluster::quick_settings()
            };
            cluster.publisher_with(&settings, &storage, &snapshots)
        })
        .collect();
    for revision in 1..=3 {
        sender.send_replace(Some(cluster.snapshot(revision)));
        for publisher in &publishers {
            until(&publisher.statuses()[0], stored(revision)).await;
        }
    }
    for version in [VERSION, "0.2.0"] {
        indexed(&storage, version).await;
    }
    for publisher in publishers {
        publisher.stop().await;
    }
    for version in [VERSION, "0.2.0"] {
        let verify = Arc::clone(&cluster.verify);
        let mut fetcher = Fetcher::new(Arc::clone(&storage), version, verify);
        let candidate = fetcher.fetch(&HashSet::new()).await.candidate.unwrap();
        assert_eq!(candidate.key, format!("{version}/config.json"));
        assert_eq!(candidate.snapshot.identity().revision, 3);
        assert!(fetcher.fencing().is_some());
    }
}

#[tokio::test]
async fn two_versions_export_at_once_into_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    two_versions_export_at_once(directory(folder.path())).await;
}

#[tokio::test]
async fn two_versions_export_at_once_into_s3() {
    two_versions_export_at_once(s3()).await;
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_is_away_holds_up_no_other_and_is_written_when_it_is_back() {
    let (here, there) = (Memory::new("here"), Memory::new("there"));
    let cluster = Cluster::new();
    there.change(|faults| faults.away = Some((ErrorKind::Unreachable, None)));
    let (sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    let storages = [there.storage(), here.storage()];
    let publisher = Publisher::start(&storages, &settings(), &cluster.verify, None, &snapshots);
    let [away, works] = [0, 1].map(|index| publisher.statuses()[index].clone());
    for revision in 1..=3 {
        sender.send_replace(Some(cluster.snapshot(revision)));
        until(&works, stored(revision)).await;
        sleep(Duration::from_secs(20)).await;
    }
    let seen = away.borrow().clone();
    assert_eq!(seen.state, PublisherState::Retrying);
    assert_eq!(seen.fencing, None);
    assert!(seen.failures["unreachable"] > 1, "{:?}", seen.failures);
    there.change(|faults| faults.away = None);
    until(&away, stored(3)).await;
    publisher.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_cannot_be_written_is_left_out_and_says_so() {
    let (mirror, memory) = (Memory::new("mirror"), Memory::new("memory"));
    mirror.change(|faults| faults.read_only = true);
    let cluster = Cluster::new();
    let (_sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    let storages = [mirror.storage(), memory.storage()];
    let publisher = Publisher::start(&storages, &settings(), &cluster.verify, None, &snapshots);
    until(&publisher.statuses()[1], stored(1)).await;
    let status = publisher.statuses()[0].borrow().clone();
    assert_eq!(status.state, PublisherState::ReadOnly);
    assert!(mirror.requests().is_empty());
    let shown = serde_json::to_value(&status).unwrap();
    assert_eq!(shown["state"], "read_only");
    publisher.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_writer_began_is_completed_by_one_that_is_behind() {
    let (memory, cluster) = (Memory::new("memory"), Cluster::new());
    let (_sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    let publisher = cluster.publisher_with(&settings(), &memory.storage(), &snapshots);
    let status = &publisher.statuses()[0];
    until(status, stored(1)).await;
    // Somebody wrote the history of the next snapshot and died; then config.json was lost.
    let next = cluster.snapshot(2);
    let key = keelgate_fallback::Layout::new(VERSION).history(next.identity());
    memory.set(&key, next.document().clone());
    memory.remove(|key| key == "0.1.0/config.json");
    until(status, |status| status.state == PublisherState::Blocked).await;
    assert_eq!(
        memory.bytes("0.1.0/config.json").as_ref(),
        Some(next.document())
    );
    publisher.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_fresh_statement_of_an_unchanged_snapshot_is_stored_and_an_older_one_never() {
    for conditions in [Conditions::Kept, Conditions::Ignored] {
        let (memory, cluster) = (Memory::with(conditions), Cluster::new());
        let at =
            |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds);
        let statement = |seconds| cluster.stated(Uuid::from_u128(1), 1, at(seconds));
        let (sender, snapshots) = watch::channel(Some(statement(10)));
        let publisher = cluster.publisher_with(&settings(), &memory.storage(), &snapshots);
        let config = || {
            let stored = memory.bytes("0.1.0/config.json").unwrap();
            (cluster.verify)(stored).unwrap().created_at()
        };
        until(&publisher.statuses()[0], stored(1)).await;
        assert_eq!(config(), at(10));
        for (next, expected) in [(20, 20), (15, 20), (30, 30)] {
            sender.send_replace(Some(statement(next)));
            sleep(Duration::from_secs(20)).await;
            assert_eq!(config(), at(expected), "{conditions:?}");
        }
        publisher.stop().await;
        // Another node that was given an older statement leaves the newer one alone.
        let (_sender, snapshots) = watch::channel(Some(statement(25)));
        let other = cluster.publisher_with(&settings(), &memory.storage(), &snapshots);
        until(&other.statuses()[0], stored(1)).await;
        assert_eq!(config(), at(30));
        other.stop().await;
        let history: Vec<_> = memory
            .keys()
            .into_iter()
            .filter(|key| key.contains("/history/"))
            .collect();
        assert_eq!(history.len(), 1, "{history:?}");
        let kept = (cluster.verify)(memory.bytes(&history[0]).unwrap()).unwrap();
        assert_eq!(kept.created_at(), at(30), "{conditions:?}");
    }
}

#[tokio::test]
async fn a_fetch_from_a_directory_follows_a_fresh_statement() {
    let folder = tempfile::tempdir().unwrap();
    let (storage, cluster) = (directory(folder.path()), Cluster::new());
    let (first, second) = (cluster.snapshot(1), {
        sleep(Duration::from_millis(2)).await;
        cluster.snapshot(1)
    });
    let key = "0.1.0/config.json";
    storage.put(key, first.document().clone()).await.unwrap();
    let mut fetcher = cluster.fetcher(&storage);
    assert!(fetcher.fetch(&HashSet::new()).await.candidate.is_some());
    overwrite(&storage, key, second.document().clone()).await;
    let fetched = fetcher.fetch(&HashSet::new()).await;
    assert!(!fetched.unchanged);
    assert_eq!(
        fetched.candidate.unwrap().snapshot.created_at(),
        second.created_at()
    );
}
