//! Following the changes of all nodes: a connection of its own that is told of commits, with asking
//! now and then as the net under it, keeps the copy in memory at the newest revision.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use tokio::sync::{Notify, watch};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, IsolationLevel, Statement, Transaction};

use super::connections;
use super::copy::{Copy, Row, Standing, Update};
use super::counter;
use super::read::{NOW, no_cluster, position_of};
use super::rows::EntityKey;
use super::settings::PostgresSettings;
use super::writer::{CHANNEL, Writer};
use crate::StoreError;

/// How often the server is asked where it stands, if it tells of nothing.
const POLL: Duration = Duration::from_secs(1);

/// How long commits gather before they are looked at: many writers would otherwise have each of
/// their commits fetched alone, by every node.
const GATHER: Duration = Duration::from_millis(5);

/// How long to wait between attempts to reach a server that is away.
const PAUSE: Duration = Duration::from_millis(500);

const STANDING: &str = "SELECT c.cluster_id, c.epoch, c.revision, c.cleared_by, r.committed_at,
        (SELECT min(revision) FROM keelgate_revisions)
    FROM keelgate_cluster c JOIN keelgate_revisions r ON r.revision = c.revision";
// Short-lived records are of revision 0.
const WHOLE: &str = "SELECT kind, id, body, expires_at FROM keelgate_entities WHERE revision > 0";
const WRITTEN: &str =
    "SELECT kind, id, body, expires_at FROM keelgate_entities WHERE revision > $1";
const REMOVED: &str = "SELECT kind, id FROM keelgate_removals WHERE revision > $1";

/// What is asked again and again, prepared for one connection.
struct Statements {
    standing: Statement,
    whole: Statement,
    written: Statement,
    removed: Statement,
    expired: Statement,
    forget: Statement,
}

/// Whether the server is there, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It was not reached yet.
    Unknown,
    /// It answers.
    There,
    /// It does not.
    Away(String),
}

/// What follows the changes.
pub(super) struct Follower {
    pub(super) settings: PostgresSettings,
    pub(super) writer: Arc<Writer>,
    pub(super) copy: Arc<Copy>,
    /// Something that the copy does not have yet was committed by this node.
    pub(super) nudge: Arc<Notify>,
    pub(super) reach: watch::Sender<Reach>,
    /// The revision that the copy is as of.
    pub(super) copied: watch::Sender<u64>,
}

impl Follower {
    /// Follows until the task is dropped.
    pub(super) async fn run(self) {
        loop {
            let Err(error) = self.follow().await;
            let reason = match error {
                StoreError::Unavailable(reason) => reason,
                other => other.to_string(),
            };
            self.reach.send_if_modified(|reach| {
                let is_new = !matches!(reach, Reach::Away(_));
                if is_new {
                    tracing::error!(
                        database = self.settings.place(),
                        "the database is away: the configuration is read from memory, changes are refused: {reason}"
                    );
                }
                *reach = Reach::Away(reason);
                is_new
            });
            tokio::time::sleep(PAUSE.mul_f64(jitter())).await;
        }
    }

    /// Follows on one connection, until that is lost.
    async fn follow(&self) -> Result<Infallible, StoreError> {
        let (mut client, mut told) = connections::listening(&self.settings).await?;
        self.bounded(client.batch_execute(&format!("LISTEN {CHANNEL}")))
            .await?;
        let statements = self.prepare(&client).await?;
        loop {
            self.catch_up(&mut client, &statements).await?;
            self.reached();
            tokio::select! {
                told = told.recv() => if told.is_none() {
                    return Err(StoreError::Unavailable("the connection was lost".to_owned()));
                },
                () = self.nudge.notified() => {}
                () = tokio::time::sleep(POLL) => self.tidy(&client, &statements).await?,
            }
            tokio::time::sleep(GATHER).await;
        }
    }

    fn reached(&self) {
        self.reach.send_if_modified(|reach| {
            if matches!(reach, Reach::Away(_)) {
                tracing::info!(database = self.settings.place(), "the database is back");
            }
            std::mem::replace(reach, Reach::There) != Reach::There
        });
    }

    async fn prepare(&self, client: &Client) -> Result<Statements, StoreError> {
        let prepared = async |sql: &str| self.bounded(client.prepare(sql)).await;
        let expired =
            format!("SELECT kind, id FROM keelgate_entities WHERE expires_at <= {NOW} LIMIT 1000");
        Ok(Statements {
            standing: prepared(STANDING).await?,
            whole: prepared(WHOLE).await?,
            written: prepared(WRITTEN).await?,
            removed: prepared(REMOVED).await?,
            expired: prepared(&expired).await?,
            forget: prepared(&counter::forget()).await?,
        })
    }

    /// Brings the copy to the newest revision.
    async fn catch_up(
        &self,
        client: &mut Client,
        statements: &Statements,
    ) -> Result<(), StoreError> {
        let had = self.copy.standing();
        let (there, _) = self.standing(&*client, statements).await?;
        if had == Some(there) {
            return Ok(());
        }
        let begin = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start();
        let transaction = self.bounded(begin).await?;
        let (standing, oldest) = self.standing(transaction.client(), statements).await?;
        let update = match had.filter(|had| is_ahead(standing, oldest, *had)) {
            Some(had) => self.changes(&transaction, statements, had).await?,
            None => Update::Whole(self.rows(&transaction, &statements.whole, &[]).await?),
        };
        self.bounded(transaction.commit()).await?;
        let went_back = had.is_some_and(|had| standing.position.revision < had.position.revision);
        if let Some(had) = had.filter(|_| went_back) {
            tracing::error!(
                "the database went back from revision {} to {}: data planes that have the newer one keep it until `keelgate config next_epoch` is run",
                had.position.revision,
                standing.position.revision
            );
        }
        let (copy, schemas) = (Arc::clone(&self.copy), Arc::clone(&self.writer.schemas));
        let updated =
            tokio::task::spawn_blocking(move || copy.update(&schemas, update, standing)).await;
        updated.unwrap_or(Err(StoreError::Aborted))?;
        self.copied.send_replace(standing.position.revision);
        self.writer.newest.send_if_modified(|newest| {
            let is_newer = standing.position.revision > *newest;
            *newest = standing.position.revision.max(*newest);
            is_newer || went_back
        });
        Ok(())
    }

    async fn changes(
        &self,
        transaction: &Transaction<'_>,
        statements: &Statements,
        had: Standing,
    ) -> Result<Update, StoreError> {
        let since = had.position.revision.cast_signed();
        let removed = self
            .bounded(transaction.query(&statements.removed, &[&since]))
            .await?;
        let removed = removed.iter().map(|row| (row.get(0), row.get(1))).collect();
        let written = self
            .rows(transaction, &statements.written, &[&since])
            .await?;
        Ok(Update::Changes { removed, written })
    }

    /// Where the database stands, and the oldest revision that it remembers.
    async fn standing(
        &self,
        client: &Client,
        statements: &Statements,
    ) -> Result<(Standing, i64), StoreError> {
        let row = client.query_opt(&statements.standing, &[]);
        let row = self.bounded(row).await?;
        let row = row.ok_or_else(no_cluster)?;
        let standing = Standing {
            position: position_of(row.get(0), row.get(1), row.get(2))?,
            cleared_by: row.get(3),
            committed_at: row.get(4),
        };
        Ok((standing, row.get(5)))
    }

    async fn rows(
        &self,
        transaction: &Transaction<'_>,
        statement: &Statement,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let values = values.iter().copied();
        let stream = self
            .bounded(transaction.query_raw(statement, values))
            .await?;
        let mut stream = pin!(stream);
        let mut rows = Vec::new();
        while let Some(row) = self.bounded(stream.try_next()).await? {
            rows.push(Row {
                kind: row.get(0),
                id: row.get(1),
                body: row.get(2),
                expires_at: row.get(3),
            });
        }
        Ok(rows)
    }

    /// Removes what has expired, and closes connections that nobody uses.
    async fn tidy(&self, client: &Client, statements: &Statements) -> Result<(), StoreError> {
        if let Some(idle) = self.settings.idle {
            self.writer.connections.close_idle(idle);
        }
        self.bounded(client.execute(&statements.forget, &[]))
            .await?;
        let expired = self.bounded(client.query(&statements.expired, &[])).await?;
        let expired: Vec<EntityKey> = expired.iter().map(|row| (row.get(0), row.get(1))).collect();
        if expired.is_empty() {
            return Ok(());
        }
        let removed = self.writer.transact(Box::new(move |transaction| {
            for (kind, id) in &expired {
                transaction.delete(kind, id)?;
            }
            Ok(())
        }));
        if let Err(error) = removed.await {
            tracing::warn!(%error, "what has expired cannot be removed yet");
        }
        Ok(())
    }

    /// Waits for the server, but not forever.
    async fn bounded<T>(
        &self,
        query: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        connections::bounded(self.settings.timeout, query).await
    }
}

/// Whether the changes since `had` lead to `there`, and all of them are remembered.
fn is_ahead(there: Standing, oldest: i64, had: Standing) -> bool {
    let since = had.position.revision.cast_signed();
    there.position.cluster_id == had.position.cluster_id
        && there.position.revision >= had.position.revision
        && there.cleared_by <= since
        && oldest <= since
}

/// Nodes that lost the same server do not come back at the same moment.
fn jitter() -> f64 {
    let random = uuid::Uuid::new_v4().as_u128() as u16;
    0.5 + f64::from(random) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::Position;

    fn at(revision: u64, cleared_by: i64) -> Standing {
        Standing {
            position: Position {
                cluster_id: Uuid::from_u128(1),
                epoch: 1,
                revision,
            },
            cleared_by,
            committed_at: 0,
        }
    }

    #[test]
    fn changes_are_enough_only_where_all_are_remembered() {
        assert!(is_ahead(at(9, 3), 0, at(5, 3)));
        assert!(!is_ahead(at(9, 7), 0, at(5, 3)), "all was removed since");
        assert!(!is_ahead(at(9, 3), 6, at(5, 3)), "some are forgotten");
        assert!(
            !is_ahead(at(4, 3), 0, at(5, 3)),
            "an older copy was restored"
        );
        let mut other = at(9, 3);
        other.position.cluster_id = Uuid::from_u128(2);
        assert!(!is_ahead(other, 0, at(5, 3)), "another cluster");
    }
}
