//! The database server that several control planes share: PostgreSQL.
//!
//! - Writes take turns at the one row of the cluster (`writer`), so that uniqueness, references
//!   and revisions hold whatever other nodes do.
//! - Reads go to the server, or to a replica of it that only reads where there is one, and to a copy
//!   in memory (`copy`) while it is away.
//! - Short-lived records and counters are the server's alone: neither a replica, which may lag
//!   behind, nor the copy has a say in them.
//! - A connection of its own follows the changes of all nodes (`follower`).
//! - The client library is asynchronous and work on a transaction is not, so that queries run on the
//!   runtime's blocking threads (`session`).

mod audit;
mod batch;
mod connections;
mod copy;
mod counter;
mod failure;
mod follower;
mod layout;
mod migrations;
mod read;
mod rows;
mod session;
mod settings;
mod tls;
mod writer;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use keelgate_entities::declarative::Table;
use keelgate_entities::{Object, Schemas};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use uuid::Uuid;

use crate::contents::{Contents, Frozen};
use crate::index::unique_value;
use crate::journal::Changes;
use crate::store::check_size;
use crate::transaction::schema;
use crate::unix_time::milliseconds;
use crate::{
    Amount, Answer, AuditPage, Counted, Key, Page, PageRequest, Position, Store, StoreError,
    TagPage, Transaction, Work,
};
use connections::Connections;
use copy::Copy;
use follower::{Follower, Reach};
use rows::PostgresRows;
use session::Session;
use writer::Writer;

pub use migrations::{MigrationState, Migrations};
pub use settings::{PostgresSettings, PostgresTls};

/// How long a reader of everything waits for the copy to have what this node has committed.
const CATCHING_UP: Duration = Duration::from_secs(10);

/// A store in a PostgreSQL database.
pub struct PostgresStore {
    settings: PostgresSettings,
    writer: Arc<Writer>,
    /// What reads go to first, where there is one.
    replica: Option<Connections>,
    following: Option<Following>,
}

/// What a store has that follows the changes.
struct Following {
    copy: Arc<Copy>,
    nudge: Arc<Notify>,
    reach: watch::Receiver<Reach>,
    copied: watch::Receiver<u64>,
    task: AbortHandle,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl PostgresStore {
    /// Opens a database for as long as a command runs. Changes of others are not told of, and
    /// nothing is kept in memory.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when the server is away or refuses the login;
    /// [`StoreError::NotBootstrapped`], [`StoreError::NeedsMigration`] or [`StoreError::Migrated`]
    /// when its tables are not those of this version.
    pub async fn open(
        settings: PostgresSettings,
        schemas: Arc<Schemas>,
    ) -> Result<Self, StoreError> {
        let migrations = Migrations::new(settings.clone(), settings.timeout);
        migrations.state().await?.check(&settings.place())?;
        let connections = Connections::new(&settings)?;
        let writer = Writer::new(connections, schemas, settings.patience);
        Ok(Self {
            settings,
            writer: Arc::new(writer),
            replica: None,
            following: None,
        })
    }

    /// Opens a database for a node: follows the changes of all nodes, and keeps a copy in memory
    /// for when the server is away. Answers when the copy is filled. `replica` is a server that
    /// only reads, which reads go to.
    ///
    /// # Errors
    ///
    /// As [`PostgresStore::open`].
    pub async fn follow(
        settings: PostgresSettings,
        replica: Option<PostgresSettings>,
        schemas: Arc<Schemas>,
    ) -> Result<Self, StoreError> {
        let mut store = Self::open(settings, schemas).await?;
        store.replica = replica.as_ref().map(Connections::new).transpose()?;
        let copy = Arc::<Copy>::default();
        let nudge = Arc::<Notify>::default();
        let follower = Follower {
            settings: store.settings.clone(),
            writer: Arc::clone(&store.writer),
            copy: Arc::clone(&copy),
            nudge: Arc::clone(&nudge),
            reach: watch::Sender::new(Reach::Unknown),
            copied: watch::Sender::new(0),
        };
        let mut reach = follower.reach.subscribe();
        let copied = follower.copied.subscribe();
        let task = tokio::spawn(follower.run()).abort_handle();
        let reached = reach.wait_for(|reach| *reach != Reach::Unknown).await;
        if let Ok(Reach::Away(reason)) = reached.as_deref() {
            task.abort();
            return Err(StoreError::Unavailable(reason.clone()));
        }
        drop(reached);
        store.following = Some(Following {
            copy,
            nudge,
            reach,
            copied,
            task,
        });
        Ok(store)
    }

    /// Whether the server is known not to answer, and why.
    fn away(&self) -> Result<(), StoreError> {
        let reach = self
            .following
            .as_ref()
            .map(|following| following.reach.borrow());
        match reach.as_deref() {
            Some(Reach::Away(reason)) => Err(StoreError::Unavailable(reason.clone())),
            _ => Ok(()),
        }
    }

    /// The copy, which is filled before a store that has one is handed out. Its lock is for threads
    /// that may block.
    fn copy(&self) -> Option<Arc<Copy>> {
        let following = self.following.as_ref()?;
        Some(Arc::clone(&following.copy))
    }

    /// Whom reads are asked of, in this order.
    fn readers(&self) -> Vec<Connections> {
        let readers = self.replica.iter().chain([&self.writer.connections]);
        readers.cloned().collect()
    }

    /// Runs a query on the replica, else on the server, else on the copy.
    fn read<T: Send + 'static>(
        &self,
        query: impl Fn(&mut Session) -> Result<T, StoreError> + Send + 'static,
        otherwise: impl FnOnce(&Contents, i64) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        let (away, copy, readers) = (self.away(), self.copy(), self.readers());
        blocking(move |handle| {
            let mut last = away;
            if last.is_ok() {
                for connections in readers {
                    let answer = Session::take(&connections, handle)
                        .and_then(|mut session| query(&mut session));
                    match answer {
                        Err(error) if error.is_outage() => last = Err(error),
                        answer => return answer,
                    }
                }
            }
            match (last, copy) {
                (_, Some(copy)) => otherwise(&copy.read().contents, now()),
                (Err(error), None) => Err(error),
                (Ok(()), None) => Err(StoreError::Closed),
            }
        })
    }

    /// Runs a query on the server that writes, and nowhere else.
    fn ask<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Session) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        let (away, connections) = (self.away(), self.writer.connections.clone());
        blocking(move |handle| {
            away?;
            query(&mut Session::take(&connections, handle)?)
        })
    }

    fn is_record(&self, kind: &str) -> bool {
        let schema = self.writer.schemas.kind(kind);
        schema.is_some_and(|schema| schema.record)
    }

    /// A session with a transaction that only reads and sees one revision all along.
    fn snapshot(connections: &Connections, handle: &Handle) -> Result<Session, StoreError> {
        let mut session = Session::take(connections, handle)?;
        session.begin(read::SNAPSHOT)?;
        Ok(session)
    }

    /// Waits until the copy has what this node has committed.
    async fn catch_up(&self, following: &Following) {
        let newest = *self.writer.newest.borrow();
        if self.away().is_ok() {
            following.nudge.notify_one();
            let mut copied = following.copied.clone();
            let there = copied.wait_for(|revision| *revision >= newest);
            // What is older is still one revision; the next export comes with the news.
            let _ = tokio::time::timeout(CATCHING_UP, there).await;
        }
    }

    /// Everything as of one revision, from the copy once it has what this node has committed.
    async fn export_copy(&self, following: &Following) -> Result<(Position, Table), StoreError> {
        self.catch_up(following).await;
        let copy = Arc::clone(&following.copy);
        let schemas = Arc::clone(&self.writer.schemas);
        let exported = tokio::task::spawn_blocking(move || {
            // Reading hundreds of thousands of entities takes a while: not under the lock.
            let (standing, texts) = {
                let held = copy.read();
                let standing = held.standing.ok_or(StoreError::Closed)?;
                (standing, held.contents.texts(&schemas))
            };
            let table = texts.table(&schemas, standing.committed_at)?;
            Ok((standing.position, table))
        });
        exported.await.unwrap_or(Err(StoreError::Aborted))
    }
}

/// Runs something that blocks.
fn blocking<'a, T: Send + 'static>(
    work: impl FnOnce(&Handle) -> Result<T, StoreError> + Send + 'static,
) -> Answer<'a, T> {
    Box::pin(async move {
        let handle = Handle::current();
        tokio::task::spawn_blocking(move || work(&handle))
            .await
            .unwrap_or(Err(StoreError::Aborted))
    })
}

fn now() -> i64 {
    milliseconds(SystemTime::now())
}

fn refused<'a, T: Send + 'a>(error: StoreError) -> Answer<'a, T> {
    Box::pin(std::future::ready(Err(error)))
}

impl Store for PostgresStore {
    fn schemas(&self) -> &Arc<Schemas> {
        &self.writer.schemas
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn get(&self, kind: &str, key: Key) -> Answer<'_, Option<Object>> {
        if let Err(error) = schema(&self.writer.schemas, kind) {
            return refused(error);
        }
        let (name, of_copy) = (kind.to_owned(), kind.to_owned());
        let wanted = key.clone();
        let find = move |session: &mut Session| match &wanted {
            Key::Id(id) => read::get(session, &name, id),
            Key::Unique { name: key, values } => {
                read::get_by_key(session, &name, key, &unique_value(values.clone()))
            }
        };
        match self.is_record(kind) {
            true => self.ask(find),
            false => self.read(find, move |contents, at| contents.find(&of_copy, key, at)),
        }
    }

    fn page(&self, kind: &str, request: PageRequest) -> Answer<'_, Page> {
        if let Err(error) = schema(&self.writer.schemas, kind).and(check_size(request.size)) {
            return refused(error);
        }
        let (name, of_copy) = (kind.to_owned(), kind.to_owned());
        let wanted = request.clone();
        let page = move |session: &mut Session| read::page(session, &name, &wanted);
        match self.is_record(kind) {
            true => self.ask(page),
            false => self.read(page, move |contents, at| {
                contents.page(&of_copy, &request, at)
            }),
        }
    }

    fn tagged(
        &self,
        tag: Option<String>,
        size: usize,
        offset: Option<String>,
    ) -> Answer<'_, TagPage> {
        if let Err(error) = check_size(size) {
            return refused(error);
        }
        let (wanted, from) = (tag.clone(), offset.clone());
        self.read(
            move |session| read::tagged(session, wanted.as_deref(), size, from.as_deref()),
            move |contents, _| contents.tagged(tag.as_deref(), size, offset.as_deref()),
        )
    }

    fn audit(&self, size: usize, offset: Option<String>) -> Answer<'_, AuditPage> {
        if let Err(error) = check_size(size) {
            return refused(error);
        }
        let (away, readers) = (self.away(), self.readers());
        // The copy in memory has none.
        blocking(move |handle| {
            away?;
            let mut answer = Err(StoreError::Closed);
            for connections in readers {
                answer = Session::take(&connections, handle)
                    .and_then(|mut session| audit::page(&mut session, size, offset.as_deref()));
                if !answer.as_ref().is_err_and(StoreError::is_outage) {
                    break;
                }
            }
            answer
        })
    }

    fn transact(&self, work: Work) -> Answer<'_, u64> {
        Box::pin(async move {
            self.away()?;
            let revision = self.writer.transact(work).await?;
            if let Some(following) = &self.following {
                following.nudge.notify_one();
            }
            Ok(revision)
        })
    }

    fn view(&self, work: Work) -> Answer<'_, ()> {
        let (away, copy, readers) = (self.away(), self.copy(), self.readers());
        let schemas = Arc::clone(&self.writer.schemas);
        blocking(move |handle| {
            let session = away.and_then(|()| {
                let mut answer = Err(StoreError::Closed);
                for connections in readers {
                    answer = Self::snapshot(&connections, handle);
                    if !answer.as_ref().is_err_and(StoreError::is_outage) {
                        break;
                    }
                }
                answer
            });
            match (session, copy) {
                (Ok(mut session), _) => {
                    let mut rows = PostgresRows::reading(&mut session);
                    let mut view = Transaction::new(&mut rows, &schemas, SystemTime::now());
                    let outcome = work(&mut view);
                    session.roll_back();
                    outcome
                }
                (Err(error), Some(copy)) if error.is_outage() => {
                    let held = copy.read();
                    let mut rows = Frozen {
                        contents: &held.contents,
                        at: now(),
                    };
                    work(&mut Transaction::new(
                        &mut rows,
                        &schemas,
                        SystemTime::now(),
                    ))
                }
                (Err(error), _) => Err(error),
            }
        })
    }

    fn generation(&self) -> u64 {
        self.writer.generation.load(Ordering::Acquire)
    }

    fn count(&self, amounts: Vec<Amount>) -> Answer<'_, Counted> {
        self.ask(move |session| counter::add(session, &amounts))
    }

    fn counted(&self, keys: Vec<Vec<u8>>) -> Answer<'_, Vec<i64>> {
        self.ask(move |session| counter::held(session, &keys))
    }

    fn export(&self) -> Answer<'_, (Position, Table)> {
        if let Some(following) = &self.following {
            return Box::pin(self.export_copy(following));
        }
        let connections = self.writer.connections.clone();
        let schemas = Arc::clone(&self.writer.schemas);
        blocking(move |handle| {
            let mut session = Self::snapshot(&connections, handle)?;
            let at = read::committed_at(&mut session)?;
            let lasting = schemas.kinds().iter().filter(|schema| !schema.record);
            let entities = lasting
                .map(|schema| {
                    let all = read::all(&mut session, schema.name, Some(at))?;
                    Ok((schema.name.to_owned(), all))
                })
                .collect::<Result<Vec<_>, StoreError>>()?;
            let position = read::position(&mut session)?;
            session.roll_back();
            Ok((position, Table::new(&schemas, entities)))
        })
    }

    fn changes(&self, since: Position) -> Answer<'_, Option<Changes>> {
        let Some(following) = &self.following else {
            return Box::pin(std::future::ready(Ok(None)));
        };
        Box::pin(async move {
            self.catch_up(following).await;
            let copy = Arc::clone(&following.copy);
            let changes = tokio::task::spawn_blocking(move || copy.changes(since));
            changes.await.unwrap_or(Err(StoreError::Aborted))
        })
    }

    fn position(&self) -> Answer<'_, Position> {
        let away = self.away();
        let connections = self.writer.connections.clone();
        blocking(move |handle| {
            away?;
            read::position(&mut Session::take(&connections, handle)?)
        })
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        self.writer.newest.subscribe()
    }

    fn begin_epoch(&self, above: u64, cluster_id: Option<Uuid>) -> Answer<'_, Position> {
        Box::pin(self.writer.begin_epoch(above, cluster_id))
    }
}
