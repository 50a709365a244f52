use std::sync::Arc;

use keelgate_plugins::Registry;
use keelgate_store::{Import, SqliteStore, StoreExt as _};
use serde_json::json;

use super::*;

fn store(folder: &tempfile::TempDir) -> SqliteStore {
    let schemas = Arc::new(Schemas::new(Registry::schemas()));
    SqliteStore::open(&folder.path().join("keelgate.db"), schemas).unwrap()
}

fn id(number: u32) -> String {
    Uuid::from_u128(number.into()).to_string()
}

async fn put(store: &SqliteStore, kind: &str, mut entity: Value) {
    let kind = kind.to_owned();
    let now = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    let input = std::mem::take(entity.as_object_mut().unwrap());
    let whole = store.schemas().upsert(&kind, None, input, now).unwrap();
    let written: Result<(), keelgate_store::StoreError> = store
        .write(move |transaction| transaction.put(&kind, &whole))
        .await;
    written.unwrap();
}

fn service(number: u32, enabled: bool) -> Value {
    json!({"id": id(number), "name": format!("s{number}"), "host": "h", "enabled": enabled})
}

fn route(number: u32, service: u32, path: &str) -> Value {
    json!({"id": id(number), "paths": [path], "service": {"id": id(service)}})
}

/// Encodes the next one from the last, and as if it were the first.
async fn both(encoder: &mut Encoder, store: &SqliteStore) -> String {
    let (next, _) = encoder.next(store).await.unwrap();
    let (whole, _) = Encoder::default().next(store).await.unwrap();
    assert_eq!(next.position, whole.position);
    assert_eq!(next.fragments.text(), whole.fragments.text());
    next.fragments.text()
}

/// Whether what changed since is known and enough.
async fn is_step(encoder: &Encoder, store: &SqliteStore) -> bool {
    let last = encoder.last.clone().unwrap();
    encoder.changed(store, last).await.unwrap().is_some()
}

#[tokio::test]
async fn changes_one_by_one_lead_to_what_all_at_once_is() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let mut encoder = Encoder::default();
    both(&mut encoder, &store).await;

    put(&store, "services", service(1, true)).await;
    put(&store, "routes", route(10, 1, "/a")).await;
    assert!(is_step(&encoder, &store).await);
    assert!(both(&mut encoder, &store).await.contains("\"/a\""));

    put(&store, "routes", route(10, 1, "/b")).await;
    put(&store, "services", service(2, false)).await;
    put(&store, "routes", route(11, 2, "/c")).await;
    assert!(
        is_step(&encoder, &store).await,
        "new ones that are left out"
    );
    let text = both(&mut encoder, &store).await;
    assert!(text.contains("\"/b\"") && !text.contains("\"/c\""));

    put(&store, "services", service(2, true)).await;
    assert!(!is_step(&encoder, &store).await, "a route comes with it");
    assert!(both(&mut encoder, &store).await.contains("\"/c\""));

    put(&store, "services", service(1, false)).await;
    assert!(!is_step(&encoder, &store).await, "a route goes with it");
    assert!(!both(&mut encoder, &store).await.contains("\"/b\""));

    put(&store, "routes", route(11, 1, "/c")).await;
    assert!(
        !is_step(&encoder, &store).await,
        "it goes to one that is left out"
    );
    assert!(!both(&mut encoder, &store).await.contains("\"/c\""));

    store.delete("routes", &id(11)).await.unwrap();
    store.delete("routes", &id(10)).await.unwrap();
    store.delete("services", &id(1)).await.unwrap();
    assert!(is_step(&encoder, &store).await);
    assert!(!both(&mut encoder, &store).await.contains("\"routes\""));
}

#[tokio::test]
async fn what_was_replaced_whole_or_by_another_process_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let mut encoder = Encoder::default();
    put(&store, "services", service(1, true)).await;
    both(&mut encoder, &store).await;

    store
        .import(Table::default(), Import::Replace)
        .await
        .unwrap();
    assert!(!is_step(&encoder, &store).await);
    assert!(!both(&mut encoder, &store).await.contains("\"services\""));

    let other = self::store(&folder);
    put(&other, "services", service(2, true)).await;
    put(&store, "services", service(3, true)).await;
    assert!(!is_step(&encoder, &store).await);
    assert!(both(&mut encoder, &store).await.contains("\"s2\""));

    let epoch = store.begin_epoch(7, None).await.unwrap();
    let (next, _) = encoder.next(&store).await.unwrap();
    assert_eq!(next.position, epoch);
}

#[tokio::test]
async fn what_is_left_of_a_time_to_live_counts_from_the_newest_revision() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let mut encoder = Encoder::default();
    put(&store, "consumers", json!({"id": id(1), "username": "c"})).await;
    let credential = json!({"id": id(2), "consumer": {"id": id(1)}, "key": "k", "ttl": 1000});
    put(&store, "keyauth_credentials", credential).await;
    both(&mut encoder, &store).await;
    put(&store, "services", service(1, true)).await;
    let last = encoder.last.clone().unwrap();
    let changes = store.changes(last.position).await.unwrap().unwrap();
    let kinds: Vec<&str> = changes.entities.iter().map(|own| &*own.kind).collect();
    assert_eq!(kinds, ["keyauth_credentials", "services"]);
    both(&mut encoder, &store).await;
}
