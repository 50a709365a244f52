//! The store of a node without a database: read-only, replaced whole.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use keelgate_entities::declarative::Table;
use keelgate_entities::{Object, Schemas};
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use crate::index::{Index, unique_value};
use crate::rows::{Referrer, Rows};
use crate::store::check_size;
use crate::transaction::schema;
use crate::{
    Answer, Import, Key, Page, PageRequest, Position, Store, StoreError, TagFilter, TagPage,
    TaggedEntity, Transaction, Work, offset,
};

/// Entities in memory, loaded from a declarative configuration.
pub struct MemoryStore {
    schemas: Arc<Schemas>,
    cluster_id: Uuid,
    // Held only to copy or to swap the pointer.
    current: RwLock<Arc<Contents>>,
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
        contents.revision = revision;
        *current = Arc::new(contents);
        drop(current);
        self.revision.send_if_modified(|known| {
            let newer = revision > *known;
            *known = revision.max(*known);
            newer
        });
        Ok(revision)
    }

    /// Everything in the store.
    pub fn table(&self) -> Table {
        self.table_of(&self.contents())
    }

    fn table_of(&self, contents: &Contents) -> Table {
        let entities = self.schemas.kinds().iter().map(|schema| {
            let entities = contents.of_kind(schema.name).cloned().collect();
            (schema.name.to_owned(), entities)
        });
        Table::new(&self.schemas, entities)
    }

    fn contents(&self) -> Arc<Contents> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn position_of(&self, contents: &Contents) -> Position {
        Position {
            cluster_id: self.cluster_id,
            epoch: 1,
            revision: contents.revision,
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
        at_once(schema(&self.schemas, kind).map(|_| self.contents().find(kind, key)))
    }

    fn page(&self, kind: &str, request: PageRequest) -> Answer<'_, Page> {
        at_once(
            schema(&self.schemas, kind)
                .and(check_size(request.size))
                .and_then(|()| self.contents().page(kind, &request)),
        )
    }

    fn tagged(
        &self,
        tag: Option<String>,
        size: usize,
        offset: Option<String>,
    ) -> Answer<'_, TagPage> {
        at_once(check_size(size).and_then(|()| {
            self.contents()
                .tagged(tag.as_deref(), size, offset.as_deref())
        }))
    }

    fn transact(&self, work: Work) -> Answer<'_, u64> {
        let contents = self.contents();
        let revision = contents.revision;
        let mut frozen = Frozen(contents);
        let mut view = Transaction::new(&mut frozen, &self.schemas, SystemTime::now());
        at_once(work(&mut view).map(|()| revision))
    }

    fn view(&self, work: Work) -> Answer<'_, ()> {
        let revision = self.transact(work);
        Box::pin(async move { revision.await.map(drop) })
    }

    fn export(&self) -> Answer<'_, (Position, Table)> {
        let contents = self.contents();
        at_once(Ok((self.position_of(&contents), self.table_of(&contents))))
    }

    fn position(&self) -> Answer<'_, Position> {
        at_once(Ok(self.position_of(&self.contents())))
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }
}

#[derive(Default)]
struct Contents {
    revision: u64,
    /// kind → id → entity
    entities: BTreeMap<String, BTreeMap<String, Stored>>,
    /// kind → unique key → value → id
    unique: BTreeMap<String, BTreeMap<&'static str, BTreeMap<String, String>>>,
    /// (kind, id) → who refers to it
    referrers: BTreeMap<(String, String), BTreeSet<Referrer>>,
    /// (tag, kind, id)
    tags: BTreeSet<TaggedEntity>,
}

struct Stored {
    entity: Object,
    index: Index,
}

impl Contents {
    fn stored(&self, kind: &str, id: &str) -> Option<&Stored> {
        self.entities.get(kind)?.get(id)
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Object> {
        let stored = self.entities.get(kind).into_iter().flatten();
        stored.map(|(_, stored)| &stored.entity)
    }

    fn holder(&self, kind: &str, key: &str, value: &str) -> Option<&String> {
        self.unique.get(kind)?.get(key)?.get(value)
    }

    fn referring(&self, kind: &str, id: &str) -> Vec<Referrer> {
        let key = (kind.to_owned(), id.to_owned());
        let referrers = self.referrers.get(&key);
        referrers.into_iter().flatten().cloned().collect()
    }

    fn find(&self, kind: &str, key: Key) -> Option<Object> {
        let id = match key {
            Key::Id(id) => id,
            Key::Unique { name, values } => {
                self.holder(kind, &name, &unique_value(values))?.clone()
            }
        };
        Some(self.stored(kind, &id)?.entity.clone())
    }

    fn page(&self, kind: &str, request: &PageRequest) -> Result<Page, StoreError> {
        let after = match &request.offset {
            Some(token) => {
                let [id] = offset::decode::<1>(token)?;
                id
            }
            None => String::new(),
        };
        let mut rows: Vec<_> = self
            .entities
            .get(kind)
            .into_iter()
            .flat_map(|entities| entities.range((Excluded(after.clone()), Unbounded)))
            .filter(|(_, stored)| stored.matches(request))
            .take(request.size + 1)
            .collect();
        let more = rows.len() > request.size;
        rows.truncate(request.size);
        Ok(Page {
            offset: rows
                .last()
                .filter(|_| more)
                .map(|(id, _)| offset::encode(&[id])),
            data: rows
                .into_iter()
                .map(|(_, stored)| stored.entity.clone())
                .collect(),
        })
    }

    fn tagged(
        &self,
        tag: Option<&str>,
        size: usize,
        token: Option<&str>,
    ) -> Result<TagPage, StoreError> {
        let after = token.map(offset::decode::<3>).transpose()?;
        let after = after.map(|[tag, kind, id]| TaggedEntity { tag, kind, id });
        let data = self
            .tags
            .iter()
            .filter(|tagged| after.as_ref().is_none_or(|after| *tagged > after))
            .filter(|tagged| tag.is_none_or(|tag| tagged.tag == tag))
            .take(size + 1)
            .cloned()
            .collect();
        Ok(TagPage::cut(data, size))
    }
}

impl Stored {
    fn matches(&self, request: &PageRequest) -> bool {
        let refers = request.parent.as_ref().is_none_or(|parent| {
            let mut references = self.index.references.iter();
            references.any(|entry| entry.field == parent.field && entry.target_id == parent.id)
        });
        let tagged = match &request.tags {
            None => true,
            Some(TagFilter::All(tags)) => tags.iter().all(|tag| self.index.tags.contains(tag)),
            Some(TagFilter::Any(tags)) => tags.iter().any(|tag| self.index.tags.contains(tag)),
        };
        refers && tagged
    }
}

/// Contents that nobody writes to any more.
struct Frozen(Arc<Contents>);

impl Rows for Frozen {
    fn get(&mut self, kind: &str, id: &str) -> Result<Option<Object>, StoreError> {
        Ok(self.0.stored(kind, id).map(|stored| stored.entity.clone()))
    }

    fn owner(&mut self, kind: &str, key: &str, value: &str) -> Result<Option<String>, StoreError> {
        Ok(self.0.holder(kind, key, value).cloned())
    }

    fn referrers(&mut self, kind: &str, id: &str) -> Result<Vec<Referrer>, StoreError> {
        Ok(self.0.referring(kind, id))
    }

    fn all(&mut self, kind: &str) -> Result<Vec<Object>, StoreError> {
        Ok(self.0.of_kind(kind).cloned().collect())
    }

    fn write(&mut self, _: &str, _: &str, _: &Object, _: &Index) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn remove(&mut self, _: &str, _: &str) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        Err(StoreError::ReadOnly)
    }
}

/// Contents that are being put together.
impl Rows for Contents {
    fn get(&mut self, kind: &str, id: &str) -> Result<Option<Object>, StoreError> {
        Ok(self.stored(kind, id).map(|stored| stored.entity.clone()))
    }

    fn owner(&mut self, kind: &str, key: &str, value: &str) -> Result<Option<String>, StoreError> {
        Ok(self.holder(kind, key, value).cloned())
    }

    fn referrers(&mut self, kind: &str, id: &str) -> Result<Vec<Referrer>, StoreError> {
        Ok(self.referring(kind, id))
    }

    fn all(&mut self, kind: &str) -> Result<Vec<Object>, StoreError> {
        Ok(self.of_kind(kind).cloned().collect())
    }

    fn write(
        &mut self,
        kind: &str,
        id: &str,
        entity: &Object,
        index: &Index,
    ) -> Result<(), StoreError> {
        self.remove(kind, id)?;
        for entry in &index.unique {
            self.unique
                .entry(kind.to_owned())
                .or_default()
                .entry(entry.name)
                .or_default()
                .insert(entry.value.clone(), id.to_owned());
        }
        for entry in &index.references {
            self.referrers
                .entry((entry.target_kind.clone(), entry.target_id.clone()))
                .or_default()
                .insert(Referrer {
                    kind: kind.to_owned(),
                    field: entry.field.clone(),
                    id: id.to_owned(),
                });
        }
        for tag in &index.tags {
            self.tags.insert(TaggedEntity {
                tag: tag.clone(),
                kind: kind.to_owned(),
                id: id.to_owned(),
            });
        }
        let mut entity = entity.clone();
        // Nothing here ever expires by itself, and nothing is said of its end unless it has one.
        if entity.get("ttl").is_some_and(Value::is_null) {
            entity.remove("ttl");
        }
        let stored = Stored {
            entity,
            index: index.clone(),
        };
        self.entities
            .entry(kind.to_owned())
            .or_default()
            .insert(id.to_owned(), stored);
        Ok(())
    }

    fn remove(&mut self, kind: &str, id: &str) -> Result<(), StoreError> {
        let removed = self.entities.get_mut(kind).and_then(|all| all.remove(id));
        let Some(Stored { index, .. }) = removed else {
            return Ok(());
        };
        for entry in index.unique {
            let keys = self.unique.get_mut(kind);
            if let Some(values) = keys.and_then(|keys| keys.get_mut(entry.name)) {
                values.remove(&entry.value);
            }
        }
        for entry in index.references {
            if let Some(referrers) = self
                .referrers
                .get_mut(&(entry.target_kind, entry.target_id))
            {
                referrers.remove(&Referrer {
                    kind: kind.to_owned(),
                    field: entry.field,
                    id: id.to_owned(),
                });
            }
        }
        for tag in index.tags {
            self.tags.remove(&TaggedEntity {
                tag,
                kind: kind.to_owned(),
                id: id.to_owned(),
            });
        }
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        *self = Self {
            revision: self.revision,
            ..Self::default()
        };
        Ok(())
    }
}
