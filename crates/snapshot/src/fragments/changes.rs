//! What differs between two configurations.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::chunk::{Chunk, changed, id_of};
use super::{Content, Fragments, Member, addresses};

/// Changed and removed entities by collection.
#[derive(Default, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Changes(BTreeMap<String, Vec<Change>>);

/// What became of an entity.
#[derive(Deserialize, Serialize)]
pub(crate) struct Change {
    id: Uuid,
    /// What it is now; absent when it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    row: Option<Box<RawValue>>,
}

/// Changes that do not fit a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The collection is no list of entities with ids.
    #[error("`{0}` is no list of entities that can be changed one by one")]
    NoRows(String),
    /// An entity is changed twice.
    #[error("`{collection}` {id} is changed twice")]
    Twice {
        /// Where.
        collection: String,
        /// Which.
        id: Uuid,
    },
    /// An entity under the id of another.
    #[error("what is given for `{collection}` {id} is not that entity")]
    Other {
        /// Where.
        collection: String,
        /// Which.
        id: Uuid,
    },
}

impl Changes {
    /// Notes what an entity is now, as JSON, or that it is no more.
    ///
    /// # Errors
    ///
    /// When the entity is no JSON.
    pub fn put(
        &mut self,
        collection: &str,
        id: Uuid,
        row: Option<String>,
    ) -> serde_json::Result<()> {
        let row = row.map(RawValue::from_string).transpose()?;
        let changes = self.0.entry(collection.to_owned()).or_default();
        changes.push(Change { id, row });
        Ok(())
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes the entities have.
    pub(crate) fn bytes(&self) -> usize {
        let changes = self.0.values().flatten();
        let rows = changes.map(|change| change.row.as_ref().map_or(0, |row| row.get().len()));
        rows.map(|row| row + 64).sum()
    }
}

impl fmt::Debug for Changes {
    /// Tells how many there are: entities hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.iter().map(|(name, changes)| (name, changes.len()));
        f.debug_map().entries(counts).finish()
    }
}

impl Fragments {
    /// The configuration after changes. What is not there can be removed.
    ///
    /// # Errors
    ///
    /// [`Unfit`] says which change has no place here.
    pub fn changed(&self, changes: &Changes) -> Result<Self, Unfit> {
        let mut members: BTreeMap<&str, Member> = self
            .0
            .members
            .iter()
            .map(|member| (&*member.name, member.clone()))
            .collect();
        for (collection, changes) in &changes.0 {
            let before = match members.get(collection.as_str()).map(|own| &own.content) {
                Some(Content::Text(_)) => return Err(Unfit::NoRows(collection.clone())),
                Some(Content::Rows(chunks)) => chunks.as_slice(),
                None => &[],
            };
            let rows = changed(before, &ordered(collection, changes)?);
            // Where nothing is left there is no list, as when a configuration is written whole.
            match rows.is_empty() {
                true => members.remove(collection.as_str()),
                false => members.insert(
                    collection,
                    Member {
                        name: collection.as_str().into(),
                        content: Content::Rows(rows),
                    },
                ),
            };
        }
        Ok(Self::new(members.into_values().collect()))
    }

    /// What has to change in `base` to become this; none where that is not a matter of entities.
    pub fn changes_since(&self, base: &Self) -> Option<Changes> {
        let mut changes = Changes::default();
        let names = self.names().chain(base.names());
        let names: BTreeSet<&str> = names.collect();
        for name in names {
            let (own, before) = (self.member(name), base.member(name));
            match (own.map(|own| &own.content), before.map(|own| &own.content)) {
                (Some(Content::Text(own)), Some(Content::Text(before))) if own == before => {}
                (Some(Content::Text(_)), _) | (_, Some(Content::Text(_))) => return None,
                (own, before) => {
                    let list = difference(rows_of(before), rows_of(own));
                    // An empty list is told from no list only by what stands around it.
                    if list.is_empty() && own.is_some() != before.is_some() {
                        return None;
                    }
                    if !list.is_empty() {
                        let list = list.into_iter().map(|(id, row)| {
                            let row = row.map(|row| RawValue::from_string(row.to_owned()));
                            let row = row.transpose().ok()?;
                            Some(Change { id, row })
                        });
                        changes
                            .0
                            .insert(name.to_owned(), list.collect::<Option<_>>()?);
                    }
                }
            }
        }
        Some(changes)
    }
}

fn rows_of(content: Option<&Content>) -> &[Arc<Chunk>] {
    match content {
        Some(Content::Rows(chunks)) => chunks,
        _ => &[],
    }
}

/// The rows that are new or different in `after`, and those that are there no more.
fn difference<'a>(
    before: &'a [Arc<Chunk>],
    after: &'a [Arc<Chunk>],
) -> BTreeMap<Uuid, Option<&'a str>> {
    let (known, kept) = (addresses(before), addresses(after));
    let gone = before
        .iter()
        .filter(|chunk| !kept.contains(&Arc::as_ptr(chunk)))
        .flat_map(|chunk| chunk.rows());
    let mut gone: BTreeMap<Uuid, &str> = gone.collect();
    let mut changes = BTreeMap::new();
    let new = after
        .iter()
        .filter(|chunk| !known.contains(&Arc::as_ptr(chunk)));
    for (id, row) in new.flat_map(|chunk| chunk.rows()) {
        if gone.remove(&id) != Some(row) {
            changes.insert(id, Some(row));
        }
    }
    changes.extend(gone.into_keys().map(|id| (id, None)));
    changes
}

/// Changes in order of their ids.
fn ordered<'a>(
    collection: &str,
    changes: &'a [Change],
) -> Result<Vec<(Uuid, Option<&'a str>)>, Unfit> {
    let mut rows = Vec::with_capacity(changes.len());
    for Change { id, row } in changes {
        let row = row.as_deref().map(RawValue::get);
        if row.is_some_and(|row| id_of(row) != Some(*id)) {
            return Err(Unfit::Other {
                collection: collection.to_owned(),
                id: *id,
            });
        }
        rows.push((*id, row));
    }
    rows.sort_unstable_by_key(|(id, _)| *id);
    match rows.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(Unfit::Twice {
            collection: collection.to_owned(),
            id: pair[0].0,
        }),
        None => Ok(rows),
    }
}
