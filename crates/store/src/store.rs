//! The interface of every store.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use keelgate_entities::declarative::Table;
use keelgate_entities::{ApiError, Object, Schemas};
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use crate::journal::Changes;
use crate::{Amount, AuditPage, Counted, StoreError, Transaction, offset};

/// The answer of a store, boxed so that stores can be exchanged at run time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A piece of work that runs inside one write transaction: committed when it returns `Ok`, rolled
/// back without a trace otherwise. It runs on the store's own thread and may block.
pub type Work = Box<dyn FnOnce(&mut Transaction<'_>) -> Result<(), StoreError> + Send>;

/// Most entities on one page.
pub const MAX_PAGE_SIZE: usize = 1000;

/// What one entity is looked up by.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    /// Its id, in lower case.
    Id(String),
    /// One of its unique keys.
    Unique {
        /// Name of the unique key in the schema.
        name: String,
        /// Values of the key's fields.
        values: Vec<Value>,
    },
}

impl Key {
    /// A unique key of one field.
    pub fn field(name: &str, value: impl Into<Value>) -> Self {
        Self::Unique {
            name: name.to_owned(),
            values: vec![value.into()],
        }
    }
}

/// Which entities a page shows, by their tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagFilter {
    /// Those that have all of these.
    All(Vec<String>),
    /// Those that have one of these.
    Any(Vec<String>),
}

/// Which entities a page shows, by what they refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The field that refers.
    pub field: String,
    /// The id that it refers to.
    pub id: String,
}

/// Which page of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Entities per page, 1 to [`MAX_PAGE_SIZE`].
    pub size: usize,
    /// The `offset` of the page before.
    pub offset: Option<String>,
    /// Only entities that refer to this one.
    pub parent: Option<Parent>,
    /// Only entities with these tags.
    pub tags: Option<TagFilter>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self {
            size: 100,
            offset: None,
            parent: None,
            tags: None,
        }
    }
}

/// A page of a collection, in id order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The entities.
    pub data: Vec<Object>,
    /// Leads to the next page, if there is one.
    pub offset: Option<String>,
}

/// One use of a tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaggedEntity {
    /// The tag.
    pub tag: String,
    /// Collection of the entity.
    pub kind: String,
    /// Its id.
    pub id: String,
}

/// A page of tag uses, in the order of [`TaggedEntity`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagPage {
    /// The uses.
    pub data: Vec<TaggedEntity>,
    /// Leads to the next page, if there is one.
    pub offset: Option<String>,
}

/// Where a store stands: which cluster, and which of its revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The cluster; made when the store was.
    pub cluster_id: Uuid,
    /// Counts restarts of the revision counter.
    pub epoch: u64,
    /// Counts committed changes.
    pub revision: u64,
}

/// What an import does with the entities that are already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Import {
    /// Keeps them; imported entities replace those with the same id.
    Merge,
    /// Removes them.
    Replace,
}

/// Entities at rest. See [`StoreExt`] for the comfortable form of the writes.
pub trait Store: Send + Sync + 'static {
    /// The schemas that the entities obey.
    fn schemas(&self) -> &Arc<Schemas>;

    /// Whether writes are refused with [`StoreError::ReadOnly`]. Work that only reads runs, too.
    fn is_read_only(&self) -> bool;

    /// The entity with this key.
    fn get(&self, kind: &str, key: Key) -> Answer<'_, Option<Object>>;

    /// A page of a collection.
    fn page(&self, kind: &str, request: PageRequest) -> Answer<'_, Page>;

    /// A page of the uses of one tag, or of all.
    fn tagged(
        &self,
        tag: Option<String>,
        size: usize,
        offset: Option<String>,
    ) -> Answer<'_, TagPage>;

    /// A page of the audit log, the newest entry first. A store that keeps none has an empty one.
    fn audit(&self, size: usize, _offset: Option<String>) -> Answer<'_, AuditPage> {
        let page = check_size(size).map(|()| AuditPage::default());
        Box::pin(std::future::ready(page))
    }

    /// Runs work in a write transaction of its own. The answer comes when the change is durable,
    /// and is the revision after it; work that wrote nothing of the configuration makes no new one.
    fn transact(&self, work: Work) -> Answer<'_, u64>;

    /// Runs work that only reads, on one revision, without waiting for writers.
    fn view(&self, work: Work) -> Answer<'_, ()>;

    /// Another number whenever this process has changed or removed short-lived records: what was read of
    /// them before may be remembered until then, and not for long, since other processes do so, too.
    fn generation(&self) -> u64;

    /// Adds to counters, to all or to none of them. What was counted may be lost in a power cut. Only
    /// stores with a database count.
    fn count(&self, _amounts: Vec<Amount>) -> Answer<'_, Counted> {
        Box::pin(std::future::ready(Err(StoreError::ReadOnly)))
    }

    /// What counters hold, in the order of their keys.
    fn counted(&self, _keys: Vec<Vec<u8>>) -> Answer<'_, Vec<i64>> {
        Box::pin(std::future::ready(Err(StoreError::ReadOnly)))
    }

    /// The whole configuration, as of one revision.
    fn export(&self) -> Answer<'_, (Position, Table)>;

    /// What has become of entities since a revision that was exported; none where that is not known,
    /// and everything has to be exported anew. Entities whose time runs out are among them, since what
    /// is left of it counts from the newest revision.
    fn changes(&self, _since: Position) -> Answer<'_, Option<Changes>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Where the store stands.
    fn position(&self) -> Answer<'_, Position>;

    /// The change feed: the newest revision. It may skip revisions, it never goes back.
    fn subscribe(&self) -> watch::Receiver<u64>;

    /// Begins an epoch above the present one and above `above`, with a revision of its own, so that
    /// what this store holds counts as newer than everything that was published until now. With
    /// `cluster_id` it also takes another cluster's place: a new database that was filled from the
    /// backup of a lost one. Nodes that run on the same database notice within a second.
    fn begin_epoch(&self, above: u64, cluster_id: Option<Uuid>) -> Answer<'_, Position>;
}

/// The writes of a store, for callers.
pub trait StoreExt: Store {
    /// Runs work in a write transaction and hands on what it answers. Work may fail with an error
    /// of its own, which rolls back just the same.
    fn write<T, E>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (work, slot) = carry(work);
        async move { collect(self.transact(work).await.map(drop), &slot) }
    }

    /// Runs work that only reads, on one revision, and hands on what it answers.
    fn read<T, E>(
        &self,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (work, slot) = carry(work);
        async move { collect(self.view(work).await, &slot) }
    }

    /// Writes a new, checked and completed entity.
    fn insert(
        &self,
        kind: &str,
        entity: Object,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        let kind = kind.to_owned();
        self.write(move |transaction| transaction.insert(&kind, &entity))
    }

    /// Reads an entity, lets `change` make the next form of it, and writes that, all inside one
    /// transaction, so that concurrent changes lose nothing. Answers what was written.
    fn change(
        &self,
        kind: &str,
        key: Key,
        change: impl FnOnce(Option<Object>) -> Result<Object, StoreError> + Send + 'static,
    ) -> impl Future<Output = Result<Object, StoreError>> + Send {
        let kind = kind.to_owned();
        self.write(move |transaction| {
            let current = transaction.get(&kind, &key)?;
            let next = change(current)?;
            transaction.put(&kind, &next)?;
            Ok(next)
        })
    }

    /// Removes an entity by its id; tells whether it was there.
    fn delete(
        &self,
        kind: &str,
        id: &str,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let (kind, id) = (kind.to_owned(), id.to_owned());
        self.write(move |transaction| transaction.delete(&kind, &id))
    }

    /// Takes in a whole configuration in one transaction.
    fn import(
        &self,
        table: Table,
        import: Import,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.write(move |transaction| transaction.import(&table, import))
    }
}

impl<S: Store + ?Sized> StoreExt for S {}

/// Where the answer of a piece of work waits for its caller.
type Slot<T, E> = Arc<Mutex<Option<Result<T, E>>>>;

/// Makes [`Work`] of work with an answer of its own, which it leaves in the slot.
fn carry<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
) -> (Work, Slot<T, E>) {
    let slot = Slot::default();
    let filled = Arc::clone(&slot);
    let carried = Box::new(move |transaction: &mut Transaction<'_>| {
        let answer = work(transaction);
        let outcome = match answer {
            Ok(_) => Ok(()),
            Err(_) => Err(StoreError::Aborted),
        };
        *filled.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        outcome
    });
    (carried, slot)
}

/// What the work answered, unless the store failed.
fn collect<T, E: From<StoreError>>(
    outcome: Result<(), StoreError>,
    slot: &Slot<T, E>,
) -> Result<T, E> {
    let answer = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (outcome, answer) {
        (Ok(()), Some(answer)) | (Err(_), Some(answer @ Err(_))) => answer,
        (Err(error), _) => Err(error.into()),
        (Ok(()), None) => Err(StoreError::Aborted.into()),
    }
}

/// Checks the size of a requested page.
pub(crate) fn check_size(size: usize) -> Result<(), StoreError> {
    if (1..=MAX_PAGE_SIZE).contains(&size) {
        Ok(())
    } else {
        Err(ApiError::invalid_size(format!(
            "size must be an integer between 1 and {MAX_PAGE_SIZE}"
        ))
        .into())
    }
}

impl TagPage {
    /// A page of `size` out of up to `size + 1` uses; the one too many tells that there is more.
    pub(crate) fn cut(mut data: Vec<TaggedEntity>, size: usize) -> Self {
        let more = data.len() > size;
        data.truncate(size);
        let offset = data
            .last()
            .filter(|_| more)
            .map(|last| offset::encode(&[&last.tag, &last.kind, &last.id]));
        Self { data, offset }
    }
}
