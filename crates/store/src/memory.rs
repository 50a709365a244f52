//! The store of a node without a database: read-only, replaced whole.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use keelgate_entities::declarative::Table;
use keelgate_entities::{Object, Schemas};
use tokio::sync::watch;
use uuid::Uuid;

use crate::contents::{Contents, Frozen};
use crate::store::check_size;
use crate::transaction::schema;
use crate::{
    Answer, Import, Key, Page, PageRequest, Position, Store, StoreError, TagPage, Transaction, Work,
};

/// No moment counts: nothing here expires by itself.
const AT: i64 = 0;

/// What was loaded, and as which revision.
#[derive(Default)]
struct Loaded {
    revision: u64,
    contents: Contents,
}

/// Entities in memory, loaded from a declarative configuration.
pub struct MemoryStore {
    schemas: Arc<Schemas>,
    cluster_id: Uuid,
    // Held only to copy or to swap the pointer.
    current: RwLock<Arc<Loaded>>,
    revision: watch::Sender<u64>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(schemas: Arc<Schemas>) -> Self {
        Self {
            schemas,
            cluster_id: Uuid::new_v4(),
            current: RwLock::default(),
            revision: watch::Sender::new(0),
        }
    }

    /// Replaces everything by a parsed configuration, as one new revision, and answers that.
    ///
    /// # Errors
    ///
    /// [`StoreError::Rejected`] when two entities share a unique key or a reference leads nowhere;
    /// the content before stays.
    pub fn load(&self, table: &Table) -> Result<u64, StoreError> {
        let mut contents = Contents::default();
        Transaction::new(&mut contents, &self.schemas, SystemTime::now())
            .import(table, Import::Merge)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let revision = current.revision + 1;
        *current = Arc::new(Loaded { revision, contents });
        drop(current);
        self.revision.send_if_modified(|known| {
            let newer = revision > *known;
            *known = revision.max(*known);
            newer
        });
        Ok(revision)
    }

    /// Everything in the store.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreadable`], which would be a defect.
    pub fn table(&self) -> Result<Table, StoreError> {
        self.loaded().contents.table(&self.schemas, AT)
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn position_of(&self, loaded: &Loaded) -> Position {
        Position {
            cluster_id: self.cluster_id,
            epoch: 1,
            revision: loaded.revision,
        }
    }
}

/// Wraps an answer that needs no waiting.
fn at_once<'a, T: Send + 'a>(answer: Result<T, StoreError>) -> Answer<'a, T> {
    Box::pin(std::future::ready(answer))
}

impl Store for MemoryStore {
    fn schemas(&self) -> &Arc<Schemas> {
        &self.schemas
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn get(&self, kind: &str, key: Key) -> Answer<'_, Option<Object>> {
        at_once(
            schema(&self.schemas, kind).and_then(|_| self.loaded().contents.find(kind, key, AT)),
        )
    }

    fn page(&self, kind: &str, request: PageRequest) -> Answer<'_, Page> {
        at_once(
            schema(&self.schemas, kind)
                .and(check_size(request.size))
                .and_then(|()| self.loaded().contents.page(kind, &request, AT)),
        )
    }

    fn tagged(
        &self,
        tag: Option<String>,
        size: usize,
        offset: Option<String>,
    ) -> Answer<'_, TagPage> {
        at_once(check_size(size).and_then(|()| {
            self.loaded()
                .contents
                .tagged(tag.as_deref(), size, offset.as_deref())
        }))
    }

    fn transact(&self, work: Work) -> Answer<'_, u64> {
        let Loaded { revision, contents } = &*self.loaded();
        let mut frozen = Frozen { contents, at: AT };
        let mut view = Transaction::new(&mut frozen, &self.schemas, SystemTime::now());
        at_once(work(&mut view).map(|()| *revision))
    }

    fn view(&self, work: Work) -> Answer<'_, ()> {
        let revision = self.transact(work);
        Box::pin(async move { revision.await.map(drop) })
    }

    fn generation(&self) -> u64 {
        self.loaded().revision
    }

    fn export(&self) -> Answer<'_, (Position, Table)> {
        let loaded = self.loaded();
        let table = loaded.contents.table(&self.schemas, AT);
        at_once(table.map(|table| (self.position_of(&loaded), table)))
    }

    fn position(&self) -> Answer<'_, Position> {
        at_once(Ok(self.position_of(&self.loaded())))
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    fn begin_epoch(&self, _: u64, _: Option<Uuid>) -> Answer<'_, Position> {
        at_once(Err(StoreError::ReadOnly))
    }
}
