//! The store of a node without a database.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[allow(dead_code, unused_imports)]
mod conformance;

use conformance::{id, rejection, schemas, service, table};
use keelgate_entities::declarative::Table;
use keelgate_store::{Key, MemoryStore, Store, StoreError, StoreExt};

#[tokio::test]
async fn conforms_for_reads() {
    let store = MemoryStore::new(schemas());
    store.load(&table(store.schemas())).unwrap();
    conformance::reads(&store).await;
}

#[tokio::test]
async fn takes_no_writes() {
    let store = MemoryStore::new(schemas());
    assert!(store.is_read_only());
    let refused = store.insert("services", service(1, "a", &[])).await;
    assert!(matches!(refused, Err(StoreError::ReadOnly)));
}

#[tokio::test]
async fn loading_replaces_everything_as_one_revision() {
    let store = MemoryStore::new(schemas());
    let mut feed = store.subscribe();
    assert_eq!(store.load(&table(store.schemas())).unwrap(), 1);
    let next = Table::new(
        store.schemas(),
        [("services".to_owned(), vec![service(7, "s7", &[])])],
    );
    assert_eq!(store.load(&next).unwrap(), 2);
    feed.changed().await.unwrap();
    assert_eq!(*feed.borrow_and_update(), 2);
    assert_eq!(store.export().await.unwrap().1, next);
}

#[tokio::test]
async fn a_contradictory_table_is_refused_and_the_old_one_stays() {
    let store = MemoryStore::new(schemas());
    store.load(&table(store.schemas())).unwrap();
    let services = vec![service(7, "same", &[]), service(8, "same", &[])];
    let bad = Table::new(store.schemas(), [("services".to_owned(), services)]);
    assert_eq!(rejection(store.load(&bad)).code, 5);
    let kept = store.get("services", Key::Id(id(1))).await.unwrap();
    assert!(kept.is_some());
    assert_eq!(*store.subscribe().borrow(), 1);
}
