//! Opening database files, and telling what is wrong with those that cannot be.

use std::fs::OpenOptions;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::layout::{APPLICATION_ID, VERSION, clear, migrate};
use crate::StoreError;

/// How long a statement waits for another process that uses the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The connection of the writer: makes the file where there is none, checks it, and brings it to
/// the newest layout.
pub(super) fn open_for_writing(path: &Path) -> Result<Connection, StoreError> {
    create_private(path).map_err(|source| StoreError::Open {
        path: path.to_owned(),
        source,
    })?;
    check_and_migrate(path).map_err(|error| explain(path, error))
}

/// A connection that only reads.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags())?;
    configure(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// Removes everything from the file, which nobody else may have open meanwhile.
pub(super) fn reset(path: &Path) -> Result<(), StoreError> {
    if !path.exists() {
        return Ok(());
    }
    empty(path).map_err(|error| match error {
        StoreError::Database(error)
            if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) =>
        {
            StoreError::InUse {
                path: path.to_owned(),
            }
        }
        other => explain(path, other),
    })
}

fn empty(path: &Path) -> Result<(), StoreError> {
    let mut connection = Connection::open_with_flags(path, flags())?;
    configure(&connection)?;
    // Refused as long as another connection has the file open, even one at rest.
    connection.pragma_update(None, "locking_mode", "exclusive")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    refuse_foreign(&transaction, path)?;
    clear(&transaction)?;
    transaction.commit()?;
    connection.execute_batch("VACUUM")?;
    Ok(())
}

/// SQLite gives its side files the mode of the main one, so that one mode protects all of them.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn flags() -> OpenFlags {
    // Each connection is used by one thread at a time, so SQLite's own mutexes are not needed.
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn check_and_migrate(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open_with_flags(path, flags())?;
    configure(&connection)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // FULL: the write-ahead log is synchronised at every commit, so that a change which was
    // answered survives a power cut. NORMAL would only keep the file consistent.
    connection.pragma_update(None, "synchronous", "full")?;
    // In KiB where negative. An import files its entities all over the indexes: with room for little of
    // them, pages would be written and read again many times before the commit.
    connection.pragma_update(None, "cache_size", -65_536)?;

    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    refuse_foreign(&transaction, path)?;
    let found = pragma(&transaction, "user_version")?;
    if found > VERSION {
        return Err(StoreError::NewerSchema {
            path: path.to_owned(),
            found,
            supported: VERSION,
        });
    }
    let verdict: String = transaction.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(StoreError::Corrupt {
            path: path.to_owned(),
            reason: verdict,
        });
    }
    if found < VERSION {
        migrate(&transaction, found)?;
    }
    transaction.commit()?;
    Ok(connection)
}

/// Leaves files of other programs alone.
fn refuse_foreign(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let application = pragma(connection, "application_id")?;
    let found = pragma(connection, "user_version")?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION_ID && (application != 0 || found != 0 || tables != 0) {
        return Err(StoreError::Foreign {
            path: path.to_owned(),
        });
    }
    Ok(())
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

fn explain(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Database(error)
            if matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
            ) =>
        {
            StoreError::Corrupt {
                path: path.to_owned(),
                reason: error.to_string(),
            }
        }
        other => other,
    }
}
