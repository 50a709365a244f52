//! Publishers and fetchers over directories and, where there is a server, S3.

use std::collections::HashSet;
use std::sync::Arc;

use keelgate_fallback::{Layout, Listed, Publisher, PublisherState, Storage};
use tokio::sync::watch;
use uuid::Uuid;

use crate::cluster::{
    Cluster, LIMIT, VERSION, directory, overwrite, quick_settings, s3, stored, until,
};

async fn what_is_published_is_fetched(storage: Arc<dyn Storage>) {
    let cluster = Cluster::new();
    let (sender, snapshots) = watch::channel(None);
    let publisher = cluster.publisher(&storage, &snapshots);
    let status = publisher.statuses()[0].clone();
    let mut fetcher = cluster.fetcher(&storage);
    for revision in 1..=6 {
        sender.send_replace(Some(cluster.snapshot(revision)));
        let status = until(&status, stored(revision)).await;
        assert_eq!(status.last_success.unwrap().identity.revision, revision);
        let fetched = fetcher.fetch(&HashSet::new()).await;
        assert!(!fetched.unchanged);
        let candidate = fetched.candidate.unwrap();
        assert_eq!(candidate.snapshot.identity().revision, revision);
        assert_eq!(candidate.key, "0.1.0/config.json");
        assert!(fetched.refusals.is_empty());
    }
    let again = fetcher.fetch(&HashSet::new()).await;
    assert!(again.unchanged && again.candidate.is_some());
    publisher.stop().await;
    let names = storage.list("0.1.0/history").await.unwrap();
    assert!(names.len() <= 4, "history is pruned: {names:?}");
    assert!(
        names.iter().any(|listed| listed.name.starts_with("1-6-")),
        "{names:?}"
    );
}

#[tokio::test]
async fn what_is_published_to_a_directory_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    what_is_published_is_fetched(directory(folder.path())).await;
}

#[tokio::test]
async fn what_is_published_to_s3_is_fetched() {
    what_is_published_is_fetched(s3()).await;
}

#[tokio::test]
async fn of_several_nodes_one_publishes_and_another_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let storage = directory(folder.path());
    let cluster = Cluster::new();
    let (sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    let mut publishers: Vec<_> = (0..3)
        .map(|_| cluster.publisher(&storage, &snapshots))
        .collect();
    let statuses: Vec<_> = publishers.iter().map(|p| p.statuses()[0].clone()).collect();
    let waits = statuses.iter().map(|status| {
        Box::pin(async move {
            until(status, |status| {
                status.leader.is_some() && status.state != PublisherState::Empty
            })
            .await
        })
    });
    let seen = futures_util::future::join_all(waits).await;
    let leader = seen[0].leader.unwrap();
    let index = seen.iter().position(|status| status.leading).unwrap();
    assert!(seen.iter().all(|status| status.leader == Some(leader)));
    until(&statuses[index], stored(1)).await;
    let registered = |listed: &Listed| Uuid::try_parse(&listed.name).is_ok();
    let names = storage.list("0.1.0/election").await.unwrap();
    assert!(names.iter().filter(|listed| registered(listed)).count() <= 3);
    assert!(names.iter().any(|listed| listed.name == "lease.json"));

    publishers.remove(index).stop().await;
    sender.send_replace(Some(cluster.snapshot(2)));
    let mut rest: Vec<_> = statuses
        .iter()
        .enumerate()
        .filter(|(n, _)| *n != index)
        .collect();
    let took_over = futures_util::future::select_all(
        rest.drain(..)
            .map(|(_, status)| Box::pin(until(status, stored(2)))),
    )
    .await;
    assert!(took_over.0.leading);
    for publisher in publishers {
        publisher.stop().await;
    }
}

#[tokio::test]
async fn a_node_that_is_behind_reports_it_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let storage = directory(folder.path());
    let cluster = Cluster::new();
    let newer = cluster.snapshot(9);
    storage
        .put_if_absent("0.1.0/config.json", newer.document().clone())
        .await
        .unwrap();
    let (_sender, snapshots) = watch::channel(Some(cluster.snapshot(3)));
    let publisher = cluster.publisher(&storage, &snapshots);
    let status = until(&publisher.statuses()[0], |s| {
        s.state == PublisherState::Blocked && s.last_error.is_some()
    })
    .await;
    let message = status.last_error.unwrap().message;
    assert!(
        message.contains("behind") && message.contains("1-9-"),
        "{message}"
    );
    publisher.stop().await;
    let object = storage.get("0.1.0/config.json", None, LIMIT).await.unwrap();
    assert_eq!(&object.bytes, newer.document());
}

#[tokio::test]
async fn another_cluster_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let storage = directory(folder.path());
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let foreign = theirs.snapshot_of(Uuid::from_u128(2), 1);
    storage
        .put_if_absent("0.1.0/config.json", foreign.document().clone())
        .await
        .unwrap();
    let (_sender, snapshots) = watch::channel(Some(ours.snapshot(5)));
    let publisher = ours.publisher(&storage, &snapshots);
    let status = until(&publisher.statuses()[0], |s| {
        s.state == PublisherState::Blocked && s.last_error.is_some()
    })
    .await;
    assert!(
        status
            .last_error
            .unwrap()
            .message
            .contains("prefix of its own")
    );
    publisher.stop().await;
    let object = storage.get("0.1.0/config.json", None, LIMIT).await.unwrap();
    assert_eq!(&object.bytes, foreign.document());
}

#[tokio::test]
async fn a_damaged_or_deleted_document_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let storage = directory(folder.path());
    let cluster = Cluster::new();
    let (_sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    let publisher = cluster.publisher(&storage, &snapshots);
    let mut status = publisher.statuses()[0].clone();
    until(&status, stored(1)).await;
    let config = folder.path().join("0.1.0/config.json");
    for damage in ["{\"type\":", ""] {
        if damage.is_empty() {
            std::fs::remove_file(&config).unwrap();
        } else {
            std::fs::write(&config, damage).unwrap();
        }
        status
            .wait_for(|status| status.state == PublisherState::Publishing)
            .await
            .unwrap();
        until(&status, stored(1)).await;
        let fetched = cluster.fetcher(&storage).fetch(&HashSet::new()).await;
        assert_eq!(fetched.candidate.unwrap().key, "0.1.0/config.json");
    }
    publisher.stop().await;
}

#[tokio::test]
async fn a_snapshot_that_fails_the_check_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let storage = directory(folder.path());
    let cluster = Cluster::new();
    let (sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    let settings = quick_settings();
    let prepare: keelgate_fallback::Prepare = Arc::new(|snapshot| {
        if snapshot.identity().revision == 2 {
            return Err("route r has an invalid pattern".into());
        }
        Ok(snapshot)
    });
    let publisher = Publisher::start(
        &[Arc::clone(&storage)],
        &settings,
        &cluster.verify,
        Some(&prepare),
        &snapshots,
    );
    let status = &publisher.statuses()[0];
    until(status, stored(1)).await;
    sender.send_replace(Some(cluster.snapshot(2)));
    let seen = until(status, |status| status.failures.contains_key("unfit")).await;
    assert!(seen.last_error.unwrap().message.contains("invalid pattern"));
    sender.send_replace(Some(cluster.snapshot(3)));
    until(status, stored(3)).await;
    publisher.stop().await;
    let names = storage.list("0.1.0/history").await.unwrap();
    assert!(
        !names.iter().any(|listed| listed.name.starts_with("1-2-")),
        "{names:?}"
    );
}

#[tokio::test]
async fn what_readers_would_refuse_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let storage = directory(folder.path());
    let (cluster, other) = (Cluster::new(), Cluster::new());
    let (sender, snapshots) = watch::channel(Some(other.snapshot(1)));
    let publisher = cluster.publisher(&storage, &snapshots);
    let status = &publisher.statuses()[0];
    let seen = until(status, |status| status.failures.contains_key("unfit")).await;
    let message = seen.last_error.unwrap().message;
    assert!(message.contains("readers would refuse it"), "{message}");
    sender.send_replace(Some(cluster.snapshot(2)));
    until(status, stored(2)).await;
    publisher.stop().await;
    let names = storage.list("0.1.0/history").await.unwrap();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[tokio::test]
async fn what_is_refused_is_told_and_the_newest_good_history_object_serves() {
    let cluster = Cluster::new();
    let foreigner = Cluster::new();
    let good = cluster.snapshot(4);
    let text = std::str::from_utf8(cluster.snapshot(5).document())
        .unwrap()
        .to_owned();
    let unsigned = {
        let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
        document["keelgate"]
            .as_object_mut()
            .unwrap()
            .remove("statement");
        document.to_string()
    };
    for (kind, document) in [
        ("truncated", text[..text.len() / 2].to_owned()),
        ("malformed", "<html>captive portal</html>".to_owned()),
        (
            "tampered",
            text.replace("upstream.example", "attacker.example"),
        ),
        ("unsigned", unsigned),
        (
            "bad_signature",
            String::from_utf8(foreigner.snapshot(5).document().to_vec()).unwrap(),
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let storage = directory(folder.path());
        let layout = Layout::new(VERSION);
        for revision in 1..=3 {
            let old = cluster.snapshot(revision);
            storage
                .put_if_absent(&layout.history(old.identity()), old.document().clone())
                .await
                .unwrap();
        }
        storage
            .put_if_absent(&layout.history(good.identity()), good.document().clone())
            .await
            .unwrap();
        storage
            .put_if_absent(&layout.config(), document.into())
            .await
            .unwrap();
        let fetched = cluster.fetcher(&storage).fetch(&HashSet::new()).await;
        let candidate = fetched.candidate.unwrap();
        assert_eq!(candidate.snapshot.identity(), good.identity(), "{kind}");
        assert_eq!(fetched.refusals.len(), 1, "{kind}");
        assert_eq!(fetched.refusals[0].kind(), kind, "{}", fetched.refusals[0]);
        assert!(
            fetched.refusals[0]
                .to_string()
                .contains("0.1.0/config.json")
        );
    }
}

#[tokio::test]
async fn another_version_of_the_same_major_serves_when_the_own_has_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let storage = directory(folder.path());
    let cluster = Cluster::new();
    for (version, revision) in [("0.0.9", 7), ("0.2.0", 8), ("1.0.0", 9), ("notes", 10)] {
        let document = cluster.snapshot(revision).document().clone();
        storage
            .put_if_absent(&Layout::new(version).config(), document)
            .await
            .unwrap();
    }
    let fetched = cluster.fetcher(&storage).fetch(&HashSet::new()).await;
    assert_eq!(fetched.candidate.unwrap().key, "0.2.0/config.json");
    assert!(fetched.refusals[0].is_absence());
}

#[tokio::test]
async fn a_fetch_after_damage_recovers_when_the_object_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let storage = directory(folder.path());
    let cluster = Cluster::new();
    let key = Layout::new(VERSION).config();
    storage
        .put_if_absent(&key, cluster.snapshot(1).document().clone())
        .await
        .unwrap();
    let mut fetcher = cluster.fetcher(&storage);
    assert!(fetcher.fetch(&HashSet::new()).await.candidate.is_some());
    overwrite(&storage, &key, "damaged").await;
    let fetched = fetcher.fetch(&HashSet::new()).await;
    assert!(fetched.candidate.is_none());
    assert!(!fetched.refusals.is_empty());
    overwrite(&storage, &key, cluster.snapshot(2).document().clone()).await;
    let candidate = fetcher.fetch(&HashSet::new()).await.candidate.unwrap();
    assert_eq!(candidate.snapshot.identity().revision, 2);
}

#[tokio::test]
async fn a_skipped_snapshot_gives_way_to_the_next_best() {
    let folder = tempfile::tempdir().unwrap();
    let storage = directory(folder.path());
    let cluster = Cluster::new();
    let layout = Layout::new(VERSION);
    let (older, newer) = (cluster.snapshot(1), cluster.snapshot(2));
    for key in [layout.config(), layout.history(newer.identity())] {
        storage
            .put_if_absent(&key, newer.document().clone())
            .await
            .unwrap();
    }
    storage
        .put_if_absent(&layout.history(older.identity()), older.document().clone())
        .await
        .unwrap();
    let mut fetcher = cluster.fetcher(&storage);
    let first = fetcher.fetch(&HashSet::new()).await.candidate.unwrap();
    assert_eq!(first.snapshot.identity(), newer.identity());
    let next = fetcher.fetch(&HashSet::from([*newer.identity()])).await;
    assert_eq!(
        next.candidate.unwrap().snapshot.identity(),
        older.identity()
    );
    assert!(
        next.refusals
            .iter()
            .all(|refusal| refusal.kind() == "quarantined")
    );
}

#[tokio::test]
async fn a_storage_that_was_away_is_written_when_it_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mount");
    std::fs::write(&path, "not mounted").unwrap();
    let storage = directory(&path);
    let cluster = Cluster::new();
    let (_sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    let publisher = cluster.publisher(&storage, &snapshots);
    let status = &publisher.statuses()[0];
    let seen = until(status, |status| {
        status.state == PublisherState::Retrying && status.last_error.is_some()
    })
    .await;
    let message = seen.last_error.unwrap().message;
    assert!(message.contains("mount"), "{message}");
    std::fs::remove_file(&path).unwrap();
    until(status, stored(1)).await;
    publisher.stop().await;
}

#[tokio::test]
async fn a_node_that_starts_publishes_if_the_storage_is_behind() {
    let folder = tempfile::tempdir().unwrap();
    let storage = directory(folder.path());
    let cluster = Cluster::new();
    for revision in [1, 2] {
        let (_sender, snapshots) = watch::channel(Some(cluster.snapshot(revision)));
        let publisher = cluster.publisher(&storage, &snapshots);
        until(&publisher.statuses()[0], stored(revision)).await;
        publisher.stop().await;
    }
}
