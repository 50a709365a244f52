//! How entities with a time to live end in every store that can be written to.

use std::sync::Arc;

use keelgate_entities::Object;
use keelgate_store::{PageRequest, Store, StoreExt};
use serde_json::json;

use super::{consumer, credential};

fn living(number: u32, key: &str, ttl: u32) -> Object {
    let mut credential = credential(number, 1, key);
    credential.insert("ttl".to_owned(), json!(ttl));
    credential
}

/// Runs on an empty store.
pub async fn expires(store: &dyn Store) {
    store.insert("consumers", consumer(1, "c")).await.unwrap();
    for credential in [living(2, "lasting", 1000), living(3, "fleeting", 1)] {
        let written = store.insert("keyauth_credentials", credential);
        written.await.unwrap();
    }
    let mut feed = store.subscribe();
    feed.wait_for(|revision| *revision == 4).await.unwrap();
    let left = store.page("keyauth_credentials", PageRequest::default());
    let left = left.await.unwrap().data;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["key"], json!("lasting"));
    let ttl = left[0]["ttl"].as_u64().unwrap();
    assert!((900..1000).contains(&ttl), "it counts down: {ttl}");
}

/// Runs on an empty store. `later` makes it as if the last commit had been so many seconds longer ago, and
/// gives the stores that read it then.
pub async fn is_exported_as_of_the_commit(
    store: &dyn Store,
    later: impl AsyncFnOnce(u32) -> Vec<Arc<dyn Store>>,
) {
    store.insert("consumers", consumer(1, "c")).await.unwrap();
    let written = store.insert("keyauth_credentials", living(2, "lasting", 1000));
    written.await.unwrap();
    for store in later(500).await {
        let (_, table) = store.export().await.unwrap();
        let ttl = table.get("keyauth_credentials")[0]["ttl"].as_u64().unwrap();
        assert!((1400..=1500).contains(&ttl), "it counts down: {ttl}");
    }
}
