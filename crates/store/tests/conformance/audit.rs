//! What every store that can be written to tells of its writers.

use std::sync::Arc;
use std::time::Duration;

use keelgate_store::{Store, StoreError, StoreExt};
use serde_json::json;

use super::{id, object, route, service};

/// Runs on stores that `make` makes, empty each.
pub async fn audit(make: impl AsyncFn() -> Arc<dyn Store>) {
    tells_who_changed_what(&*make().await).await;
    forgets_old_audit_entries(&*make().await).await;
}

/// Writes with an author.
async fn audited(
    store: &dyn Store,
    by: &str,
    kept_for: Duration,
    work: impl FnOnce(&mut keelgate_store::Transaction<'_>) -> Result<(), StoreError> + Send + 'static,
) {
    let about = object(json!({ "by": by }));
    store
        .write(move |transaction| {
            transaction.audit(about, Some(kept_for));
            work(transaction)
        })
        .await
        .unwrap();
}

async fn tells_who_changed_what(store: &dyn Store) {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    audited(store, "one", DAY, |transaction| {
        transaction.insert("services", &service(1, "a", &[]))?;
        transaction.insert("routes", &route(2, Some(1)))
    })
    .await;
    audited(store, "two", DAY, |transaction| {
        transaction.put("services", &service(1, "b", &["red"]))
    })
    .await;
    store
        .insert("services", service(3, "c", &[]))
        .await
        .unwrap();
    audited(store, "three", DAY, |transaction| {
        transaction.delete("routes", &id(2)).map(drop)
    })
    .await;
    audited(store, "idle", DAY, |transaction| {
        transaction.delete("routes", &id(2)).map(drop)
    })
    .await;

    let first = store.audit(2, None).await.unwrap();
    let rest = store.audit(2, first.offset.clone()).await.unwrap();
    assert!(first.offset.is_some() && rest.offset.is_none());
    let entries: Vec<_> = first.data.iter().chain(&rest.data).collect();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (&entry["revision"], &entry["by"], &entry["changes"]))
        .collect();
    assert_eq!(
        told,
        [
            (
                &json!(4),
                &json!("three"),
                &json!([{"operation": "delete", "entity": "routes", "id": id(2)}])
            ),
            (
                &json!(2),
                &json!("two"),
                &json!([{
                    "operation": "update", "entity": "services", "id": id(1),
                    "fields": ["name", "tags"],
                }])
            ),
            (
                &json!(1),
                &json!("one"),
                &json!([
                    {"operation": "create", "entity": "services", "id": id(1)},
                    {"operation": "create", "entity": "routes", "id": id(2)},
                ])
            ),
        ]
    );
    assert!(entries.iter().all(|entry| entry["at"].is_f64()));
}

async fn forgets_old_audit_entries(store: &dyn Store) {
    let name = |name: &'static str| {
        move |transaction: &mut keelgate_store::Transaction<'_>| {
            transaction.put("services", &service(1, name, &[]))
        }
    };
    audited(store, "one", Duration::from_secs(60), name("a")).await;
    audited(store, "two", Duration::ZERO, name("b")).await;
    let page = store.audit(10, None).await.unwrap();
    let authors: Vec<_> = page.data.iter().map(|entry| &entry["by"]).collect();
    assert_eq!(authors, ["two"]);
}
