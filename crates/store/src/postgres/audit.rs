//! The audit log.

use tokio_postgres::Row;

use super::session::{Session, Values};
use crate::audit::Entry;
use crate::unix_time::milliseconds;
use crate::{AuditPage, StoreError, Told, body};

/// Writes the entry of a revision in its open transaction, and forgets old ones.
pub(super) fn append(session: &mut Session, revision: i64, told: Told) -> Result<(), StoreError> {
    // PostgreSQL's text has every character but the null, which JSON escapes.
    let text = body::text("audit", &revision.to_string(), &told.body)?;
    let at = milliseconds(told.at);
    let insert = "INSERT INTO keelgate_audit (revision, at, body) VALUES ($1, $2, $3)";
    let values: Values<'_> = &[&revision, &at, &text];
    match told.forget_before.map(milliseconds) {
        Some(moment) => session.execute(&[
            ("DELETE FROM keelgate_audit WHERE at <= $1", &[&moment]),
            (insert, values),
        ]),
        None => session.execute(&[(insert, values)]),
    }
}

/// A page, the newest entry first.
pub(super) fn page(
    session: &mut Session,
    size: usize,
    token: Option<&str>,
) -> Result<AuditPage, StoreError> {
    let before = AuditPage::before(token)?;
    // One more than asked for tells whether there is a next page.
    let limit = i64::try_from(size).unwrap_or(i64::MAX).saturating_add(1);
    let rows = session.query(
        "SELECT revision, at, body FROM keelgate_audit
         WHERE revision < $1 ORDER BY revision DESC LIMIT $2",
        &[&before, &limit],
    )?;
    AuditPage::cut(rows.iter().map(read), size)
}

fn read(row: &Row) -> Entry {
    Entry {
        revision: row.get(0),
        at: row.get(1),
        body: row.get(2),
    }
}
