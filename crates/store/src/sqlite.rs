//! The embedded store: one SQLite file.
//!
//! - One thread owns the only connection that writes; work queues up to it, so that no writer ever
//!   waits for a lock of this process, and a transaction can read, decide and write undisturbed.
//! - Reads run on connections of their own, on the runtime's blocking threads. In write-ahead mode
//!   they neither wait for the writer nor make it wait, and each sees one revision.
//! - Counts go to the writer, too, which commits those together that have come together.

mod audit;
mod counter;
mod epoch;
mod layout;
mod open;
mod read;
mod write;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use keelgate_entities::declarative::Table;
use keelgate_entities::{Object, Schemas};
use rusqlite::Connection;
use tokio::sync::watch;
use uuid::Uuid;

use crate::index::unique_value;
use crate::journal::{Changed, Changes, Journal};
use crate::store::check_size;
use crate::transaction::schema;
use crate::{
    Amount, Answer, AuditPage, Counted, Key, Page, PageRequest, Position, Store, StoreError,
    TagPage, Transaction, Work,
};
use write::SqliteRows;
use writer::{Told, Writer};

/// Idle reading connections that are kept for the next read.
const IDLE_READERS: usize = 4;

/// A store in one SQLite file.
pub struct SqliteStore {
    path: PathBuf,
    schemas: Arc<Schemas>,
    writer: Writer,
    // A std mutex: held for a push or a pop, never across a wait.
    idle: Arc<Mutex<Vec<Connection>>>,
    revision: watch::Receiver<u64>,
    journal: Arc<Mutex<Journal>>,
    generation: Arc<AtomicU64>,
}

impl SqliteStore {
    /// Opens the file, or makes it (readable by its owner alone: it holds private keys).
    ///
    /// Blocks; meant for start.
    ///
    /// # Errors
    ///
    /// [`StoreError::Open`], [`StoreError::Corrupt`], [`StoreError::Foreign`] or
    /// [`StoreError::NewerSchema`] say what is wrong with the file and how to mend it.
    pub fn open(path: &Path, schemas: Arc<Schemas>) -> Result<Self, StoreError> {
        let connection = open::open_for_writing(path)?;
        let position = read::position(&connection)?;
        let (publish, revision) = watch::channel(position.revision);
        let journal = Arc::default();
        let told = Told {
            publish,
            journal: Arc::clone(&journal),
            generation: Arc::default(),
        };
        let generation = Arc::clone(&told.generation);
        let writer = Writer::start(connection, Arc::clone(&schemas), told, path)?;
        Ok(Self {
            path: path.to_owned(),
            schemas,
            writer,
            idle: Arc::default(),
            revision,
            journal,
            generation,
        })
    }

    /// Removes everything from the file at `path`, if there is one, at once or not at all. The next to
    /// open it founds a new cluster in it.
    ///
    /// Blocks, some seconds at most while another process has the file open.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] when that goes on, else as [`SqliteStore::open`].
    pub fn reset(path: &Path) -> Result<(), StoreError> {
        open::reset(path)
    }

    /// Runs a read on a connection of its own, inside one read transaction.
    fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        let path = self.path.clone();
        let pool = Arc::clone(&self.idle);
        Box::pin(async move {
            tokio::task::spawn_blocking(move || {
                let idle = pool.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let mut connection = match idle {
                    Some(connection) => connection,
                    None => open::open_for_reading(&path)?,
                };
                let answer = query(&*connection.transaction()?)?;
                let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
                if pool.len() < IDLE_READERS {
                    pool.push(connection);
                }
                Ok(answer)
            })
            .await
            .unwrap_or(Err(StoreError::Aborted))
        })
    }
}

impl Store for SqliteStore {
    fn schemas(&self) -> &Arc<Schemas> {
        &self.schemas
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn get(&self, kind: &str, key: Key) -> Answer<'_, Option<Object>> {
        if let Err(error) = schema(&self.schemas, kind) {
            return Box::pin(std::future::ready(Err(error)));
        }
        let kind = kind.to_owned();
        self.read(move |connection| match key {
            Key::Id(id) => read::get(connection, &kind, &id),
            Key::Unique { name, values } => {
                match read::owner(connection, &kind, &name, &unique_value(values))? {
                    Some(id) => read::get(connection, &kind, &id),
                    None => Ok(None),
                }
            }
        })
    }

    fn page(&self, kind: &str, request: PageRequest) -> Answer<'_, Page> {
        if let Err(error) = schema(&self.schemas, kind).and(check_size(request.size)) {
            return Box::pin(std::future::ready(Err(error)));
        }
        let kind = kind.to_owned();
        self.read(move |connection| read::page(connection, &kind, &request))
    }

    fn tagged(
        &self,
        tag: Option<String>,
        size: usize,
        offset: Option<String>,
    ) -> Answer<'_, TagPage> {
        if let Err(error) = check_size(size) {
            return Box::pin(std::future::ready(Err(error)));
        }
        self.read(move |connection| {
            read::tagged(connection, tag.as_deref(), size, offset.as_deref())
        })
    }

    fn audit(&self, size: usize, offset: Option<String>) -> Answer<'_, AuditPage> {
        if let Err(error) = check_size(size) {
            return Box::pin(std::future::ready(Err(error)));
        }
        self.read(move |connection| audit::page(connection, size, offset.as_deref()))
    }

    fn transact(&self, work: Work) -> Answer<'_, u64> {
        Box::pin(self.writer.run(work))
    }

    fn view(&self, work: Work) -> Answer<'_, ()> {
        let schemas = Arc::clone(&self.schemas);
        self.read(move |connection| {
            let mut rows = SqliteRows(connection);
            work(&mut Transaction::new(
                &mut rows,
                &schemas,
                SystemTime::now(),
            ))
        })
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn count(&self, amounts: Vec<Amount>) -> Answer<'_, Counted> {
        Box::pin(self.writer.count(amounts))
    }

    fn counted(&self, keys: Vec<Vec<u8>>) -> Answer<'_, Vec<i64>> {
        self.read(move |connection| {
            let held = keys.iter().map(|key| counter::held(connection, key));
            held.collect()
        })
    }

    fn export(&self) -> Answer<'_, (Position, Table)> {
        let schemas = Arc::clone(&self.schemas);
        self.read(move |connection| {
            // What is left of a `ttl` counts from the commit: one revision has one content, whenever
            // it is exported.
            let at = read::committed_at(connection)?;
            let lasting = schemas.kinds().iter().filter(|schema| !schema.record);
            let entities = lasting
                .map(|schema| {
                    let all = read::all(connection, schema.name, at)?;
                    Ok((schema.name.to_owned(), all))
                })
                .collect::<Result<Vec<_>, StoreError>>()?;
            Ok((read::position(connection)?, Table::new(&schemas, entities)))
        })
    }

    fn changes(&self, since: Position) -> Answer<'_, Option<Changes>> {
        let journal = Arc::clone(&self.journal);
        let schemas = Arc::clone(&self.schemas);
        self.read(move |connection| {
            let position = read::position(connection)?;
            if position.cluster_id != since.cluster_id {
                return Ok(None);
            }
            let touched = journal.lock().unwrap_or_else(PoisonError::into_inner);
            let touched = touched.since(since.revision, position.revision);
            let (Some(mut touched), Some(expiring)) =
                (touched, read::expiring(connection, &schemas)?)
            else {
                return Ok(None);
            };
            touched.extend(expiring);
            let at = read::committed_at(connection)?;
            let entities = touched.into_iter().map(|(kind, id)| {
                let entity = read::get_at(connection, &kind, &id, at)?;
                Ok(Changed { kind, id, entity })
            });
            let entities = entities.collect::<Result<_, StoreError>>()?;
            Ok(Some(Changes { position, entities }))
        })
    }

    fn position(&self) -> Answer<'_, Position> {
        self.read(read::position)
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        self.revision.clone()
    }

    fn begin_epoch(&self, above: u64, cluster_id: Option<Uuid>) -> Answer<'_, Position> {
        let path = self.path.clone();
        Box::pin(async move {
            let begun = tokio::task::spawn_blocking(move || {
                epoch::begin(&mut open::open_for_writing(&path)?, above, cluster_id)
            });
            begun.await.unwrap_or(Err(StoreError::Aborted))
        })
    }
}
