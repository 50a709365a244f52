//! What an entity is found by besides its id: unique keys, references and tags.

use std::time::{Duration, SystemTime};

use keelgate_entities::{Object, Schema};
use serde_json::Value;

use crate::StoreError;

/// One unique key of one entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UniqueEntry {
    /// Which unique key of the schema.
    pub name: &'static str,
    /// The values of its fields, as a JSON array.
    pub value: String,
}

/// One reference that an entity holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceEntry {
    /// The field that holds it.
    pub field: String,
    /// The kind of entity it points to.
    pub target_kind: String,
    /// The id it points to.
    pub target_id: String,
}

/// Everything an entity is indexed by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// Unique keys; a key of one field whose value is null is absent.
    pub unique: Vec<UniqueEntry>,
    /// References that are not null.
    pub references: Vec<ReferenceEntry>,
    /// Tags, each once.
    pub tags: Vec<String>,
    /// When the entity ceases to be.
    pub expires_at: Option<SystemTime>,
}

impl Index {
    /// Derives the index of an entity from its schema; a `ttl` counts from `now`.
    pub fn of(schema: &Schema, entity: &Object, now: SystemTime) -> Self {
        let unique = schema
            .unique_keys()
            .iter()
            .filter_map(|key| {
                let values: Vec<_> = key
                    .fields
                    .iter()
                    .map(|field| entity.get(*field).cloned().unwrap_or(Value::Null))
                    .collect();
                // A key of several fields counts null as a value (one global plugin per name);
                // a single null is "no key".
                if matches!(values.as_slice(), [Value::Null]) {
                    return None;
                }
                Some(UniqueEntry {
                    name: key.name,
                    value: unique_value(values),
                })
            })
            .collect();
        let references = schema
            .foreign_keys()
            .filter_map(|key| {
                let id = entity.get(key.field)?.get("id")?.as_str()?;
                Some(ReferenceEntry {
                    field: key.field.to_owned(),
                    target_kind: key.kind.to_owned(),
                    target_id: id.to_owned(),
                })
            })
            .collect();
        let mut tags: Vec<_> = entity
            .get("tags")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|tag| tag.as_str().map(str::to_owned))
            .collect();
        tags.sort_unstable();
        tags.dedup();
        let ttl = entity.get("ttl").and_then(Value::as_u64);
        let expires_at = ttl
            .filter(|ttl| schema.ttl && *ttl > 0)
            .and_then(|ttl| now.checked_add(Duration::from_secs(ttl)));
        Self {
            unique,
            references,
            tags,
            expires_at,
        }
    }
}

/// The stored form of a unique key's values.
pub(crate) fn unique_value(values: Vec<Value>) -> String {
    Value::Array(values).to_string()
}

/// The id of an entity.
pub(crate) fn id_of<'a>(kind: &str, entity: &'a Object) -> Result<&'a str, StoreError> {
    entity
        .get("id")
        .and_then(Value::as_str)
        .ok_or_else(|| StoreError::MissingId(kind.to_owned()))
}
