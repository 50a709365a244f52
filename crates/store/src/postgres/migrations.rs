//! Making the tables, and bringing them to the newest version.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::connections::{self, bounded};
use super::layout::{MIGRATIONS, RESET, STEPS, Step};
use super::settings::PostgresSettings;
use crate::StoreError;

/// The advisory lock under which migrations run, one node at a time ("KEELGATE").
const LOCK: i64 = 0x4b45_454c_4741_5445;

/// How often a node asks for that lock while another one holds it.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Which steps a database has made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigrationState {
    /// Those that were made, oldest first. None: the database is not bootstrapped.
    pub executed: Vec<String>,
    /// Those that this version adds.
    pub pending: Vec<String>,
    /// Those that were made by a newer version.
    pub unknown: Vec<String>,
}

impl MigrationState {
    /// Whether there are any tables.
    pub fn is_bootstrapped(&self) -> bool {
        !self.executed.is_empty()
    }

    /// Whether a node of this version can work with the database; `Err` says what to do.
    pub(super) fn check(&self, place: &str) -> Result<(), StoreError> {
        match self {
            state if !state.is_bootstrapped() => Err(StoreError::NotBootstrapped(place.to_owned())),
            state if !state.unknown.is_empty() => Err(StoreError::Migrated(place.to_owned())),
            state if !state.pending.is_empty() => Err(StoreError::NeedsMigration(place.to_owned())),
            _ => Ok(()),
        }
    }
}

/// The migrations of one database. Each step is a transaction that remembers that it was made, so
/// that what was interrupted is taken up where it ended; one node at a time makes them.
pub struct Migrations {
    settings: PostgresSettings,
    steps: &'static [Step],
    patience: Duration,
}

impl Migrations {
    /// Nothing is connected to yet. `patience` is the longest wait for another node's migrations,
    /// and for each step.
    pub fn new(settings: PostgresSettings, patience: Duration) -> Self {
        Self {
            settings,
            steps: STEPS,
            patience,
        }
    }

    /// Which steps were made.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when the server is away.
    pub async fn state(&self) -> Result<MigrationState, StoreError> {
        let (client, _told) = connections::listening(&self.settings).await?;
        self.state_on(&client).await
    }

    /// Makes all steps in an empty database, and answers their names: none if there was nothing to
    /// do.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when the server is away or another node's migrations do not end.
    pub async fn bootstrap(&self) -> Result<Vec<String>, StoreError> {
        let (client, _told) = self.locked().await?;
        if let Some(schema) = &self.settings.schema {
            let schema = connections::quoted(schema);
            self.run(&client, &format!("CREATE SCHEMA IF NOT EXISTS {schema}"))
                .await?;
        }
        self.run(&client, MIGRATIONS).await?;
        self.make_pending(&client).await
    }

    /// Makes the steps that this version adds to a bootstrapped database.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotBootstrapped`], or as [`Migrations::bootstrap`].
    pub async fn up(&self) -> Result<Vec<String>, StoreError> {
        let (client, _told) = self.locked().await?;
        if !self.state_on(&client).await?.is_bootstrapped() {
            return Err(StoreError::NotBootstrapped(self.settings.place()));
        }
        self.make_pending(&client).await
    }

    /// Removes all tables with everything in them, at once or not at all. Nodes that run on them go on
    /// from memory.
    ///
    /// # Errors
    ///
    /// As [`Migrations::bootstrap`].
    pub async fn reset(&self) -> Result<(), StoreError> {
        let (client, _told) = self.locked().await?;
        let deadline = Instant::now() + self.patience;
        loop {
            // Nodes at work lock the tables in another order. Where both wait for each other, the
            // server ends one of them.
            match self.run(&client, RESET).await {
                Err(StoreError::Unavailable(_))
                    if !client.is_closed() && Instant::now() < deadline =>
                {
                    tokio::time::sleep(ASK_AGAIN).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn make_pending(&self, client: &Client) -> Result<Vec<String>, StoreError> {
        let pending = self.state_on(client).await?.pending;
        for step in self.steps {
            if pending.iter().any(|name| name == step.name) {
                let Step { name, up } = step;
                let remember = format!("INSERT INTO keelgate_migrations (name) VALUES ('{name}')");
                self.run(client, &format!("BEGIN; {up}; {remember}; COMMIT"))
                    .await?;
            }
        }
        Ok(pending)
    }

    async fn state_on(&self, client: &Client) -> Result<MigrationState, StoreError> {
        let table = client.query_one("SELECT to_regclass('keelgate_migrations') IS NOT NULL", &[]);
        let is_there: bool = bounded(self.settings.timeout, table).await?.get(0);
        let executed: Vec<String> = if is_there {
            let names = client.query("SELECT name FROM keelgate_migrations ORDER BY name", &[]);
            let names = bounded(self.settings.timeout, names).await?;
            names.iter().map(|row| row.get(0)).collect()
        } else {
            Vec::new()
        };
        let known: BTreeSet<_> = self.steps.iter().map(|step| step.name).collect();
        let is_made = |name: &str| executed.iter().any(|made| made == name);
        Ok(MigrationState {
            pending: known
                .iter()
                .filter(|name| !is_made(name))
                .map(ToString::to_string)
                .collect(),
            unknown: executed
                .iter()
                .filter(|name| !known.contains(name.as_str()))
                .cloned()
                .collect(),
            executed,
        })
    }

    /// A connection that holds the lock as long as it lives.
    async fn locked(&self) -> Result<(Client, tokio::sync::mpsc::Receiver<()>), StoreError> {
        let (client, told) = connections::listening(&self.settings).await?;
        // The server goes on for a client that was killed: not without end.
        let patience = self.patience.as_millis().max(1);
        self.run(&client, &format!("SET lock_timeout = {patience}"))
            .await?;
        let deadline = Instant::now() + self.patience;
        loop {
            let locked = client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]);
            if bounded(self.settings.timeout, locked).await?.get(0) {
                return Ok((client, told));
            }
            if Instant::now() >= deadline {
                return Err(StoreError::Unavailable(
                    "another node's migrations did not end in time".to_owned(),
                ));
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    async fn run(&self, client: &Client, statements: &str) -> Result<(), StoreError> {
        bounded(self.patience, client.batch_execute(statements)).await
    }
}
