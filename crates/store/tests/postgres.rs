//! The store of several control planes, on a real server.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[allow(dead_code, unused_imports)]
mod conformance;
mod postgres_server;

use std::sync::Arc;

use conformance::{id, rejection, route, schemas, service, table};
use keelgate_store::{
    Import, Key, PageRequest, PostgresSettings, PostgresStore, Store, StoreError, StoreExt,
};
use postgres_server::{Database, Line, Mode};
use serde_json::Value;

#[tokio::test]
async fn conforms_for_reads() {
    let database = Database::bootstrapped().await;
    let writer = database.open().await;
    writer
        .import(table(&schemas()), Import::Merge)
        .await
        .unwrap();
    conformance::reads(&writer).await;
    conformance::reads(&database.follow().await).await;
}

#[tokio::test]
async fn conforms_for_writes() {
    conformance::writes(async || {
        let store: Arc<dyn Store> = Arc::new(Database::bootstrapped().await.follow().await);
        store
    })
    .await;
}

#[tokio::test]
async fn conforms_for_the_audit_log() {
    conformance::audit(async || {
        let store: Arc<dyn Store> = Arc::new(Database::bootstrapped().await.open().await);
        store
    })
    .await;
}

#[tokio::test]
async fn conforms_for_writes_of_commands() {
    conformance::writes(async || {
        let store: Arc<dyn Store> = Arc::new(Database::bootstrapped().await.open().await);
        store
    })
    .await;
}

#[tokio::test]
async fn conforms_for_records() {
    conformance::records(async || {
        let store: Arc<dyn Store> = Arc::new(Database::bootstrapped().await.follow().await);
        store
    })
    .await;
}

#[tokio::test]
async fn records_of_other_nodes_are_seen_and_followed_by_nobody() {
    let database = Database::bootstrapped().await;
    let (one, other) = (database.follow().await, database.follow().await);
    let session = serde_json::json!({"id": id(1), "session_id": "s", "data": "d", "ttl": null});
    let session = conformance::object(session);
    one.insert("sessions", session.clone()).await.unwrap();
    let key = Key::field("session_id", "s");
    let found = other.get("sessions", key.clone()).await.unwrap();
    assert_eq!(found, Some(session));
    other.delete("sessions", &id(1)).await.unwrap();
    assert_eq!(one.get("sessions", key).await.unwrap(), None);
    let client = database.client().await;
    let told = client.query_one("SELECT count(*) FROM keelgate_removals", &[]);
    let told: i64 = told.await.unwrap().get(0);
    assert_eq!(told, 0);
}

#[test]
fn what_was_exported_is_imported_as_it_was() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stores = async || Database::bootstrapped().await.follow().await;
    let (one, other) = runtime.block_on(async { (stores().await, stores().await) });
    conformance::round_trip(&runtime, &one, &other, 16);
}

#[tokio::test]
async fn conforms_for_epochs() {
    let database = Database::bootstrapped().await;
    conformance::epochs(&database.follow().await, &database.open().await).await;
}

#[tokio::test]
async fn an_entity_with_a_time_to_live_expires() {
    let store = Database::bootstrapped().await.follow().await;
    conformance::expiry::expires(&store).await;
}

#[tokio::test]
async fn what_is_left_of_a_time_to_live_is_exported_as_of_the_commit() {
    let database = Database::bootstrapped().await;
    let later = async |seconds| {
        let shift = format!(
            "UPDATE keelgate_revisions SET committed_at = committed_at - {}",
            seconds * 1000
        );
        let client = database.client().await;
        client.batch_execute(&shift).await.unwrap();
        let stores: Vec<Arc<dyn Store>> = vec![
            Arc::new(database.open().await),
            Arc::new(database.follow().await),
        ];
        stores
    };
    conformance::expiry::is_exported_as_of_the_commit(&database.open().await, later).await;
}

#[tokio::test]
async fn nodes_see_each_others_changes() {
    let database = Database::bootstrapped().await;
    let (one, other) = (database.follow().await, database.follow().await);
    let mut feed = other.subscribe();
    one.insert("services", service(1, "a", &["t"]))
        .await
        .unwrap();
    feed.wait_for(|revision| *revision == 1).await.unwrap();
    assert_eq!(other.export().await.unwrap(), one.export().await.unwrap());
    one.insert("services", service(2, "b", &[])).await.unwrap();
    one.delete("services", &id(1)).await.unwrap();
    feed.wait_for(|revision| *revision == 3).await.unwrap();
    let (position, held) = other.export().await.unwrap();
    assert_eq!(position.revision, 3);
    assert_eq!(held.get("services"), [service(2, "b", &[])]);
    one.import(table(&schemas()), Import::Replace)
        .await
        .unwrap();
    feed.wait_for(|revision| *revision == 4).await.unwrap();
    assert_eq!(other.export().await.unwrap().1, table(&schemas()));
}

#[tokio::test]
async fn what_was_missed_while_a_connection_was_lost_is_made_up_for() {
    let database = Database::bootstrapped().await;
    let (one, other) = (database.follow().await, database.follow().await);
    let mut feed = other.subscribe();
    let client = database.client().await;
    let lost = client.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
        &[],
    );
    assert!(lost.await.unwrap() >= 2);
    client
        .batch_execute("UPDATE keelgate_cluster SET revision = 1")
        .await
        .unwrap();
    client
        .batch_execute("INSERT INTO keelgate_revisions VALUES (1, 0, 'x')")
        .await
        .unwrap();
    feed.wait_for(|revision| *revision == 1).await.unwrap();
    let mut feed = one.subscribe();
    feed.wait_for(|revision| *revision == 1).await.unwrap();
}

#[tokio::test]
async fn concurrent_nodes_keep_names_unique() {
    let database = Database::bootstrapped().await;
    let nodes = [
        Arc::new(database.open().await),
        Arc::new(database.open().await),
    ];
    let tasks: Vec<_> = (1..=20u32)
        .map(|number| {
            let node = Arc::clone(&nodes[number as usize % 2]);
            tokio::spawn(async move { node.insert("services", service(number, "a", &[])).await })
        })
        .collect();
    let mut written = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(()) => written += 1,
            refused => assert_eq!(rejection(refused).code, 5),
        }
    }
    assert_eq!(written, 1);
    assert_eq!(nodes[0].position().await.unwrap().revision, 1);
}

#[tokio::test]
async fn concurrent_nodes_keep_references() {
    let database = Database::bootstrapped().await;
    let (one, other) = (database.open().await, database.open().await);
    for number in 1..=10 {
        let name = format!("s{number}");
        one.insert("services", service(number, &name, &[]))
            .await
            .unwrap();
        let gone = id(number);
        let (deleted, inserted) = tokio::join!(
            one.delete("services", &gone),
            other.insert("routes", route(100 + number, Some(number)))
        );
        match (deleted, inserted) {
            (Ok(true), refused) => assert_eq!(rejection(refused).code, 4),
            (refused, Ok(())) => assert_eq!(rejection(refused).code, 4),
            both => panic!("{both:?}"),
        }
    }
}

#[tokio::test]
async fn while_the_server_is_away_reads_come_from_memory_and_writes_are_refused() {
    let database = Database::bootstrapped().await;
    let line = Line::to(&database.settings).await;
    let settings = PostgresSettings {
        port: line.address.port(),
        ..database.settings.clone()
    };
    let store = PostgresStore::follow(settings, None, schemas())
        .await
        .unwrap();
    store
        .import(table(&schemas()), Import::Merge)
        .await
        .unwrap();
    let before = store.export().await.unwrap();

    line.set(Mode::Cut);
    let refused = store.insert("services", service(9, "s9", &[])).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );
    assert!(store.position().await.is_err());
    let found = store.get("services", Key::field("name", "s2")).await;
    assert_eq!(found.unwrap(), Some(service(2, "s2", &["red", "blue"])));
    let page = store.page("routes", PageRequest::default()).await.unwrap();
    assert_eq!(page.data.len(), 4);
    let uses = store.tagged(Some("red".to_owned()), 9, None).await;
    assert_eq!(uses.unwrap().data.len(), 2);
    let children = store.read(|view| view.children("routes", "service", "services", &id(1)));
    let children: Result<_, StoreError> = children.await;
    assert_eq!(children.unwrap().len(), 2);
    assert_eq!(store.export().await.unwrap(), before);

    // Another node goes on meanwhile.
    let other = database.open().await;
    other
        .insert("services", service(8, "s8", &[]))
        .await
        .unwrap();
    let mut feed = store.subscribe();
    line.set(Mode::Whole);
    feed.wait_for(|revision| *revision == 2).await.unwrap();
    let there = store.get("services", Key::field("name", "s8")).await;
    assert!(there.unwrap().is_some());
    while let Err(error) = store.insert("services", service(9, "s9", &[])).await {
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        tokio::task::yield_now().await;
    }
    assert_eq!(store.export().await.unwrap().0.revision, 3);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_found_out_about() {
    let database = Database::bootstrapped().await;
    let line = Line::to(&database.settings).await;
    let settings = PostgresSettings {
        port: line.address.port(),
        ..database.settings.clone()
    };
    let store = PostgresStore::open(settings, schemas()).await.unwrap();
    line.set(Mode::LosesTheNextCommit);
    store
        .insert("services", service(1, "a", &[]))
        .await
        .unwrap();
    assert_eq!(line.mode(), Mode::Whole, "the answer was lost");
    assert_eq!(store.position().await.unwrap().revision, 1);
    let there = store.get("services", Key::Id(id(1))).await.unwrap();
    assert!(there.is_some());
}

#[tokio::test]
async fn reads_go_to_the_replica() {
    let (database, replica) = (
        Database::bootstrapped().await,
        Database::bootstrapped().await,
    );
    replica
        .open()
        .await
        .insert("services", service(1, "replicated", &[]))
        .await
        .unwrap();
    let line = Line::to(&replica.settings).await;
    let of_replica = PostgresSettings {
        port: line.address.port(),
        ..replica.settings.clone()
    };
    let store = PostgresStore::follow(database.settings.clone(), Some(of_replica), schemas())
        .await
        .unwrap();
    store
        .insert("services", service(1, "written", &[]))
        .await
        .unwrap();
    let name = async || {
        let found = store.get("services", Key::Id(id(1))).await.unwrap();
        found.unwrap()["name"].clone()
    };
    assert_eq!(name().await, "replicated");
    line.set(Mode::Cut);
    assert_eq!(name().await, "written", "without it, of the server");
}

#[tokio::test]
async fn long_names_are_unique_too() {
    let store = Database::bootstrapped().await.follow().await;
    let name = "n".repeat(20_000);
    store
        .insert("services", service(1, &name, &[]))
        .await
        .unwrap();
    let refused = store.insert("services", service(2, &name, &[])).await;
    assert_eq!(rejection(refused).code, 5);
    let found = store
        .get("services", Key::field("name", name))
        .await
        .unwrap();
    assert_eq!(found.unwrap()["id"], Value::from(id(1)));
}

#[tokio::test]
async fn nulls_in_requests_find_nothing_and_break_nothing() {
    let store = Database::bootstrapped().await.open().await;
    store
        .insert("services", service(1, "a", &[]))
        .await
        .unwrap();
    let none = store.get("services", Key::Id("\0".to_owned())).await;
    assert_eq!(none.unwrap(), None);
    let none = store.tagged(Some("\0".to_owned()), 9, None).await;
    assert_eq!(none.unwrap().data, []);
    let refused = store.insert("services", service(2, "b", &["\0"])).await;
    assert_eq!(rejection(refused).code, 2);
}

#[tokio::test]
async fn nodes_that_bootstrap_at_once_make_one_cluster() {
    let database = Database::empty().await;
    let error = database.refusal().await;
    assert!(matches!(error, StoreError::NotBootstrapped(_)), "{error}");
    assert!(error.to_string().contains("keelgate migrations bootstrap"));
    let migrations = [(); 5].map(|()| database.migrations());
    let tasks = migrations
        .map(|migrations| tokio::spawn(async move { migrations.bootstrap().await.unwrap().len() }));
    let mut made = Vec::new();
    for task in tasks {
        made.push(task.await.unwrap());
    }
    made.sort_unstable();
    assert_eq!(made[..4], [0; 4], "one of them made everything");
    assert!(made[4] > 0);
    assert_eq!(database.open().await.position().await.unwrap().revision, 0);
}

#[tokio::test]
async fn a_bootstrap_that_was_interrupted_is_taken_up() {
    let database = Database::empty().await;
    let client = database.client().await;
    client
        .batch_execute("CREATE TABLE keelgate_migrations (name TEXT COLLATE \"C\" PRIMARY KEY, executed_at TIMESTAMPTZ NOT NULL DEFAULT now())")
        .await
        .unwrap();
    let error = database.refusal().await;
    assert!(matches!(error, StoreError::NotBootstrapped(_)), "{error}");
    database.migrations().bootstrap().await.unwrap();
    database.open().await.position().await.unwrap();
}

#[tokio::test]
async fn tables_of_another_version_are_refused() {
    let database = Database::bootstrapped().await;
    let client = database.client().await;
    client
        .batch_execute("INSERT INTO keelgate_migrations (name) VALUES ('999_newer')")
        .await
        .unwrap();
    let state = database.migrations().state().await.unwrap();
    assert_eq!(state.unknown, ["999_newer"]);
    let error = database.refusal().await;
    assert!(matches!(error, StoreError::Migrated(_)), "{error}");
}

#[tokio::test]
async fn a_reset_leaves_nothing() {
    let mut database = Database::empty().await;
    database.settings.schema = Some("own \"schema\"".to_owned());
    let error = database.migrations().up().await.unwrap_err();
    assert!(matches!(error, StoreError::NotBootstrapped(_)), "{error}");
    database.migrations().bootstrap().await.unwrap();
    assert!(database.migrations().up().await.unwrap().is_empty());
    database.open().await.position().await.unwrap();
    database.migrations().reset().await.unwrap();
    let state = database.migrations().state().await.unwrap();
    assert!(!state.is_bootstrapped());
    let tables = database.client().await;
    let tables = tables.query(
        "SELECT 1 FROM pg_tables WHERE tablename LIKE 'keelgate%'",
        &[],
    );
    assert!(tables.await.unwrap().is_empty());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_of() {
    let mut database = Database::empty().await;
    database.settings.port = 1;
    let error = database.refusal().await;
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    database.settings.password = Some("wrong-secret".to_owned());
    database.settings.port = Database::empty().await.settings.port;
    let error = database.refusal().await;
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    let shown = format!("{error} {:?}", database.settings);
    assert!(!shown.contains("wrong-secret"), "{shown}");
}
