//! Foreign keys and duplicates of a whole document.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::collect::{ErrorTree, Item, Items, Place};
use crate::{Object, Schema, Schemas};

/// The entities of a document by kind and by unique name or id.
struct Index<'e> {
    by_key: HashMap<&'static str, HashMap<&'e str, usize>>,
    by_id: HashMap<&'static str, HashMap<&'e str, usize>>,
}

impl Index<'_> {
    fn find(&self, kind: &str, key: &str) -> Option<usize> {
        let found = |index: &HashMap<_, HashMap<&str, _>>| index.get(kind)?.get(key).copied();
        found(&self.by_key).or_else(|| found(&self.by_id))
    }
}

/// The field that names an entity uniquely, and its value.
fn key_of<'e>(schema: &Schema, entity: &'e Object) -> Option<(&'static str, &'e str)> {
    let key = schema.endpoint_key?;
    let unique = schema.field(key).is_some_and(|field| field.unique);
    let value = entity.get(key)?.as_str()?;
    unique.then_some((key, value))
}

fn id_of(entity: &Object) -> Option<&str> {
    entity.get("id")?.as_str()
}

/// Replaces names in foreign keys by ids.
///
/// # Errors
/// Duplicates and references that lead nowhere, by kind and by position or name.
pub(super) fn resolve(items: &mut Items<'_>, schemas: &Schemas) -> Result<(), Object> {
    let (index, mut errors) = index(items);
    dangling(items, &index, &mut errors.0);
    if !errors.is_empty() {
        return Err(errors.0);
    }
    for (position, field, id) in given_by_name(items, &index) {
        let entity = &mut items.list[position].entity;
        entity.insert(field.to_owned(), json!({ "id": id }));
    }
    let errors = repeated_values(items, schemas);
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

/// The references that are nested or given by name: the position of the entity that refers, its
/// field, and the id of the other entity.
fn given_by_name<'s>(items: &Items<'s>, index: &Index<'_>) -> Vec<(usize, &'s str, Value)> {
    let id = |position: usize| items.list[position].entity.get("id").cloned();
    let mut given = Vec::new();
    for (position, item) in items.list.iter().enumerate() {
        for foreign in item.schema.foreign_keys() {
            if let Some(Value::String(name)) = item.entity.get(foreign.field)
                && let Some(found) = index.find(foreign.kind, name)
            {
                given.push((position, foreign.field, id(found).unwrap_or_default()));
            }
        }
        if let Some((parent, field)) = item.parent {
            given.push((position, field, id(parent).unwrap_or_default()));
        }
    }
    given
}

/// The references by name that lead nowhere: where they stand, and their field.
pub(super) fn unknown_names<'s>(items: &Items<'s>) -> Vec<(Place<'s>, &'s str)> {
    let (index, _) = index(items);
    let mut unknown = Vec::new();
    for (position, item) in items.list.iter().enumerate() {
        for foreign in item.schema.foreign_keys() {
            if let Some(Value::String(name)) = item.entity.get(foreign.field)
                && index.find(foreign.kind, name).is_none()
            {
                unknown.push((items.place(position), foreign.field));
            }
        }
    }
    unknown
}

/// Indexes the entities; names and ids that occur twice are errors.
fn index<'e>(items: &'e Items<'_>) -> (Index<'e>, ErrorTree) {
    let mut index = Index {
        by_key: HashMap::new(),
        by_id: HashMap::new(),
    };
    let mut errors = ErrorTree::default();
    for &position in &items.children_first {
        let item = &items.list[position];
        let kind = item.schema.name;
        let mut repeated = false;
        if let Some((key, value)) = key_of(item.schema, &item.entity) {
            let names = index.by_key.entry(kind).or_default();
            if names.contains_key(value) {
                repeated = true;
                // Told at the position in its own list, wherever that list is nested.
                errors.add(&[(kind, item.index)], violation(kind, key, value));
            } else {
                names.insert(value, position);
            }
        }
        if let Some(id) = id_of(&item.entity) {
            let ids = index.by_id.entry(kind).or_default();
            if ids.contains_key(id) && !repeated {
                let place = items.place(position);
                let inner = place.len().saturating_sub(2);
                errors.add(&place[inner..], violation(kind, "primary key", id));
            } else {
                ids.insert(id, position);
            }
        }
    }
    (index, errors)
}

fn violation(kind: &str, key: &str, value: &str) -> Value {
    let message = format!(
        "uniqueness violation: '{kind}' entity with {key} set to '{value}' already declared"
    );
    message.into()
}

/// References that lead nowhere, by kind and name (or id) of the entity that refers.
fn dangling(items: &Items<'_>, index: &Index<'_>, errors: &mut Object) {
    for item in &items.list {
        for foreign in item.schema.foreign_keys() {
            let nested = item.parent.is_some_and(|(_, field)| field == foreign.field);
            let value = match item.entity.get(foreign.field) {
                None | Some(Value::Null) => continue,
                Some(_) if nested => continue,
                Some(value) => value,
            };
            let key = match value {
                Value::String(name) => Some(name.as_str()),
                other => other.get("id").and_then(Value::as_str),
            };
            if key.is_some_and(|key| index.find(foreign.kind, key).is_some()) {
                continue;
            }
            let shown = match value {
                Value::String(name) => name.clone(),
                other => other.to_string(),
            };
            let message = format!(
                "invalid reference '{}: {shown}' (no such entry in '{}')",
                foreign.field, foreign.kind
            );
            let name = key_of(item.schema, &item.entity)
                .map(|(_, name)| name)
                .or_else(|| id_of(&item.entity))
                .unwrap_or_default();
            let kind = errors
                .entry(item.schema.name)
                .or_insert_with(|| Value::Object(Object::new()));
            if let Value::Object(kind) = kind {
                let list = kind.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    list.push(message.into());
                }
            }
        }
    }
}

/// Values of other unique fields that occur twice, by kind and name of the second entity.
fn repeated_values(items: &Items<'_>, schemas: &Schemas) -> Object {
    let mut errors = Object::new();
    let mut by_kind: HashMap<&str, Vec<&Item<'_>>> = HashMap::new();
    for &position in &items.children_first {
        let item = &items.list[position];
        by_kind.entry(item.schema.name).or_default().push(item);
    }
    for schema in schemas.kinds() {
        let fields = schema.fields.iter().filter(|field| field.unique);
        for field in fields.filter(|field| Some(field.name) != schema.endpoint_key) {
            let mut seen = HashSet::new();
            for item in by_kind.get(schema.name).into_iter().flatten() {
                let Some(value) = item.entity.get(field.name).and_then(Value::as_str) else {
                    continue;
                };
                if seen.insert(value) {
                    continue;
                }
                let name = schema
                    .endpoint_key
                    .and_then(|key| item.entity.get(key)?.as_str())
                    .or_else(|| id_of(&item.entity))
                    .unwrap_or_default();
                let kind = errors
                    .entry(schema.name)
                    .or_insert_with(|| Value::Object(Object::new()));
                if let Value::Object(kind) = kind {
                    kind.insert(name.to_owned(), violation(schema.name, field.name, value));
                }
            }
        }
    }
    errors
}
