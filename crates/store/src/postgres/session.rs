//! One connection in the hands of one piece of work, on a thread that may block.

use std::future::Future;
use std::time::Duration;

use deadpool_postgres::Object;
use tokio::runtime::Handle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, SimpleQueryMessage, SimpleQueryRow};

use super::connections::{Connections, bounded};
use crate::StoreError;

/// The values of a statement.
pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection with at most one open transaction. Dropped with one open, the connection is closed,
/// which rolls back.
pub(super) struct Session {
    client: Option<Object>,
    handle: Handle,
    timeout: Duration,
    in_transaction: bool,
}

impl Session {
    /// Takes a connection.
    pub(super) fn take(connections: &Connections, handle: &Handle) -> Result<Self, StoreError> {
        Ok(Self {
            client: Some(handle.block_on(connections.get())?),
            handle: handle.clone(),
            timeout: connections.timeout,
            in_transaction: false,
        })
    }

    /// Opens a transaction with the statements, and answers their rows.
    pub(super) fn begin(&mut self, statements: &str) -> Result<Vec<SimpleQueryRow>, StoreError> {
        self.begin_waiting(statements, self.timeout)
    }

    /// The same, where the statements may wait for others.
    pub(super) fn begin_waiting(
        &mut self,
        statements: &str,
        timeout: Duration,
    ) -> Result<Vec<SimpleQueryRow>, StoreError> {
        self.in_transaction = true;
        self.simple(statements, timeout)
    }

    /// Ends the transaction with statements of which the last commits.
    pub(super) fn end(&mut self, statements: &str) -> Result<(), StoreError> {
        self.simple(statements, self.timeout)?;
        self.in_transaction = false;
        Ok(())
    }

    /// Gives the transaction up. What cannot be told to the server is told by hanging up.
    pub(super) fn roll_back(&mut self) {
        if self.simple("ROLLBACK", self.timeout).is_ok() {
            self.in_transaction = false;
        }
    }

    fn simple(
        &mut self,
        statements: &str,
        timeout: Duration,
    ) -> Result<Vec<SimpleQueryRow>, StoreError> {
        let client = client(&self.client)?;
        let messages = wait(&self.handle, timeout, client.simple_query(statements))?;
        Ok(messages
            .into_iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(row),
                _ => None,
            })
            .collect())
    }

    /// Runs a query that is prepared once for each connection.
    pub(super) fn query(&mut self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, StoreError> {
        let client = client(&self.client)?;
        wait(&self.handle, self.timeout, async {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, values).await
        })
    }

    /// Runs statements in order, all on their way before the first answer is awaited.
    pub(super) fn execute(&mut self, statements: &[(&str, Values<'_>)]) -> Result<(), StoreError> {
        let client = client(&self.client)?;
        let all = async {
            let mut prepared = Vec::with_capacity(statements.len());
            for (sql, _) in statements {
                prepared.push(client.prepare_cached(sql).await?);
            }
            // Each sends when it is first polled, which `try_join_all` does in order.
            futures_util::future::try_join_all(
                prepared
                    .iter()
                    .zip(statements)
                    .map(|(statement, (_, values))| client.execute(statement, values)),
            )
            .await
        };
        wait(&self.handle, self.timeout, all).map(drop)
    }
}

fn client(client: &Option<Object>) -> Result<&Object, StoreError> {
    client.as_ref().ok_or(StoreError::Closed)
}

fn wait<T>(
    handle: &Handle,
    timeout: Duration,
    query: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, StoreError> {
    handle.block_on(bounded(timeout, query))
}

impl Drop for Session {
    fn drop(&mut self) {
        // In the pool, the next user would find a transaction open.
        if self.in_transaction
            && let Some(client) = self.client.take()
        {
            drop(Object::take(client));
        }
    }
}
