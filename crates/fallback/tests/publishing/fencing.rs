//! Storages that compare, and storages that do not.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use keelgate_fallback::{ErrorKind, Fencing, Fetcher, Layout, PublisherSettings, Storage, probe};
use tokio::sync::watch;
use tokio::time::sleep;
use uuid::Uuid;

use crate::cluster::{Cluster, VERSION, directory, indexed, s3, settings, stored, until};
use crate::memory::{Conditions, Memory};

const NODE: Uuid = Uuid::from_u128(7);

async fn probed(storage: &dyn Storage) -> Fencing {
    probe(storage, &Layout::new(VERSION), NODE).await.unwrap()
}

async fn is_found_to_compare(storage: Arc<dyn Storage>) {
    assert_eq!(probed(&*storage).await, Fencing::Compare, "{storage:?}");
    let left = storage.list("0.1.0/election").await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_directory_compares_and_nothing_is_left_there() {
    let folder = tempfile::tempdir().unwrap();
    is_found_to_compare(directory(folder.path())).await;
    is_found_to_compare(Memory::new("memory").storage()).await;
}

#[tokio::test]
async fn s3_compares_and_nothing_is_left_there() {
    is_found_to_compare(s3()).await;
}

#[tokio::test(start_paused = true)]
async fn storages_that_ignore_refuse_or_race_are_found_out() {
    for conditions in [
        Conditions::Ignored,
        Conditions::Unsupported,
        Conditions::CreateAlone,
        Conditions::Racy,
    ] {
        let memory = Memory::with(conditions);
        assert_eq!(probed(&memory).await, Fencing::None, "{conditions:?}");
        assert!(memory.keys().is_empty(), "{:?}", memory.keys());
    }
}

#[tokio::test]
async fn a_probe_that_cannot_be_finished_decides_nothing() {
    for kind in [
        ErrorKind::Unreachable,
        ErrorKind::Denied,
        ErrorKind::Throttled,
        ErrorKind::Unavailable,
    ] {
        let memory = Memory::new("memory");
        memory.change(|faults| faults.away = Some((kind, None)));
        let error = probe(&memory, &Layout::new(VERSION), NODE)
            .await
            .unwrap_err();
        assert_eq!(error.kind, kind);
    }
    let memory = Memory::new("memory");
    memory.change(|faults| faults.unanswered = 1);
    let error = probe(&memory, &Layout::new(VERSION), NODE)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_node_that_may_not_delete_probes_again_with_what_is_left_over() {
    for (conditions, fencing) in [
        (Conditions::Kept, Fencing::Compare),
        (Conditions::Ignored, Fencing::None),
    ] {
        let memory = Memory::with(conditions);
        memory.change(|faults| faults.may_not_delete = true);
        assert_eq!(probed(&memory).await, fencing);
        let left = memory.keys();
        assert!(!left.is_empty());
        assert_eq!(probed(&memory).await, fencing);
        assert_eq!(memory.keys(), left, "no more is left over each time");
    }
}

#[tokio::test(start_paused = true)]
async fn the_fencing_is_told_in_status_and_index() {
    for (conditions, fencing) in [
        (Conditions::Kept, Fencing::Compare),
        (Conditions::Ignored, Fencing::None),
        (Conditions::Unsupported, Fencing::None),
    ] {
        let (memory, cluster) = (Memory::with(conditions), Cluster::new());
        let (_sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
        let publisher = cluster.publisher_with(&settings(), &memory.storage(), &snapshots);
        let status = until(&publisher.statuses()[0], stored(1)).await;
        assert_eq!(status.fencing, Some(fencing), "{conditions:?}");
        assert!(status.leading_since.is_some() && status.last_attempt.is_some());
        assert!(status.latency_ms.is_some() && status.bytes > Some(100));
        indexed(&memory.storage(), VERSION).await;
        publisher.stop().await;
        let index = memory.bytes("index.json").unwrap();
        let expected =
            format!(r#"{{"schema":1,"versions":{{"0.1.0":{{"fencing":"{fencing}"}}}}}}"#);
        assert_eq!(index, expected);
        let mut fetcher = cluster.fetcher(&memory.storage());
        let fetched = fetcher.fetch(&HashSet::new()).await;
        assert_eq!(fetched.candidate.unwrap().snapshot.identity().revision, 1);
        assert_eq!(fetcher.fencing(), Some(fencing));
    }
}

/// A node writes revision 2 so late that another has taken over and written revision 3. Readers
/// look all the time.
async fn a_late_write_of_a_paused_leader(conditions: Conditions) -> (Memory, Cluster) {
    let (memory, cluster) = (Memory::with(conditions), Cluster::new());
    let (sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    let paused_view = memory.beside();
    let paused = cluster.publisher_with(&settings(), &paused_view.storage(), &snapshots);
    until(&paused.statuses()[0], stored(1)).await;
    sleep(Duration::from_secs(10)).await;
    paused_view.change(|faults| faults.held = Some(Duration::from_secs(60)));
    sender.send_replace(Some(cluster.snapshot(2)));
    sleep(Duration::from_secs(2)).await;
    let last = memory
        .writes()
        .into_iter()
        .rfind(|write| !write.key.contains("election"));
    assert_eq!(last.unwrap().key, "0.1.0/config.json", "it is under way");
    // Nothing else leaves the paused node.
    paused_view.change(|faults| faults.away = Some((ErrorKind::Unreachable, None)));
    let (_newer, snapshots) = watch::channel(Some(cluster.snapshot(3)));
    let successor = cluster.publisher_with(&settings(), &memory.storage(), &snapshots);
    until(&successor.statuses()[0], stored(3)).await;
    let mut fetcher = cluster.fetcher(&memory.storage());
    let mut put_back = false;
    for second in 0..120 {
        sleep(Duration::from_secs(1)).await;
        if second == 30 {
            paused_view.change(|faults| faults.away = None);
        }
        let config = (cluster.verify)(memory.bytes("0.1.0/config.json").unwrap()).unwrap();
        put_back |= config.identity().revision != 3;
        let chosen = fetcher.fetch(&HashSet::new()).await.candidate.unwrap();
        assert_eq!(chosen.snapshot.identity().revision, 3);
    }
    assert_eq!(put_back, conditions == Conditions::Ignored);
    successor.stop().await;
    paused.stop().await;
    (memory, cluster)
}

#[tokio::test(start_paused = true)]
async fn a_late_write_loses_its_comparison() {
    let (memory, cluster) = a_late_write_of_a_paused_leader(Conditions::Kept).await;
    let config = memory.bytes("0.1.0/config.json").unwrap();
    let snapshot = (cluster.verify)(config).unwrap();
    assert_eq!(snapshot.identity().revision, 3);
}

#[tokio::test(start_paused = true)]
async fn without_comparison_no_reader_follows_a_late_write_and_it_is_mended() {
    let (memory, cluster) = a_late_write_of_a_paused_leader(Conditions::Ignored).await;
    let config = memory.bytes("0.1.0/config.json").unwrap();
    let snapshot = (cluster.verify)(config).unwrap();
    assert_eq!(snapshot.identity().revision, 3);
}

#[tokio::test(start_paused = true)]
async fn without_comparison_a_reader_takes_the_newest_of_the_history_until_config_is_mended() {
    let (memory, cluster) = (Memory::with(Conditions::Ignored), Cluster::new());
    let (sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    let publisher = cluster.publisher_with(&settings(), &memory.storage(), &snapshots);
    until(&publisher.statuses()[0], stored(1)).await;
    let old = memory.bytes("0.1.0/config.json").unwrap();
    sender.send_replace(Some(cluster.snapshot(2)));
    until(&publisher.statuses()[0], stored(2)).await;
    let newest = memory.bytes("0.1.0/config.json").unwrap();
    sleep(Duration::from_secs(1)).await;
    memory.set("0.1.0/config.json", old.clone());
    let mut fetcher = cluster.fetcher(&memory.storage());
    for unchanged in [false, true] {
        let fetched = fetcher.fetch(&HashSet::new()).await;
        let candidate = fetched.candidate.unwrap();
        assert_eq!(candidate.snapshot.identity().revision, 2);
        assert!(
            candidate.key.starts_with("0.1.0/history/"),
            "{}",
            candidate.key
        );
        assert_eq!(fetched.unchanged, unchanged);
    }
    // One that may not list is told what it is given; it moves forward only.
    memory.change(|faults| faults.may_not_list = true);
    let blind = cluster
        .fetcher(&memory.storage())
        .fetch(&HashSet::new())
        .await;
    assert_eq!(blind.candidate.unwrap().snapshot.identity().revision, 1);
    assert_eq!(blind.refusals[0].kind(), "denied");
    memory.change(|faults| faults.may_not_list = false);
    sleep(Duration::from_secs(15)).await;
    assert_eq!(memory.bytes("0.1.0/config.json"), Some(newest));
    publisher.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_comes_back_as_another_is_probed_again() {
    let (memory, cluster) = (Memory::new("memory"), Cluster::new());
    let (_sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    let publisher = cluster.publisher_with(&settings(), &memory.storage(), &snapshots);
    let status = &publisher.statuses()[0];
    until(status, stored(1)).await;
    memory.change(|faults| faults.away = Some((ErrorKind::Unreachable, None)));
    until(status, |status| {
        status.state == keelgate_fallback::PublisherState::Retrying
    })
    .await;
    memory.change(|faults| {
        faults.away = None;
        faults.conditions = Conditions::Ignored;
    });
    until(status, |status| status.fencing == Some(Fencing::None)).await;
    until(status, stored(1)).await;
    publisher.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_may_read_objects_alone_finds_another_version_by_the_index() {
    let (memory, cluster) = (Memory::new("memory"), Cluster::new());
    let (_sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    for version in ["0.0.9", "0.2.0", "1.0.0"] {
        let other = PublisherSettings {
            version: version.into(),
            ..settings()
        };
        let publisher = cluster.publisher_with(&other, &memory.storage(), &snapshots);
        until(&publisher.statuses()[0], stored(1)).await;
        indexed(&memory.storage(), version).await;
        publisher.stop().await;
    }
    memory.change(|faults| faults.may_not_list = true);
    let verify = Arc::clone(&cluster.verify);
    let mut fetcher = Fetcher::new(memory.storage(), VERSION, verify);
    let fetched = fetcher.fetch(&HashSet::new()).await;
    assert_eq!(fetched.candidate.unwrap().key, "0.2.0/config.json");
}
