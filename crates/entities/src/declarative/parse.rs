//! A document, checked and in flat form.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::collect::{ErrorTree, Items, check_comments};
use super::error::{DeclarativeError, Refused};
use super::{Table, legacy_paths, references};
use crate::schema::validate::Validator;
use crate::{Object, Schemas};

/// Collections that control planes send and that mean nothing here.
pub(super) const PASSED_OVER: [&str; 4] = [
    "workspaces",
    "parameters",
    "clustering_data_planes",
    "filter_chains",
];

/// Checks a declarative configuration, nested or flat, and brings it into flat form. Foreign keys
/// may be names, ids, or `{"id": …}`. Ids that are not given are derived from names as Kong does,
/// or else made up.
///
/// # Errors
/// Everything that is wrong, by its place in the document.
pub fn parse(
    document: Value,
    schemas: &Schemas,
    now: SystemTime,
) -> Result<Table, DeclarativeError> {
    check(document, schemas, now).map(Draft::into_table)
}

/// Like [`parse`], but stops before derived fields are written.
///
/// # Errors
/// Everything that is wrong, by its place in the document.
pub fn check(
    document: Value,
    schemas: &Schemas,
    now: SystemTime,
) -> Result<Draft<'_>, DeclarativeError> {
    read(document, schemas, now, false)
}

/// Checks the `config_table` of a control plane. Like [`parse`], but unknown fields that are null
/// are passed over: a newer control plane sends them.
///
/// # Errors
/// Everything that is wrong, by its place in the document.
pub fn parse_config_table(
    document: Value,
    schemas: &Schemas,
    now: SystemTime,
) -> Result<Table, DeclarativeError> {
    read(document, schemas, now, true).map(Draft::into_table)
}

/// A valid configuration as its author wrote it, completed: what `POST /config` answers. Passwords
/// are as they were given, and fields that are derived from others are not there yet.
#[derive(Debug)]
pub struct Draft<'s> {
    table: Table,
    schemas: &'s Schemas,
    transform: bool,
}

impl Draft<'_> {
    /// The entities, flat.
    pub fn entities(&self) -> &Table {
        &self.table
    }

    /// The configuration with derived fields (digests of passwords and certificates, old names of
    /// settings), as it is served and sent on.
    pub fn into_table(self) -> Table {
        let schemas = self.schemas;
        self.table.map(|kind, entity| {
            let Some(schema) = schemas.kind(kind) else {
                return;
            };
            for field in schema.fields.iter().filter(|field| field.transient) {
                entity.remove(field.name);
            }
            if self.transform {
                schemas.transform(schema, entity);
            }
            if schema.ttl {
                entity.entry("ttl").or_insert(Value::Null);
            }
            schemas.show_old_names(schema, entity);
        })
    }
}

fn read(
    document: Value,
    schemas: &Schemas,
    now: SystemTime,
    ignore_unknown_nulls: bool,
) -> Result<Draft<'_>, DeclarativeError> {
    let mut document = match document {
        Value::Object(document) => document,
        Value::Array(items) if items.is_empty() => Object::new(),
        _ => {
            let mut errors = Object::new();
            errors.insert("error".to_owned(), "expected an object".into());
            return Err(Refused::new(errors, Object::new()).into_error(schemas));
        }
    };
    legacy_paths::migrate(&mut document);
    let mut items = Items::of(&document, schemas);
    let mut errors = std::mem::take(&mut items.errors);
    head(&document, schemas, ignore_unknown_nulls, &mut errors.0);

    let validator = Validator {
        ignore_unknown_nulls,
        names_for_references: true,
        ..schemas.validator()
    };
    if let Err(errors) = entities(&mut items, schemas, validator, now, errors) {
        return Err(Refused::new(errors.0, document).into_error(schemas));
    }
    if let Err(errors) = references::resolve(&mut items, schemas) {
        let mut refused = Refused::new(errors, document);
        for (index, item) in items.list.iter().enumerate() {
            if item.id_derived {
                refused.put_id(&items.place(index), &item.entity);
            }
        }
        return Err(refused.into_error(schemas));
    }
    show_nested(&mut items);
    let transform = document.get("_transform") != Some(&Value::Bool(false));
    Ok(Draft {
        table: table(items, schemas),
        schemas,
        transform,
    })
}

/// Checks what stands beside the collections.
fn head(document: &Object, schemas: &Schemas, ignore_unknown_nulls: bool, errors: &mut Object) {
    let version = match document.get("_format_version") {
        None | Some(Value::Null) => Some("required field missing"),
        Some(Value::String(version)) => match version.as_str() {
            "1.1" | "2.1" | "3.0" => None,
            _ => Some("expected one of: 1.1, 2.1, 3.0"),
        },
        Some(_) => Some("expected a string"),
    };
    if let Some(message) = version {
        errors.insert("_format_version".to_owned(), message.into());
    }
    let transform = document.get("_transform");
    if transform.is_some_and(|flag| !flag.is_boolean() && !flag.is_null()) {
        errors.insert("_transform".to_owned(), "expected a boolean".into());
    }
    check_comments(document, errors);
    for (key, value) in document {
        let known = matches!(
            key.as_str(),
            "_format_version" | "_transform" | "_comment" | "_ignore"
        ) || PASSED_OVER.contains(&key.as_str())
            || schemas.kind(key).is_some()
            || (ignore_unknown_nulls && value.is_null());
        if !known {
            errors.insert(key.clone(), "unknown field".into());
        }
    }
}

/// Completes and validates all entities.
fn entities(
    items: &mut Items<'_>,
    schemas: &Schemas,
    validator: Validator<'_>,
    now: SystemTime,
    mut errors: ErrorTree,
) -> Result<(), ErrorTree> {
    // A nested entity with references of its own is an error only beside other errors.
    let mut misplaced = ErrorTree::default();
    // A reference that is no text makes names that lead nowhere count here, not later.
    let mut by_object = false;
    for index in 0..items.list.len() {
        let parent = items.list[index].parent.map(|(parent, field)| {
            let id = items.list[parent].entity.get("id").cloned();
            (field, id.unwrap_or_default())
        });
        let item = &mut items.list[index];
        let mut out_of_place = Object::new();
        for foreign in item.schema.foreign_keys() {
            match item.entity.get(foreign.field) {
                None | Some(Value::Null) => continue,
                Some(value) => by_object |= !value.is_string(),
            }
            if parent.is_some() {
                out_of_place.insert(foreign.field.to_owned(), "value must be null".into());
            }
        }
        // Where the reference may be null, nesting an entity is not held against it: a plugin that
        // cannot be bound to consumers may stand inside one, as in Kong.
        if let Some((field, id)) = parent
            && item.schema.field(field).is_some_and(|field| field.required)
            && item.entity.get(field).is_none_or(Value::is_null)
        {
            let reference = json!({ "id": id });
            item.entity.insert(field.to_owned(), reference);
        }
        let found = match schemas.complete(validator, item.schema, &mut item.entity, now) {
            Ok(_) => validator.entity(item.schema, &item.entity, true),
            Err(errors) => errors,
        };
        for (tree, found) in [(&mut misplaced, out_of_place), (&mut errors, found)] {
            if !found.is_empty() {
                tree.add(&items.place(index), Value::Object(found));
            }
        }
    }
    if errors.is_empty() && misplaced.is_empty() && !by_object {
        return Ok(());
    }
    let mut unknown = ErrorTree::default();
    for (place, field) in references::unknown_names(items) {
        let mut error = Object::new();
        error.insert(field.to_owned(), json!({ "id": "missing primary key" }));
        unknown.add(&place, Value::Object(error));
    }
    merge(&mut errors.0, unknown.0);
    if errors.is_empty() {
        return Ok(());
    }
    merge(&mut errors.0, misplaced.0);
    Err(errors)
}

/// Adds errors where there are none yet.
fn merge(errors: &mut Object, more: Object) {
    for (key, value) in more {
        match errors.get_mut(&key) {
            Some(present) => merge_value(present, value),
            None => {
                errors.insert(key, value);
            }
        }
    }
}

fn merge_value(present: &mut Value, more: Value) {
    match (present, more) {
        (Value::Object(present), Value::Object(more)) => merge(present, more),
        (Value::Array(present), Value::Array(more)) => {
            if present.len() < more.len() {
                present.resize(more.len(), Value::Null);
            }
            for (slot, value) in present.iter_mut().zip(more) {
                merge_value(slot, value);
            }
        }
        (slot @ Value::Null, more) => *slot = more,
        _ => {}
    }
}

/// Shows nested entities in the fields of their owners that have their name and are not stored:
/// `snis` of a certificate.
fn show_nested(items: &mut Items<'_>) {
    for index in 0..items.list.len() {
        let item = &items.list[index];
        let Some((parent, _)) = item.parent else {
            continue;
        };
        let field = items.list[parent].schema.field(item.schema.name);
        let Some(name) = field
            .filter(|field| field.transient)
            .map(|field| field.name)
        else {
            continue;
        };
        let mut shown = item.entity.clone();
        for note in ["_comment", "_ignore"] {
            shown.insert(note.to_owned(), Value::Null);
        }
        match items.list[parent].entity.get_mut(name) {
            Some(Value::Array(list)) => list.push(Value::Object(shown)),
            Some(slot) => *slot = json!([shown]),
            None => {}
        }
    }
}

fn table(items: Items<'_>, schemas: &Schemas) -> Table {
    let mut lists: Vec<Vec<Object>> = schemas.kinds().iter().map(|_| Vec::new()).collect();
    let mut entities: Vec<Option<(usize, Object)>> = items
        .list
        .into_iter()
        .map(|item| Some((schemas.position(item.schema)?, item.entity)))
        .collect();
    for index in items.children_first {
        if let Some((kind, entity)) = entities[index].take() {
            lists[kind].push(entity);
        }
    }
    Table::from_lists(schemas, lists)
}
