//! What every store that can be written to keeps up.

use std::sync::Arc;

use keelgate_entities::declarative::Table;
use keelgate_store::{Import, Key, PageRequest, Store, StoreError, StoreExt};
use serde_json::{Value, json};

use super::{consumer, credential, id, object, rejection, route, schemas, service, table};

/// Runs on stores that `make` makes, empty each.
pub async fn writes(make: impl AsyncFn() -> Arc<dyn Store>) {
    every_change_is_one_revision(&*make().await).await;
    keeps_ids_and_names_unique(&*make().await).await;
    nulls_in_a_scope_are_values(&*make().await).await;
    references_lead_somewhere(&*make().await).await;
    deletes_by_the_rules(&*make().await).await;
    a_refused_piece_of_work_leaves_no_trace(&*make().await).await;
    concurrent_changes_lose_nothing(make().await).await;
    concurrent_inserts_keep_names_unique(make().await).await;
    imports_merge_or_replace(&*make().await).await;
    a_refused_import_changes_nothing(&*make().await).await;
    tells_of_changes(&*make().await).await;
}

async fn revision(store: &dyn Store) -> u64 {
    store.position().await.unwrap().revision
}

async fn every_change_is_one_revision(store: &dyn Store) {
    assert_eq!(revision(store).await, 0);
    store
        .insert("services", service(1, "a", &[]))
        .await
        .unwrap();
    assert_eq!(revision(store).await, 1);
    let work = |transaction: &mut keelgate_store::Transaction<'_>| {
        transaction.insert("services", &service(2, "b", &[]))?;
        transaction.insert("services", &service(3, "c", &[]))
    };
    store.write(work).await.unwrap();
    assert_eq!(revision(store).await, 2);
    assert!(!store.delete("services", &id(9)).await.unwrap());
    assert_eq!(revision(store).await, 2, "nothing changed");
    assert!(store.delete("services", &id(3)).await.unwrap());
    assert_eq!(revision(store).await, 3);
}

async fn keeps_ids_and_names_unique(store: &dyn Store) {
    store
        .insert("services", service(1, "a", &[]))
        .await
        .unwrap();
    let error = rejection(store.insert("services", service(1, "b", &[])).await);
    assert_eq!(error.code, 3);
    let error = rejection(store.insert("services", service(2, "a", &[])).await);
    assert_eq!((error.code, error.status()), (5, 409));
    assert_eq!(
        error.message,
        r#"UNIQUE violation detected on '{name="a"}'"#
    );
    assert_eq!(error.fields, json!({"name": "a"}));

    // A name that was given up is free; null is no name.
    let rename = |_| Ok(service(1, "z", &[]));
    store
        .change("services", Key::Id(id(1)), rename)
        .await
        .unwrap();
    store
        .insert("services", service(2, "a", &[]))
        .await
        .unwrap();
    store.insert("routes", route(11, None)).await.unwrap();
    store.insert("routes", route(12, None)).await.unwrap();
}

async fn nulls_in_a_scope_are_values(store: &dyn Store) {
    let plugin = |number| {
        object(
            json!({"id": id(number), "name": "cors", "instance_name": null,
            "route": null, "service": null, "consumer": null, "config": {}}),
        )
    };
    store.insert("plugins", plugin(1)).await.unwrap();
    let error = rejection(store.insert("plugins", plugin(2)).await);
    assert_eq!(
        error.message,
        r#"UNIQUE violation detected on '{consumer=null,name="cors",route=null,service=null}'"#
    );
}

async fn references_lead_somewhere(store: &dyn Store) {
    let error = rejection(store.insert("routes", route(11, Some(1))).await);
    assert_eq!((error.code, error.status()), (4, 400));
    assert_eq!(
        error.message,
        format!(
            r#"the foreign key '{{id="{}"}}' does not reference an existing 'services' entity."#,
            id(1)
        )
    );
    assert_eq!(error.fields, json!({"service": {"id": id(1)}}));
}

async fn deletes_by_the_rules(store: &dyn Store) {
    let table = table(&schemas());
    store.import(table, Import::Merge).await.unwrap();
    let before = revision(store).await;

    let error = rejection(store.delete("services", &id(1)).await);
    assert_eq!(error.code, 4);
    assert_eq!(
        error.message,
        "an existing 'routes' entity references this 'services' entity"
    );
    assert_eq!(error.fields, json!({"@referenced_by": "routes"}));
    assert_eq!(revision(store).await, before);

    assert!(store.delete("consumers", &id(21)).await.unwrap());
    let credentials = store.page("keyauth_credentials", PageRequest::default());
    assert_eq!(credentials.await.unwrap().data, []);
    // The key went with its credential.
    store.insert("consumers", consumer(22, "c2")).await.unwrap();
    let credential = credential(32, 22, "k1");
    store
        .insert("keyauth_credentials", credential)
        .await
        .unwrap();
}

async fn a_refused_piece_of_work_leaves_no_trace(store: &dyn Store) {
    let refused = store.write::<_, StoreError>(|transaction| {
        transaction.insert("services", &service(1, "a", &["t"]))?;
        transaction.insert("services", &service(2, "a", &["t"]))
    });
    rejection(refused.await);
    let panicked = store.write::<(), StoreError>(|transaction| {
        transaction.insert("services", &service(1, "a", &["t"]))?;
        panic!("a defect")
    });
    assert!(matches!(panicked.await, Err(StoreError::Aborted)));
    let page = store
        .page("services", PageRequest::default())
        .await
        .unwrap();
    assert_eq!(page.data, []);
    assert_eq!(store.tagged(None, 10, None).await.unwrap().data, []);
    assert_eq!(revision(store).await, 0);
    store
        .insert("services", service(1, "a", &[]))
        .await
        .unwrap();
}

async fn concurrent_changes_lose_nothing(store: Arc<dyn Store>) {
    let mut first = service(1, "a", &[]);
    first.insert("port".to_owned(), json!(0));
    store.insert("services", first).await.unwrap();
    let tasks = (0..20).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let count = |current: Option<_>| {
                let mut service: keelgate_entities::Object = current.unwrap();
                let port = service["port"].as_u64().unwrap();
                service.insert("port".to_owned(), json!(port + 1));
                Ok(service)
            };
            let key = Key::Id(id(1));
            store.change("services", key, count).await.unwrap();
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let service = store.get("services", Key::Id(id(1))).await.unwrap();
    assert_eq!(service.unwrap()["port"], json!(20));
    assert_eq!(revision(&*store).await, 21);
}

async fn concurrent_inserts_keep_names_unique(store: Arc<dyn Store>) {
    let tasks = (1..=10).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.insert("services", service(number, "a", &[])).await })
    });
    let mut written = 0;
    for task in tasks.collect::<Vec<_>>() {
        match task.await.unwrap() {
            Ok(()) => written += 1,
            refused => assert_eq!(rejection(refused).code, 5),
        }
    }
    assert_eq!(written, 1);
}

async fn imports_merge_or_replace(store: &dyn Store) {
    store
        .insert("services", service(1, "old", &[]))
        .await
        .unwrap();
    store
        .insert("services", service(99, "kept", &[]))
        .await
        .unwrap();
    let all = table(&schemas());
    store.import(all.clone(), Import::Merge).await.unwrap();
    assert_eq!(revision(store).await, 3);
    let kept = store.get("services", Key::field("name", "kept")).await;
    assert!(kept.unwrap().is_some());
    let old = store.get("services", Key::field("name", "old")).await;
    assert_eq!(old.unwrap(), None);

    store.import(all.clone(), Import::Replace).await.unwrap();
    let (position, exported) = store.export().await.unwrap();
    assert_eq!(exported, all);
    assert_eq!(position.revision, 4);
}

async fn a_refused_import_changes_nothing(store: &dyn Store) {
    let all = table(&schemas());
    store.import(all.clone(), Import::Merge).await.unwrap();
    let before = store.export().await.unwrap();
    // Everything is well but the very last one: a key that is taken, one whose consumer is missing.
    for (last, code) in [
        (credential(99, 51, "k98"), 5),
        (credential(99, 52, "k99"), 4),
    ] {
        let mut credentials = vec![credential(98, 51, "k98")];
        credentials.push(last);
        let bad = Table::new(
            &schemas(),
            [
                ("services".to_owned(), vec![service(41, "s41", &["new"])]),
                ("consumers".to_owned(), vec![consumer(51, "c51")]),
                ("keyauth_credentials".to_owned(), credentials),
            ],
        );
        for mode in [Import::Merge, Import::Replace] {
            let refused = store.import(bad.clone(), mode).await;
            assert_eq!(rejection(refused).code, code);
            assert_eq!(store.export().await.unwrap(), before);
        }
    }
    let tagged = store.tagged(Some("new".to_owned()), 9, None).await;
    assert_eq!(tagged.unwrap().data, []);
}

async fn tells_of_changes(store: &dyn Store) {
    let mut feed = store.subscribe();
    assert_eq!(*feed.borrow_and_update(), 0);
    store
        .insert("services", service(1, "a", &[]))
        .await
        .unwrap();
    feed.changed().await.unwrap();
    assert_eq!(*feed.borrow_and_update(), 1);
    rejection(store.insert("services", service(1, "a", &[])).await);
    assert!(!feed.has_changed().unwrap(), "a refused write is no change");
    let name = store.get("services", Key::Id(id(1))).await.unwrap();
    assert_eq!(name.unwrap()["name"], Value::from("a"));
}
