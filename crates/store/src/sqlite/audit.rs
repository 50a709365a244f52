//! The audit log.

use rusqlite::{Connection, Row, params};
use serde_json::Value;

use crate::audit::Entry;
use crate::unix_time::milliseconds;
use crate::{AuditPage, StoreError, Told};

/// Writes the entry of a revision, and forgets old ones.
pub(super) fn append(connection: &Connection, revision: u64, told: Told) -> Result<(), StoreError> {
    if let Some(moment) = told.forget_before {
        connection
            .prepare_cached("DELETE FROM audit WHERE at <= ?1")?
            .execute([milliseconds(moment)])?;
    }
    let body = Value::Object(told.body).to_string();
    connection
        .prepare_cached("INSERT INTO audit (revision, at, body) VALUES (?1, ?2, ?3)")?
        .execute(params![revision.cast_signed(), milliseconds(told.at), body])?;
    Ok(())
}

/// A page, the newest entry first.
pub(super) fn page(
    connection: &Connection,
    size: usize,
    token: Option<&str>,
) -> Result<AuditPage, StoreError> {
    let before = AuditPage::before(token)?;
    // One more than asked for tells whether there is a next page.
    let limit = i64::try_from(size + 1).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(
        "SELECT revision, at, body FROM audit WHERE revision < ?1 ORDER BY revision DESC LIMIT ?2",
    )?;
    let rows = statement
        .query_map([before, limit], read)?
        .collect::<Result<Vec<_>, _>>()?;
    AuditPage::cut(rows.into_iter(), size)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        revision: row.get(0)?,
        at: row.get(1)?,
        body: row.get(2)?,
    })
}
