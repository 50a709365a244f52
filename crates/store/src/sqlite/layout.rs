//! The tables, and how older files become the newest layout.

use rusqlite::{Connection, Transaction};
use uuid::Uuid;

/// Marks the file as Keelgate's ("KEEL").
pub(super) const APPLICATION_ID: i64 = 0x4b45_454c;

/// How a database file of the version before becomes one of the next; the first makes a new one.
/// Only ever add to the end.
const STEPS: &[&str] = &[
    "
    CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value ANY NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- What was committed, when (milliseconds since 1970); the newest row is where the store stands.
    CREATE TABLE revisions (
        revision INTEGER PRIMARY KEY,
        committed_at INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE entities (
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        body TEXT NOT NULL,
        -- milliseconds since 1970
        expires_at INTEGER,
        PRIMARY KEY (kind, id)
    ) STRICT;
    CREATE INDEX entities_by_expiry ON entities (expires_at) WHERE expires_at IS NOT NULL;

    CREATE TABLE unique_keys (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        id TEXT NOT NULL,
        PRIMARY KEY (kind, name, value)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX unique_keys_by_entity ON unique_keys (kind, id);

    CREATE TABLE refs (
        kind TEXT NOT NULL,
        field TEXT NOT NULL,
        target_kind TEXT NOT NULL,
        target_id TEXT NOT NULL,
        id TEXT NOT NULL,
        PRIMARY KEY (kind, field, target_id, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX refs_by_target ON refs (target_kind, target_id, kind, field, id);
    CREATE INDEX refs_by_entity ON refs (kind, id);

    CREATE TABLE tags (
        tag TEXT NOT NULL,
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        PRIMARY KEY (tag, kind, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tags_by_entity ON tags (kind, id);
",
    "
    -- Who made which revision; `at` counts milliseconds since 1970.
    CREATE TABLE audit (
        revision INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX audit_by_time ON audit (at);
",
    "
    -- What gateways count; `expires_at` in milliseconds since 1970.
    CREATE TABLE counters (
        key BLOB PRIMARY KEY,
        value INTEGER NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX counters_by_expiry ON counters (expires_at);

    -- There may be any number of records that expire beside the entities of a kind that do.
    CREATE INDEX entities_expiring ON entities (kind, id) WHERE expires_at IS NOT NULL;
",
];

/// The newest layout that this build knows.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// Brings a file of layout `found` to [`VERSION`].
pub(super) fn migrate(transaction: &Transaction<'_>, found: i64) -> rusqlite::Result<()> {
    let done = usize::try_from(found).unwrap_or(0);
    for step in STEPS.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    if done == 0 {
        found_cluster(transaction)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)
}

/// Removes all tables, so that the file is like a new one.
pub(super) fn clear(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let tables: Vec<String> = transaction
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for table in tables {
        transaction.execute_batch(&format!("DROP TABLE {table}"))?;
    }
    transaction.pragma_update(None, "user_version", 0)?;
    transaction.pragma_update(None, "application_id", 0)
}

/// A new file is a new cluster, at its first epoch and before its first revision.
fn found_cluster(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO meta (name, value) VALUES ('cluster_id', ?1), ('epoch', 1)",
        [Uuid::new_v4().to_string()],
    )?;
    connection.execute("INSERT INTO revisions VALUES (0, unixepoch() * 1000)", [])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files as a killed process leaves them, taken while the migration is under way.
    #[test]
    fn what_was_killed_in_the_middle_of_a_migration_is_at_its_beginning() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("keelgate.db");
        let mut connection = Connection::open(&path).unwrap();
        connection
            .pragma_update(None, "journal_mode", "wal")
            .unwrap();
        // Unfinished pages go to the log at once.
        connection.pragma_update(None, "cache_size", 1).unwrap();
        let transaction = connection.transaction().unwrap();
        transaction.execute_batch(STEPS[0]).unwrap();
        found_cluster(&transaction).unwrap();
        for id in 0..500 {
            let body = format!("{{\"id\":\"{id:0>500}\"}}");
            let row = "INSERT INTO entities VALUES ('services', ?1, ?2, ?3)";
            transaction.execute(row, (id, body, id)).unwrap();
        }
        transaction.pragma_update(None, "user_version", 1).unwrap();
        transaction.commit().unwrap();

        for steps in 1..=STEPS.len() {
            let transaction = connection.transaction().unwrap();
            for step in STEPS.iter().take(steps).skip(1) {
                transaction.execute_batch(step).unwrap();
            }
            let killed = tempfile::TempDir::new().unwrap();
            let left = killed.path().join("keelgate.db");
            std::fs::copy(&path, &left).unwrap();
            let log = |path: &std::path::Path| path.with_extension("db-wal");
            std::fs::copy(log(&path), log(&left)).unwrap();
            drop(transaction);

            let mut left = Connection::open(left).unwrap();
            let found: i64 = left
                .pragma_query_value(None, "user_version", |row| row.get(0))
                .unwrap();
            assert_eq!(found, 1);
            let transaction = left.transaction().unwrap();
            migrate(&transaction, found).unwrap();
            transaction.commit().unwrap();
            let count = "SELECT (SELECT count(*) FROM entities), (SELECT count(*) FROM counters)";
            let counted: (i64, i64) = left
                .query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap();
            assert_eq!(counted, (500, 0));
        }
    }
}
