//! Entities in memory, with what they are found by.
//!
//! Bodies are kept as text and read when they are asked for: a fifth of the memory that a tree of
//! values takes, which counts with hundreds of thousands of entities.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use keelgate_entities::declarative::Table;
use keelgate_entities::{Object, Schemas};
use serde_json::Value;

use crate::index::{Index, unique_value};
use crate::journal::EntityKey;
use crate::rows::{Referrer, Rows};
use crate::{Key, Page, PageRequest, StoreError, TagFilter, TagPage, TaggedEntity, body, offset};

#[derive(Default)]
pub(crate) struct Contents {
    /// kind → id → entity
    entities: BTreeMap<String, BTreeMap<String, Stored>>,
    /// kind → unique key → value → id
    unique: BTreeMap<String, BTreeMap<&'static str, BTreeMap<String, String>>>,
    /// (kind, id) → who refers to it
    referrers: BTreeMap<(String, String), BTreeSet<Referrer>>,
    /// (tag, kind, id)
    tags: BTreeSet<TaggedEntity>,
    /// Entities whose time runs out.
    expiring: BTreeSet<EntityKey>,
}

/// One entity.
pub(crate) struct Stored {
    pub(crate) body: Arc<str>,
    /// Milliseconds since 1970.
    pub(crate) expires_at: Option<i64>,
    pub(crate) index: Index,
}

impl Contents {
    fn stored(&self, kind: &str, id: &str) -> Option<&Stored> {
        self.entities.get(kind)?.get(id)
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = (&String, &Stored)> {
        self.entities.get(kind).into_iter().flatten()
    }

    fn holder(&self, kind: &str, key: &str, value: &str) -> Option<&String> {
        self.unique.get(kind)?.get(key)?.get(value)
    }

    /// An entity as it stands at a moment, in milliseconds since 1970.
    pub(crate) fn get(&self, kind: &str, id: &str, at: i64) -> Result<Option<Object>, StoreError> {
        self.stored(kind, id)
            .map(|stored| stored.entity(kind, id, at))
            .transpose()
    }

    pub(crate) fn find(&self, kind: &str, key: Key, at: i64) -> Result<Option<Object>, StoreError> {
        let id = match key {
            Key::Id(id) => id,
            Key::Unique { name, values } => match self.holder(kind, &name, &unique_value(values)) {
                Some(id) => id.clone(),
                None => return Ok(None),
            },
        };
        self.get(kind, &id, at)
    }

    pub(crate) fn all(&self, kind: &str, at: i64) -> Result<Vec<Object>, StoreError> {
        self.of_kind(kind)
            .map(|(id, stored)| stored.entity(kind, id, at))
            .collect()
    }

    pub(crate) fn table(&self, schemas: &Schemas, at: i64) -> Result<Table, StoreError> {
        self.texts(schemas).table(schemas, at)
    }

    /// The texts of all entities, which costs little and lets go of the rest.
    pub(crate) fn texts(&self, schemas: &Schemas) -> Texts {
        let kinds = schemas.kinds().iter();
        let texts = kinds.map(|schema| {
            let entities = self.of_kind(schema.name).map(|(id, stored)| Text {
                id: id.clone(),
                body: Arc::clone(&stored.body),
                expires_at: stored.expires_at,
            });
            (schema.name, entities.collect())
        });
        Texts(texts.collect())
    }

    pub(crate) fn page(
        &self,
        kind: &str,
        request: &PageRequest,
        at: i64,
    ) -> Result<Page, StoreError> {
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
                .map(|(id, stored)| stored.entity(kind, id, at))
                .collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn tagged(
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

    fn referring(&self, kind: &str, id: &str) -> Vec<Referrer> {
        let key = (kind.to_owned(), id.to_owned());
        let referrers = self.referrers.get(&key);
        referrers.into_iter().flatten().cloned().collect()
    }

    /// Puts an entity in the place of what stood under its id.
    pub(crate) fn store(&mut self, kind: &str, id: &str, stored: Stored) {
        self.forget(kind, id);
        let Stored { index, .. } = &stored;
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
        if stored.expires_at.is_some() {
            self.expiring.insert((kind.to_owned(), id.to_owned()));
        }
        self.entities
            .entry(kind.to_owned())
            .or_default()
            .insert(id.to_owned(), stored);
    }

    /// The entities whose time runs out.
    pub(crate) fn expiring(&self) -> &BTreeSet<EntityKey> {
        &self.expiring
    }

    /// Removes an entity, if it is there.
    pub(crate) fn forget(&mut self, kind: &str, id: &str) {
        let removed = self.entities.get_mut(kind).and_then(|all| all.remove(id));
        let Some(Stored {
            index, expires_at, ..
        }) = removed
        else {
            return;
        };
        if expires_at.is_some() {
            self.expiring.remove(&(kind.to_owned(), id.to_owned()));
        }
        for entry in index.unique {
            let keys = self.unique.get_mut(kind);
            if let Some(values) = keys.and_then(|keys| keys.get_mut(entry.name))
                && values.get(&entry.value).is_some_and(|owner| owner == id)
            {
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
    }
}

/// The texts of entities, by kind and in id order.
pub(crate) struct Texts(Vec<(&'static str, Vec<Text>)>);

struct Text {
    id: String,
    body: Arc<str>,
    expires_at: Option<i64>,
}

impl Texts {
    /// Reads them all, as they stand at a moment in milliseconds since 1970.
    pub(crate) fn table(self, schemas: &Schemas, at: i64) -> Result<Table, StoreError> {
        let entities = self.0.into_iter().map(|(kind, texts)| {
            let entities = texts.into_iter().map(|text| {
                let left = text.expires_at.map(|expires_at| expires_at - at);
                body::parse(kind, &text.id, &text.body, left)
            });
            Ok((kind.to_owned(), entities.collect::<Result<Vec<_>, _>>()?))
        });
        let entities = entities.collect::<Result<Vec<_>, StoreError>>()?;
        Ok(Table::new(schemas, entities))
    }
}

impl Stored {
    fn entity(&self, kind: &str, id: &str, at: i64) -> Result<Object, StoreError> {
        let left = self.expires_at.map(|expires_at| expires_at - at);
        body::parse(kind, id, &self.body, left)
    }

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

/// Contents as work sees them that may only read, at a moment in milliseconds since 1970.
pub(crate) struct Frozen<'a> {
    pub(crate) contents: &'a Contents,
    pub(crate) at: i64,
}

impl Rows for Frozen<'_> {
    fn get(&mut self, kind: &str, id: &str) -> Result<Option<Object>, StoreError> {
        self.contents.get(kind, id, self.at)
    }

    fn owner(&mut self, kind: &str, key: &str, value: &str) -> Result<Option<String>, StoreError> {
        Ok(self.contents.holder(kind, key, value).cloned())
    }

    fn referrers(&mut self, kind: &str, id: &str) -> Result<Vec<Referrer>, StoreError> {
        Ok(self.contents.referring(kind, id))
    }

    fn all(&mut self, kind: &str) -> Result<Vec<Object>, StoreError> {
        self.contents.all(kind, self.at)
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

/// Contents that are being put together from a declarative configuration, in which nothing ever
/// expires by itself.
impl Rows for Contents {
    fn get(&mut self, kind: &str, id: &str) -> Result<Option<Object>, StoreError> {
        Self::get(self, kind, id, 0)
    }

    fn exists(&mut self, kind: &str, id: &str) -> Result<bool, StoreError> {
        Ok(self.stored(kind, id).is_some())
    }

    fn owner(&mut self, kind: &str, key: &str, value: &str) -> Result<Option<String>, StoreError> {
        Ok(self.holder(kind, key, value).cloned())
    }

    fn referrers(&mut self, kind: &str, id: &str) -> Result<Vec<Referrer>, StoreError> {
        Ok(self.referring(kind, id))
    }

    fn all(&mut self, kind: &str) -> Result<Vec<Object>, StoreError> {
        Self::all(self, kind, 0)
    }

    fn write(
        &mut self,
        kind: &str,
        id: &str,
        entity: &Object,
        index: &Index,
    ) -> Result<(), StoreError> {
        // Nothing is said of the end of what has none.
        let body = match entity.get("ttl") {
            Some(Value::Null) => {
                let mut entity = entity.clone();
                entity.remove("ttl");
                body::text(kind, id, &entity)?
            }
            _ => body::text(kind, id, entity)?,
        };
        let stored = Stored {
            body: body.into(),
            expires_at: None,
            index: index.clone(),
        };
        self.store(kind, id, stored);
        Ok(())
    }

    fn remove(&mut self, kind: &str, id: &str) -> Result<(), StoreError> {
        self.forget(kind, id);
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        *self = Self::default();
        Ok(())
    }
}
