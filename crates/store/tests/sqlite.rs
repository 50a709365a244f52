//! The embedded store, on real files.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[allow(dead_code, unused_imports)]
mod conformance;

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use conformance::{id, schemas, service, table};
use keelgate_store::{Import, Key, SqliteStore, Store, StoreError, StoreExt};
use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;

fn open(directory: &TempDir) -> SqliteStore {
    SqliteStore::open(&directory.path().join("keelgate.db"), schemas()).unwrap()
}

fn refusal(path: &Path) -> StoreError {
    match SqliteStore::open(path, schemas()) {
        Err(error) => error,
        Ok(_) => panic!("the file was accepted"),
    }
}

#[tokio::test]
async fn conforms_for_reads() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    store
        .import(table(store.schemas()), Import::Merge)
        .await
        .unwrap();
    conformance::reads(&store).await;
}

#[tokio::test]
async fn conforms_for_writes() {
    let directories = RefCell::new(Vec::new());
    conformance::writes(async || {
        let directory = TempDir::new().unwrap();
        let store: Arc<dyn Store> = Arc::new(open(&directory));
        directories.borrow_mut().push(directory);
        store
    })
    .await;
}

#[tokio::test]
async fn conforms_for_the_audit_log() {
    let directories = RefCell::new(Vec::new());
    conformance::audit(async || {
        let directory = TempDir::new().unwrap();
        let store: Arc<dyn Store> = Arc::new(open(&directory));
        directories.borrow_mut().push(directory);
        store
    })
    .await;
}

#[tokio::test]
async fn conforms_for_records() {
    let directories = RefCell::new(Vec::new());
    conformance::records(async || {
        let directory = TempDir::new().unwrap();
        let store: Arc<dyn Store> = Arc::new(open(&directory));
        directories.borrow_mut().push(directory);
        store
    })
    .await;
}

#[tokio::test]
async fn conforms_for_epochs() {
    let directory = TempDir::new().unwrap();
    conformance::epochs(&open(&directory), &open(&directory)).await;
}

#[test]
fn what_was_exported_is_imported_as_it_was() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _entered = runtime.enter();
    let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    conformance::round_trip(&runtime, &open(&one), &open(&other), 64);
}

#[test]
fn nested_and_flat_configurations_are_the_same() {
    conformance::forms_are_the_same(64);
}

#[tokio::test]
async fn an_entity_with_a_time_to_live_expires() {
    let directory = TempDir::new().unwrap();
    conformance::expiry::expires(&open(&directory)).await;
}

#[tokio::test]
async fn what_is_left_of_a_time_to_live_is_exported_as_of_the_commit() {
    let directory = TempDir::new().unwrap();
    let later = async |seconds| {
        Connection::open(directory.path().join("keelgate.db"))
            .unwrap()
            .execute(
                "UPDATE revisions SET committed_at = committed_at - ?1",
                [seconds * 1000],
            )
            .unwrap();
        let store: Arc<dyn Store> = Arc::new(open(&directory));
        vec![store]
    };
    conformance::expiry::is_exported_as_of_the_commit(&open(&directory), later).await;
}

#[tokio::test]
async fn a_restart_keeps_entities_revision_and_cluster() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    store
        .insert("services", service(1, "a", &[]))
        .await
        .unwrap();
    let before = store.export().await.unwrap();
    drop(store);
    let store = open(&directory);
    assert_eq!(store.export().await.unwrap(), before);
    assert_eq!(*store.subscribe().borrow(), 1);
    store
        .insert("services", service(2, "b", &[]))
        .await
        .unwrap();
    assert_eq!(store.position().await.unwrap().revision, 2);
}

#[tokio::test]
async fn another_file_is_another_cluster() {
    let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let one = open(&one).position().await.unwrap();
    let other = open(&other).position().await.unwrap();
    assert_ne!(one.cluster_id, other.cluster_id);
}

/// The files as a power cut in the middle of a transaction would leave them, taken while the
/// transaction is open.
#[tokio::test]
async fn a_crash_inside_a_transaction_leaves_the_state_before() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    store
        .insert("services", service(1, "a", &[]))
        .await
        .unwrap();
    let before = store.export().await.unwrap();

    let crashed = TempDir::new().unwrap();
    let (from, to) = (directory.path().to_owned(), crashed.path().to_owned());
    let work = move |transaction: &mut keelgate_store::Transaction<'_>| {
        // Enough to overflow SQLite's page cache, so that unfinished pages reach the log.
        for number in 2..3000 {
            let mut entity = service(number, &format!("s{number}"), &[]);
            entity.insert("path".to_owned(), json!("/x".repeat(2000)));
            transaction.insert("services", &entity)?;
        }
        for file in std::fs::read_dir(&from).unwrap() {
            let file = file.unwrap();
            if !file.file_name().to_str().unwrap().ends_with("-shm") {
                std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
        Ok::<_, StoreError>(())
    };
    store.write(work).await.unwrap();
    assert_eq!(store.position().await.unwrap().revision, 2);

    assert_eq!(open(&crashed).export().await.unwrap(), before);
}

#[tokio::test]
async fn a_commit_of_another_process_is_told_of() {
    let directory = TempDir::new().unwrap();
    let node = open(&directory);
    let mut feed = node.subscribe();
    feed.mark_unchanged();
    let tool = open(&directory);
    tool.insert("services", service(1, "a", &[])).await.unwrap();
    feed.changed().await.unwrap();
    assert_eq!(*feed.borrow(), 1);
    assert!(
        node.get("services", Key::Id(id(1)))
            .await
            .unwrap()
            .is_some()
    );
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let directory = TempDir::new().unwrap();
    let _store = open(&directory);
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", file.path().display());
    }
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("keelgate.db");
    std::fs::write(
        &path,
        "not a database, but long enough to have a header. ".repeat(20),
    )
    .unwrap();
    let error = refusal(&path);
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("keelgate.db"));
}

#[tokio::test]
async fn a_damaged_database_is_refused() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    for number in 1..200 {
        let name = format!("s{number}");
        store
            .insert("services", service(number, &name, &["t"]))
            .await
            .unwrap();
    }
    drop(store);
    let path = directory.path().join("keelgate.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xAA);
    std::fs::write(&path, bytes).unwrap();
    let error = refusal(&path);
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[test]
fn a_database_of_a_newer_version_is_refused() {
    let directory = TempDir::new().unwrap();
    drop(open(&directory));
    let path = directory.path().join("keelgate.db");
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = refusal(&path);
    assert!(
        matches!(error, StoreError::NewerSchema { found: 99, .. }),
        "{error}"
    );
}

#[test]
fn a_database_of_another_program_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("keelgate.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE t (a)").unwrap();
    drop(connection);
    let error = refusal(&path);
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
}

#[test]
fn a_missing_directory_is_named() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("missing").join("keelgate.db");
    let error = refusal(&path);
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    assert!(error.to_string().contains("missing"));
}

#[tokio::test]
async fn a_reset_leaves_a_new_cluster_to_be() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("keelgate.db");
    SqliteStore::reset(&path).unwrap();
    assert!(!path.exists(), "there was nothing to reset");
    let store = open(&directory);
    store
        .import(table(&schemas()), Import::Merge)
        .await
        .unwrap();
    let before = store.position().await.unwrap();
    let refused = SqliteStore::reset(&path);
    assert!(
        matches!(refused, Err(StoreError::InUse { .. })),
        "{refused:?}"
    );
    assert_eq!(store.position().await.unwrap(), before, "a node has it");
    drop(store);

    let resets = [(); 4].map(|()| {
        let path = path.clone();
        std::thread::spawn(move || SqliteStore::reset(&path).unwrap())
    });
    for reset in resets {
        reset.join().unwrap();
    }
    let store = open(&directory);
    let (position, held) = store.export().await.unwrap();
    assert_eq!(position.revision, 0);
    assert_ne!(position.cluster_id, before.cluster_id);
    assert!(held.get("services").is_empty());
}

#[test]
fn files_of_other_programs_are_not_reset() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("keelgate.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE t (a)").unwrap();
    drop(connection);
    let refused = SqliteStore::reset(&path);
    assert!(
        matches!(refused, Err(StoreError::Foreign { .. })),
        "{refused:?}"
    );
}

const KILLED: &str = "KEELGATE_TEST_KILLED_FILE";

/// What [`a_process_that_is_killed_while_it_migrates_leaves_a_whole_file`] kills.
#[test]
#[ignore = "a process of another test"]
fn migrates_a_file() {
    let path = std::env::var_os(KILLED).unwrap();
    drop(SqliteStore::open(Path::new(&path), schemas()).unwrap());
}

#[tokio::test]
async fn a_process_that_is_killed_while_it_migrates_leaves_a_whole_file() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("keelgate.db");
    drop(open(&directory));
    // As the first version left it, with so much in it that the steps after it take a while.
    let older = Connection::open(&path).unwrap();
    older
        .execute_batch(
            "BEGIN; DROP TABLE audit; DROP TABLE counters; DROP INDEX entities_expiring;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
             INSERT INTO entities SELECT 'plugins', i, hex(randomblob(500)), i FROM n;
             PRAGMA user_version = 1; COMMIT",
        )
        .unwrap();
    let seen = |connection: &Connection| {
        let version: i64 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        let tables = "SELECT count(*) FROM sqlite_schema
            WHERE name IN ('audit', 'counters', 'entities_expiring')";
        let tables: i64 = connection.query_row(tables, [], |row| row.get(0)).unwrap();
        (version, tables)
    };
    assert_eq!(seen(&older), (1, 0));
    drop(older);
    for pause in 1.. {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "migrates_a_file", "--ignored"])
            .env(KILLED, &path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Any moment is right: over the rounds every part of it is met.
        tokio::time::sleep(std::time::Duration::from_millis(20 * pause)).await;
        let is_done = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        let state = seen(&Connection::open(&path).unwrap());
        assert!([(1, 0), (3, 3)].contains(&state), "{state:?}");
        if is_done {
            assert!(ended.success());
            assert_eq!(state, (3, 3));
            break;
        }
    }
}
