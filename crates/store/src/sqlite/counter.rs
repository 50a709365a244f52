//! Counters.

use rusqlite::{Connection, OptionalExtension, params};

use crate::{Amount, Counted, StoreError};

/// What a counter holds.
pub(super) fn held(connection: &Connection, key: &[u8]) -> Result<i64, StoreError> {
    let held = connection
        .prepare_cached("SELECT value FROM counters WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?;
    Ok(held.unwrap_or(0))
}

/// Adds amounts, all or none of them. `now` is in milliseconds since 1970.
pub(super) fn add(
    connection: &Connection,
    amounts: &[Amount],
    now: i64,
) -> Result<Counted, StoreError> {
    let before = amounts
        .iter()
        .map(|amount| held(connection, &amount.key))
        .collect::<Result<Vec<_>, _>>()?;
    let mut all = amounts.iter().zip(&before);
    let fits = all.all(|(amount, held)| amount.fits(*held));
    if fits {
        let mut statement = connection.prepare_cached(
            "INSERT INTO counters (key, value, expires_at) VALUES (?1, ?2, ?3)
             ON CONFLICT (key) DO UPDATE SET value = value + excluded.value",
        )?;
        for amount in amounts {
            let expires_at = now.saturating_add(amount.lasts_milliseconds());
            statement.execute(params![amount.key, amount.amount, expires_at])?;
        }
    }
    Ok(Counted { before, fits })
}

/// Removes what has expired.
pub(super) fn forget(connection: &Connection, now: i64) -> Result<(), StoreError> {
    // Only what has something to write waits for other processes that do.
    let is_there = connection
        .prepare_cached("SELECT 1 FROM counters WHERE expires_at <= ?1 LIMIT 1")?
        .exists([now])?;
    if !is_there {
        return Ok(());
    }
    connection
        .prepare_cached("DELETE FROM counters WHERE expires_at <= ?1")?
        .execute([now])?;
    Ok(())
}
