//! Counters. Counting is one statement of its own: it waits for no writer of the configuration.

use super::read::NOW;
use super::session::Session;
use crate::{Amount, Counted, StoreError};

/// Adds amounts, all or none of them. Whoever counts at the same moment may still be let in by what
/// is read here; what was added tells exactly how much there was before it.
pub(super) fn add(session: &mut Session, amounts: &[Amount]) -> Result<Counted, StoreError> {
    let keys: Vec<&[u8]> = amounts.iter().map(|amount| &*amount.key).collect();
    let values: Vec<i64> = amounts.iter().map(|amount| amount.amount).collect();
    let limits: Vec<Option<f64>> = amounts.iter().map(|amount| amount.limit).collect();
    let lasts: Vec<i64> = amounts.iter().map(Amount::lasts_milliseconds).collect();
    // In one order, so that no two wait for each other.
    let sql = format!(
        "WITH asked AS (
            SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::float8[], $4::bigint[])
                WITH ORDINALITY AS a(key, amount, most, lasts, place)
        ), known AS (
            SELECT a.*, coalesce(c.value, 0) AS held
            FROM asked a LEFT JOIN keelgate_counters c ON c.key = a.key
        ), added AS (
            INSERT INTO keelgate_counters AS c (key, value, expires_at)
            SELECT key, amount, {NOW} + lasts FROM known
            WHERE NOT EXISTS (SELECT FROM known WHERE held >= most)
            ORDER BY key
            ON CONFLICT (key) DO UPDATE SET value = c.value + excluded.value
            RETURNING c.key, c.value
        )
        SELECT coalesce(a.value - k.amount, k.held), a.key IS NOT NULL
        FROM known k LEFT JOIN added a ON a.key = k.key ORDER BY k.place"
    );
    let rows = session.query(&sql, &[&keys, &values, &limits, &lasts])?;
    let before: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    let fits = amounts.iter().zip(&before);
    Ok(Counted {
        fits: rows.iter().all(|row| row.get(1))
            && fits.clone().all(|(amount, held)| amount.fits(*held)),
        before,
    })
}

/// What counters hold.
pub(super) fn held(session: &mut Session, keys: &[Vec<u8>]) -> Result<Vec<i64>, StoreError> {
    let rows = session.query(
        "SELECT coalesce(c.value, 0)
         FROM unnest($1::bytea[]) WITH ORDINALITY AS a(key, place)
         LEFT JOIN keelgate_counters c ON c.key = a.key ORDER BY a.place",
        &[&keys],
    )?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The statement that removes what has expired.
pub(super) fn forget() -> String {
    format!("DELETE FROM keelgate_counters WHERE expires_at <= {NOW}")
}
