//! The next epoch: how a control plane becomes the newest again.

use rusqlite::{Connection, TransactionBehavior};
use uuid::Uuid;

use super::read;
use super::writer::record;
use crate::{Position, StoreError};

/// Sets the epoch above both, and the cluster if one is given, in one transaction.
pub(super) fn begin(
    connection: &mut Connection,
    above: u64,
    cluster_id: Option<Uuid>,
) -> Result<Position, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let before = read::position(&transaction)?;
    // Columns hold 63 bits.
    let epoch = before.epoch.max(above).saturating_add(1);
    let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
    transaction.execute("UPDATE meta SET value = ?1 WHERE name = 'epoch'", [epoch])?;
    if let Some(cluster_id) = cluster_id {
        transaction.execute(
            "UPDATE meta SET value = ?1 WHERE name = 'cluster_id'",
            [cluster_id.to_string()],
        )?;
    }
    record(&transaction, before.revision + 1)?;
    let position = read::position(&transaction)?;
    transaction.commit()?;
    Ok(position)
}
