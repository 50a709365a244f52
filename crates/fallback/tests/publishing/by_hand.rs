//! What operators use: the catalogue, publishing once, pruning.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use keelgate_fallback::{
    Blocked, ErrorKind, Fencing, Index, Layout, Prepare, PruneError, PublishError, Storage, Verify,
    catalogue, forget, prune, publish_once,
};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::cluster::{Cluster, VERSION, directory, indexed, s3, settings, stored, until};
use crate::memory::{Conditions, Memory};

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(start_paused = true)]
async fn the_catalogue_tells_what_lies_there_and_reads_documents_on_demand() {
    let (memory, cluster) = (Memory::new("memory"), Cluster::new());
    let (sender, snapshots) = watch::channel(None);
    let node = settings();
    let publisher = cluster.publisher_with(&node, &memory.storage(), &snapshots);
    for revision in 1..=3 {
        sender.send_replace(Some(cluster.snapshot(revision)));
        until(&publisher.statuses()[0], stored(revision)).await;
        sleep(Duration::from_secs(10)).await;
    }
    let damaged = format!("0.1.0/history/1-9-{}.json", "ab".repeat(6));
    memory.set(&damaged, "{}");
    memory.set(
        "0.0.9/config.json",
        Cluster::new().snapshot(1).document().clone(),
    );
    let read = memory.requests().len();
    let all = catalogue(&memory, None).await.unwrap();
    let versions: Vec<_> = all.versions.iter().map(|entry| &entry.version).collect();
    assert_eq!(versions, [VERSION, "0.0.9"]);
    assert!(
        memory.requests()[read..]
            .iter()
            .all(|request| !request.key.ends_with("config.json")),
        "no document is read"
    );
    let mut own = all.versions.into_iter().next().unwrap();
    assert_eq!(own.fencing, Some(Fencing::Compare));
    assert_eq!(own.lease.unwrap().holder, Some(node.node_id));
    assert_eq!(own.registrations.len(), 1);
    assert_eq!(
        own.registrations[0].registration.as_ref().unwrap().hostname,
        "host"
    );
    let revisions: Vec<_> = own
        .history
        .iter()
        .map(|entry| entry.name.as_ref().unwrap().position.1)
        .collect();
    assert_eq!(revisions, [9, 3, 2, 1]);
    let config = own.config.as_mut().unwrap();
    assert!(config.bytes.is_some() && config.modified.is_some() && config.found.is_none());
    let snapshot = config.examine(&memory, &cluster.verify).await.unwrap();
    assert_eq!(snapshot.identity().revision, 3);
    let found = config.found.as_ref().unwrap();
    assert!(found.verified.is_ok() && !found.sealed);
    assert_eq!(found.identity.as_ref(), Some(snapshot.identity()));
    assert_eq!(found.writer.as_deref(), Some(VERSION));
    assert!(
        own.history[0]
            .examine(&memory, &cluster.verify)
            .await
            .is_none()
    );
    let refusal = own.history[0]
        .found
        .as_ref()
        .unwrap()
        .verified
        .clone()
        .unwrap_err();
    assert!(refusal.to_string().contains(&damaged), "{refusal}");
    publisher.stop().await;
    // What another cluster wrote is shown with what it claims to be.
    let mut foreign = catalogue(&memory, Some("0.0.9")).await.unwrap();
    let entry = foreign.versions[0].config.as_mut().unwrap();
    assert!(entry.examine(&memory, &cluster.verify).await.is_none());
    let found = entry.found.as_ref().unwrap();
    assert!(found.verified.is_err());
    assert_eq!(found.identity.unwrap().revision, 1);
}

#[tokio::test(start_paused = true)]
async fn the_catalogue_of_one_who_may_not_list_goes_by_the_index() {
    let (memory, cluster) = (Memory::new("memory"), Cluster::new());
    let (_sender, snapshots) = watch::channel(Some(cluster.snapshot(1)));
    let publisher = cluster.publisher_with(&settings(), &memory.storage(), &snapshots);
    until(&publisher.statuses()[0], stored(1)).await;
    indexed(&memory.storage(), VERSION).await;
    publisher.stop().await;
    memory.change(|faults| faults.may_not_list = true);
    let mut all = catalogue(&memory, None).await.unwrap();
    let config = all.versions[0].config.as_mut().unwrap();
    assert_eq!(config.key, "0.1.0/config.json");
    assert!(config.examine(&memory, &cluster.verify).await.is_some());
    memory.change(|faults| faults.away = Some((ErrorKind::Unreachable, None)));
    let error = catalogue(&memory, None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable);
}

async fn is_published_by_hand(storage: Arc<dyn Storage>) {
    let cluster = Cluster::new();
    for (revision, written) in [(1, true), (1, false), (2, true)] {
        let snapshot = cluster.snapshot(revision);
        let published = publish_once(
            &storage,
            &settings(),
            &cluster.verify,
            None,
            snapshot,
            PATIENCE,
        )
        .await
        .unwrap();
        assert_eq!(published.identity.revision, revision);
        assert_eq!(published.fencing, Fencing::Compare);
        // The second time it is another statement, which may be of the same millisecond.
        assert!(published.written || !written);
        assert!(published.bytes > 100);
    }
    let behind = publish_once(
        &storage,
        &settings(),
        &cluster.verify,
        None,
        cluster.snapshot(1),
        PATIENCE,
    )
    .await;
    let error = behind.unwrap_err();
    assert!(
        matches!(error, PublishError::Blocked { blocked: Blocked::Ahead(found), .. } if found.revision == 2),
        "{error}"
    );
    let fetched = cluster.fetcher(&storage).fetch(&Default::default()).await;
    assert_eq!(fetched.candidate.unwrap().snapshot.identity().revision, 2);
}

#[tokio::test]
async fn a_snapshot_is_published_by_hand_into_a_directory() {
    let folder = tempfile::tempdir().unwrap();
    is_published_by_hand(directory(folder.path())).await;
}

#[tokio::test]
async fn a_snapshot_is_published_by_hand_into_s3() {
    is_published_by_hand(s3()).await;
}

#[tokio::test]
async fn what_is_read_back_as_it_was_written_is_verified_once() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new();
    let verified = Arc::new(AtomicUsize::new(0));
    let verify: Verify = {
        let (verify, verified) = (Arc::clone(&cluster.verify), Arc::clone(&verified));
        Arc::new(move |document| {
            verified.fetch_add(1, Ordering::Relaxed);
            verify(document)
        })
    };
    let publish = async |revision| {
        let (storage, snapshot) = (directory(folder.path()), cluster.snapshot(revision));
        let published =
            publish_once(&storage, &settings(), &verify, None, snapshot, PATIENCE).await;
        assert!(published.unwrap().written);
        verified.swap(0, Ordering::Relaxed)
    };
    assert_eq!(publish(1).await, 1, "before it is written");
    assert_eq!(publish(2).await, 2, "what was found as well");
}

#[tokio::test(start_paused = true)]
async fn publishing_by_hand_says_why_it_came_to_nothing() {
    let cluster = Cluster::new();
    let publish = async |memory: &Memory, prepare: Option<&Prepare>| {
        let (storage, snapshot) = (memory.storage(), cluster.snapshot(1));
        publish_once(
            &storage,
            &settings(),
            &cluster.verify,
            prepare,
            snapshot,
            PATIENCE,
        )
        .await
    };
    let memory = Memory::new("memory");
    memory.change(|faults| faults.read_only = true);
    let error = publish(&memory, None).await.unwrap_err();
    assert!(matches!(error, PublishError::ReadOnly { .. }), "{error}");

    let memory = Memory::new("memory");
    memory.change(|faults| faults.away = Some((ErrorKind::Denied, None)));
    let began = Instant::now();
    let error = publish(&memory, None).await.unwrap_err();
    assert!(matches!(&error, PublishError::Storage(error) if error.kind == ErrorKind::Denied));
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "it is not tried again"
    );

    memory.change(|faults| faults.away = Some((ErrorKind::Unreachable, None)));
    let error = publish(&memory, None).await.unwrap_err();
    assert!(matches!(&error, PublishError::Storage(error) if error.kind == ErrorKind::Unreachable));
    assert!(began.elapsed() <= PATIENCE + Duration::from_secs(1));

    memory.change(|faults| faults.away = None);
    let prepare: Prepare = Arc::new(|_| Err("route r has an invalid pattern".to_owned()));
    let error = publish(&memory, Some(&prepare)).await.unwrap_err();
    assert!(error.to_string().contains("invalid pattern"), "{error}");
    assert_eq!(memory.keys(), Vec::<String>::new());

    memory.change(|faults| faults.unanswered = 1);
    assert!(publish(&memory, None).await.unwrap().written);
}

#[tokio::test(start_paused = true)]
async fn pruning_by_hand_keeps_what_is_served() {
    let (memory, cluster) = (Memory::with(Conditions::Kept), Cluster::new());
    let storage = memory.storage();
    let error = prune(&storage, VERSION, &cluster.verify, 2)
        .await
        .unwrap_err();
    assert!(matches!(error, PruneError::NothingServed { .. }), "{error}");
    let layout = Layout::new(VERSION);
    for revision in 1..=60 {
        let snapshot = cluster.snapshot(revision);
        memory.set(
            &layout.history(snapshot.identity()),
            snapshot.document().clone(),
        );
        if revision == 57 {
            memory.set("0.1.0/config.json", snapshot.document().clone());
        }
    }
    let deleted = prune(&storage, VERSION, &cluster.verify, 2).await.unwrap();
    let left: Vec<_> = memory
        .keys()
        .into_iter()
        .filter(|key| key.contains("/history/"))
        .map(|key| key["0.1.0/history/1-".len()..][..2].to_owned())
        .collect();
    assert_eq!(left, ["57", "58", "59", "60"]);
    assert_eq!(deleted, 56);
}

/// Versions that are gone, of which a node alone is left, and that have a backup.
async fn versions_that_are_gone_are_forgotten(storage: Arc<dyn Storage>, fencing: &str) {
    let entry = json!({ "fencing": fencing });
    let index = json!({
        "schema": 1,
        "versions": { "0.0.8": entry, "0.0.9": entry, "0.1.0": entry, "0.2.0": entry },
    });
    storage
        .put("index.json", index.to_string().into())
        .await
        .unwrap();
    for key in [
        Layout::new("0.1.0").config(),
        Layout::new("0.2.0").registration(Uuid::from_u128(1)),
    ] {
        storage.put(&key, "{}".into()).await.unwrap();
    }
    let versions = async || {
        let index = storage.get("index.json", None, 4096).await.unwrap();
        let index: Index = serde_json::from_slice(&index.bytes).unwrap();
        index.versions.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(forget(&*storage).await.unwrap(), ["0.0.9", "0.0.8"]);
    assert_eq!(versions().await, ["0.1.0", "0.2.0"]);
    assert_eq!(forget(&*storage).await.unwrap(), Vec::<String>::new());
    storage
        .delete(&Layout::new("0.1.0").config())
        .await
        .unwrap();
    assert_eq!(forget(&*storage).await.unwrap(), ["0.1.0"]);
    assert_eq!(versions().await, ["0.2.0"]);
}

#[tokio::test]
async fn versions_that_are_gone_from_a_directory_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    versions_that_are_gone_are_forgotten(directory(folder.path()), "compare").await;
}

#[tokio::test]
async fn versions_that_are_gone_from_s3_are_forgotten() {
    versions_that_are_gone_are_forgotten(s3(), "compare").await;
}

#[tokio::test]
async fn versions_that_are_gone_are_forgotten_where_nothing_compares() {
    let memory = Memory::with(Conditions::Unsupported);
    versions_that_are_gone_are_forgotten(memory.storage(), "none").await;
}

#[tokio::test]
async fn nothing_is_forgotten_by_one_who_may_not_list() {
    let memory = Memory::new("memory");
    let index = r#"{"schema":1,"versions":{"0.0.9":{"fencing":"compare"}}}"#;
    memory.set("index.json", index);
    memory.change(|faults| faults.may_not_list = true);
    let storage = memory.storage();
    assert_eq!(forget(&*storage).await.unwrap(), Vec::<String>::new());
    assert_eq!(memory.bytes("index.json").unwrap(), index);
}
