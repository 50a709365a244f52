//! Rows of an open transaction, with writes that travel together.
//!
//! An import writes hundreds of thousands of rows; one round trip for each would take minutes. So
//! writes wait here and go in one batch when enough are together, when a question needs them in the
//! tables, or at the commit. Questions about single entities are answered from what waits first.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use keelgate_entities::{ApiError, Object, Schema, Schemas};

use super::batch::Batch;
use super::read;
use super::session::Session;
use crate::StoreError;
use crate::index::{Index, UniqueEntry};
use crate::rows::{Referrer, Rows};

/// Entities that wait before they are sent.
const MOST_WAITING: usize = 2000;

/// Longest value of a unique key that is stored as it is; PostgreSQL's indexes end at 2704 bytes.
const LONGEST_VALUE: usize = 1000;

pub(super) use crate::journal::EntityKey;

/// Kind, name of the key, stored form of its value.
type UniqueKey = (String, String, String);

/// What waits to be written under an id.
pub(super) struct Waiting {
    pub(super) entity: Object,
    pub(super) index: Index,
    /// Whether nothing stands under its id in the tables, so that nothing of it has to be forgotten.
    pub(super) is_new: bool,
}

/// [`Rows`] over a session with an open transaction.
pub(super) struct PostgresRows<'a> {
    session: &'a mut Session,
    /// The revision that this transaction makes; `None` where it may only read.
    revision: Option<i64>,
    /// What tells short-lived records, which are of no revision; none where nothing is written.
    schemas: Option<&'a Schemas>,
    /// Entities that were written, and (`None`) removed.
    waiting: BTreeMap<EntityKey, Option<Waiting>>,
    /// Who holds which unique key by what waits.
    owners: HashMap<UniqueKey, String>,
    /// What the tables held when it was asked ahead.
    known_owners: HashMap<UniqueKey, Option<String>>,
    known_entities: HashMap<EntityKey, bool>,
}

impl<'a> PostgresRows<'a> {
    /// Rows of a transaction that only reads.
    pub(super) fn reading(session: &'a mut Session) -> Self {
        Self::new(session, None, None)
    }

    /// Rows of a transaction that makes this revision.
    pub(super) fn writing(session: &'a mut Session, revision: i64, schemas: &'a Schemas) -> Self {
        Self::new(session, Some(revision), Some(schemas))
    }

    fn new(session: &'a mut Session, revision: Option<i64>, schemas: Option<&'a Schemas>) -> Self {
        Self {
            session,
            revision,
            schemas,
            waiting: BTreeMap::new(),
            owners: HashMap::new(),
            known_owners: HashMap::new(),
            known_entities: HashMap::new(),
        }
    }

    /// Sends everything that waits.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        self.known_owners.clear();
        self.known_entities.clear();
        self.owners.clear();
        let waiting = std::mem::take(&mut self.waiting);
        match self.revision {
            Some(revision) if !waiting.is_empty() => {
                let is_record = |kind: &str| {
                    let schema = self.schemas.and_then(|schemas| schemas.kind(kind));
                    schema.is_some_and(|schema| schema.record)
                };
                Batch::of(&waiting, revision, is_record)?.send(self.session)
            }
            _ => Ok(()),
        }
    }

    fn revision(&self) -> Result<i64, StoreError> {
        self.revision.ok_or_else(|| {
            StoreError::Postgres("work that only reads was about to write".to_owned())
        })
    }

    /// Lets something wait in the place of what waited for this entity before.
    fn wait(&mut self, kind: &str, id: &str, next: Option<Waiting>) -> Result<(), StoreError> {
        self.revision()?;
        let held = |waiting: &Waiting| -> Vec<UniqueKey> {
            let keys = waiting.index.unique.iter();
            keys.map(|entry| unique_key(kind, entry.name, &entry.value))
                .collect()
        };
        let taken = next.as_ref().map(held).unwrap_or_default();
        let before = self.waiting.insert((kind.to_owned(), id.to_owned()), next);
        for key in before.flatten().as_ref().map(held).unwrap_or_default() {
            self.owners.remove(&key);
        }
        for key in taken {
            self.owners.insert(key, id.to_owned());
        }
        match self.waiting.len() >= MOST_WAITING {
            true => self.flush(),
            false => Ok(()),
        }
    }
}

impl Rows for PostgresRows<'_> {
    fn get(&mut self, kind: &str, id: &str) -> Result<Option<Object>, StoreError> {
        match self.waiting.get(&(kind.to_owned(), id.to_owned())) {
            Some(waiting) => Ok(waiting.as_ref().map(|waiting| waiting.entity.clone())),
            None => read::get(self.session, kind, id),
        }
    }

    fn exists(&mut self, kind: &str, id: &str) -> Result<bool, StoreError> {
        let key = (kind.to_owned(), id.to_owned());
        if let Some(waiting) = self.waiting.get(&key) {
            return Ok(waiting.is_some());
        }
        match self.known_entities.get(&key) {
            Some(is_there) => Ok(*is_there),
            None => read::exists(self.session, kind, id),
        }
    }

    fn owner(&mut self, kind: &str, key: &str, value: &str) -> Result<Option<String>, StoreError> {
        let key = unique_key(kind, key, value);
        if let Some(id) = self.owners.get(&key) {
            return Ok(Some(id.clone()));
        }
        let stored = match self.known_owners.get(&key) {
            Some(known) => known.clone(),
            None => read::owner(self.session, kind, &key.1, &key.2)?,
        };
        // The keys of what was written or removed since are those that wait, and no others.
        Ok(stored.filter(|id| !self.waiting.contains_key(&(key.0, id.clone()))))
    }

    fn referrers(&mut self, kind: &str, id: &str) -> Result<Vec<Referrer>, StoreError> {
        self.flush()?;
        read::referrers(self.session, kind, id)
    }

    fn all(&mut self, kind: &str) -> Result<Vec<Object>, StoreError> {
        self.flush()?;
        read::all(self.session, kind, None)
    }

    fn expect(&mut self, schema: &Schema, coming: &[(&str, &Object)]) -> Result<(), StoreError> {
        self.flush()?;
        let (mut keys, mut entities) = (Vec::new(), Vec::new());
        for (id, entity) in coming {
            // Only what it is found by counts here, not when it expires.
            let index = Index::of(schema, entity, SystemTime::UNIX_EPOCH);
            entities.push((schema.name.to_owned(), (*id).to_owned()));
            let unique = index.unique.iter();
            keys.extend(unique.map(|entry| unique_key(schema.name, entry.name, &entry.value)));
            let references = index.references.into_iter();
            entities.extend(references.map(|entry| (entry.target_kind, entry.target_id)));
        }
        for key in &keys {
            self.known_owners.insert(key.clone(), None);
        }
        for (name, value, id) in read::owners(self.session, schema.name, &keys)? {
            let key = (schema.name.to_owned(), name, value);
            self.known_owners.insert(key, Some(id));
        }
        let found = read::existing(self.session, &entities)?;
        for key in entities {
            self.known_entities.insert(key, false);
        }
        for key in found {
            self.known_entities.insert(key, true);
        }
        Ok(())
    }

    fn write(
        &mut self,
        kind: &str,
        id: &str,
        entity: &Object,
        index: &Index,
    ) -> Result<(), StoreError> {
        if index.tags.iter().any(|tag| tag.contains('\0')) {
            return Err(ApiError::field_violation("tags", "must not contain a null").into());
        }
        let mut index = index.clone();
        for entry in &mut index.unique {
            *entry = UniqueEntry {
                name: entry.name,
                value: stored_value(&entry.value).into_owned(),
            };
        }
        let key = (kind.to_owned(), id.to_owned());
        let waiting = Waiting {
            entity: entity.clone(),
            index,
            // What waited before was looked up before, too.
            is_new: self.known_entities.get(&key) == Some(&false),
        };
        self.wait(kind, id, Some(waiting))
    }

    fn remove(&mut self, kind: &str, id: &str) -> Result<(), StoreError> {
        self.wait(kind, id, None)
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        let revision = self.revision()?;
        self.waiting.clear();
        self.flush()?;
        self.session.execute(&[
            ("DELETE FROM keelgate_unique_keys", &[]),
            ("DELETE FROM keelgate_references", &[]),
            ("DELETE FROM keelgate_tags", &[]),
            ("DELETE FROM keelgate_entities", &[]),
            ("UPDATE keelgate_cluster SET cleared_by = $1", &[&revision]),
        ])
    }
}

fn unique_key(kind: &str, name: &str, value: &str) -> UniqueKey {
    let value = stored_value(value).into_owned();
    (kind.to_owned(), name.to_owned(), value)
}

/// The form in which a unique key's value is stored. Values are JSON arrays, so that a digest equals
/// none.
pub(super) fn stored_value(value: &str) -> Cow<'_, str> {
    if value.len() <= LONGEST_VALUE {
        return Cow::Borrowed(value);
    }
    let digest = digest(&SHA256, value.as_bytes());
    let hexadecimal = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    Cow::Owned(hexadecimal.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_fit_the_index_and_stay_apart() {
        let (one, other) = (
            "[\"".to_owned() + &"a".repeat(5000),
            "[\"".to_owned() + &"a".repeat(5001),
        );
        assert_eq!(stored_value("[\"short\"]"), "[\"short\"]");
        assert_eq!(stored_value(&one).len(), 64);
        assert_ne!(stored_value(&one), stored_value(&other));
        assert_eq!(stored_value(&stored_value(&one)), stored_value(&one));
    }
}
