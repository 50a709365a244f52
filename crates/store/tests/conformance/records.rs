//! What every store that can be written to does with short-lived records and counters.

use std::sync::Arc;
use std::time::Duration;

use keelgate_entities::Object;
use keelgate_store::{Amount, Counted, Key, PageRequest, Parent, Store, StoreError, StoreExt};
use serde_json::json;

use super::{consumer, id, object, rejection, service};

/// Runs on stores that `make` makes, empty each.
pub async fn records(make: impl AsyncFn() -> Arc<dyn Store>) {
    make_no_revision_and_stand_in_no_export(&*make().await).await;
    are_entities_in_all_else(&*make().await).await;
    expire_without_a_revision(&*make().await).await;
    counters_add_up_to_their_limits(&*make().await).await;
    nobody_is_counted_beyond_a_limit(make().await).await;
}

fn application(number: u32) -> Object {
    object(json!({
        "id": id(number), "consumer": {"id": id(1)}, "name": "app",
        "client_id": format!("client-{number}"),
    }))
}

fn token(number: u32, ttl: Option<u32>) -> Object {
    object(json!({
        "id": id(number), "credential": {"id": id(2)}, "service": null,
        "access_token": format!("a{number}"), "refresh_token": null, "expires_in": 7200,
        "ttl": ttl,
    }))
}

/// A consumer with an application.
async fn furnish(store: &dyn Store) {
    store.insert("consumers", consumer(1, "c")).await.unwrap();
    let written = store.insert("oauth2_credentials", application(2));
    written.await.unwrap();
}

async fn make_no_revision_and_stand_in_no_export(store: &dyn Store) {
    furnish(store).await;
    let before = store.export().await.unwrap();
    let mut feed = store.subscribe();
    feed.mark_unchanged();
    for number in [11, 12] {
        let written = store.insert("oauth2_tokens", token(number, Some(1000)));
        written.await.unwrap();
    }
    let session = json!({"id": id(21), "session_id": "s", "data": "d", "ttl": 1000});
    store.insert("sessions", object(session)).await.unwrap();
    store.delete("oauth2_tokens", &id(12)).await.unwrap();
    assert_eq!(store.position().await.unwrap(), before.0);
    assert!(!feed.has_changed().unwrap());
    assert_eq!(store.export().await.unwrap(), before);

    let since = before.0;
    store
        .insert("services", service(3, "s", &[]))
        .await
        .unwrap();
    if let Some(changes) = store.changes(since).await.unwrap() {
        let kinds: Vec<_> = changes
            .entities
            .iter()
            .map(|changed| &changed.kind)
            .collect();
        assert_eq!(kinds, ["services"]);
    }
    let (position, table) = store.export().await.unwrap();
    assert_eq!(position.revision, since.revision + 1);
    assert!(table.get("oauth2_tokens").is_empty());
}

async fn are_entities_in_all_else(store: &dyn Store) {
    furnish(store).await;
    for number in 11..=13 {
        let written = store.insert("oauth2_tokens", token(number, None));
        written.await.unwrap();
    }
    let key = Key::field("access_token", "a12");
    let found = store.get("oauth2_tokens", key).await.unwrap().unwrap();
    assert_eq!(found["id"], json!(id(12)));
    let request = PageRequest {
        size: 2,
        parent: Some(Parent {
            field: "credential".to_owned(),
            id: id(2),
        }),
        ..PageRequest::default()
    };
    let page = store.page("oauth2_tokens", request).await.unwrap();
    assert_eq!(page.data.len(), 2);
    assert!(page.offset.is_some());

    let mut taken = token(14, None);
    taken.insert("access_token".to_owned(), "a11".into());
    rejection(store.insert("oauth2_tokens", taken).await);
    let mut astray = token(14, None);
    astray.insert("credential".to_owned(), json!({"id": id(9)}));
    rejection(store.insert("oauth2_tokens", astray).await);

    // A change in the middle of others stands or falls with them.
    let failed = store.write(|transaction| {
        transaction.delete("oauth2_tokens", &id(13))?;
        transaction.insert("oauth2_tokens", &token(11, None))
    });
    rejection::<()>(failed.await);
    let kept = store.get("oauth2_tokens", Key::Id(id(13))).await.unwrap();
    assert!(kept.is_some());

    store.delete("consumers", &id(1)).await.unwrap();
    let left = store.page("oauth2_tokens", PageRequest::default());
    assert!(left.await.unwrap().data.is_empty(), "they go with theirs");
}

async fn expire_without_a_revision(store: &dyn Store) {
    furnish(store).await;
    let before = store.position().await.unwrap();
    for (number, ttl) in [(11, 1), (12, 1000)] {
        let written = store.insert("oauth2_tokens", token(number, Some(ttl)));
        written.await.unwrap();
    }
    let mut left = 2;
    // Stores look once in a second.
    for _ in 0..300 {
        let page = store.page("oauth2_tokens", PageRequest::default());
        left = page.await.unwrap().data.len();
        if left < 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(left, 1);
    assert_eq!(store.position().await.unwrap(), before);
}

fn amount(key: &str, amount: i64, limit: Option<f64>) -> Amount {
    Amount {
        key: key.as_bytes().to_vec(),
        amount,
        limit,
        lasts: Duration::from_secs(3600),
    }
}

fn counted(before: &[i64], fits: bool) -> Counted {
    Counted {
        before: before.to_vec(),
        fits,
    }
}

async fn counters_add_up_to_their_limits(store: &dyn Store) {
    let before = store.position().await.unwrap();
    let ask = |minute, hour| vec![amount("m", 1, Some(minute)), amount("h", 1, Some(hour))];
    let count = async |minute, hour| store.count(ask(minute, hour)).await.unwrap();
    assert_eq!(count(2.0, 9.0).await, counted(&[0, 0], true));
    assert_eq!(count(2.0, 9.0).await, counted(&[1, 1], true));
    // Nothing is counted where one is used up.
    assert_eq!(count(2.0, 9.0).await, counted(&[2, 2], false));
    assert_eq!(count(9.0, 2.0).await, counted(&[2, 2], false));
    let added = store.count(vec![amount("h", 5, None), amount("new\0key", 7, None)]);
    assert_eq!(added.await.unwrap(), counted(&[2, 0], true));
    let keys = ["new\0key", "none", "m", "h"].map(|key| key.as_bytes().to_vec());
    let held = store.counted(keys.to_vec()).await.unwrap();
    assert_eq!(held, [7, 0, 2, 7]);
    assert_eq!(store.position().await.unwrap(), before);

    let fleeting = Amount {
        lasts: Duration::ZERO,
        ..amount("fleeting", 1, None)
    };
    store.count(vec![fleeting]).await.unwrap();
    let mut left = vec![1];
    for _ in 0..300 {
        left = store.counted(vec![b"fleeting".to_vec()]).await.unwrap();
        if left == [0] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(left, [0], "it is gone");
}

async fn nobody_is_counted_beyond_a_limit(store: Arc<dyn Store>) {
    let asking: Vec<_> = (0..40)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let ask = vec![amount("a", 1, Some(10.0)), amount("b", 1, Some(1000.0))];
                Ok::<_, StoreError>(store.count(ask).await?.fits)
            })
        })
        .collect();
    let mut fit = 0;
    for asked in asking {
        fit += usize::from(asked.await.unwrap().unwrap());
    }
    assert_eq!(fit, 10);
}
