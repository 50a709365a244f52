//! Errors of a document as a list of entities.

use serde_json::{Value, json};

use crate::schema::lookup::is_uuid;
use crate::{Object, Schemas};

/// A field that refers: its kind, its name, and the kind that it refers to.
pub(super) type ForeignField = (&'static str, &'static str, &'static str);

/// All fields that refer.
pub(super) fn foreign_fields(schemas: &Schemas) -> Vec<ForeignField> {
    let kinds = schemas.kinds().iter();
    kinds
        .flat_map(|schema| {
            schema.fields.iter().filter_map(|field| match field.kind {
                crate::schema::Type::Foreign { reference, .. } => {
                    Some((schema.name, field.name, reference))
                }
                _ => None,
            })
        })
        .collect()
}

/// Moves the errors of entities from the tree into a list. Entities nested in others are told on
/// their own, with a reference to the one that they were nested in.
pub(super) fn flatten(
    document: &mut Object,
    errors: &mut Object,
    foreign: &[ForeignField],
) -> Vec<Value> {
    let mut flat = Flat {
        foreign,
        list: Vec::new(),
    };
    let mut kept = Object::new();
    for (kind, section) in std::mem::take(errors) {
        match (section, document.get_mut(&kind)) {
            (Value::Array(list), Some(Value::Array(entities))) => {
                for (error, entity) in list.into_iter().zip(entities) {
                    if let Value::Object(entity) = entity {
                        flat.entity(&kind, entity, error);
                    }
                }
            }
            // Told by name, not by position: cannot be told of an entity of the document.
            (Value::Object(_), Some(Value::Array(_))) => {}
            (section, _) => {
                kept.insert(kind, section);
            }
        }
    }
    *errors = kept;
    flat.list
}

struct Flat<'f> {
    foreign: &'f [ForeignField],
    list: Vec<Value>,
}

impl Flat<'_> {
    fn entity(&mut self, kind: &str, entity: &mut Object, error: Value) {
        let mut errors = match error {
            Value::Object(errors) => errors,
            Value::Null => return,
            message => {
                let mut errors = Object::new();
                errors.insert("@entity".to_owned(), message);
                errors
            }
        };
        let own_reference = reference(entity);
        for &(from, field, to) in self.foreign {
            if from == kind {
                self.referred(to, field, entity, &mut errors);
            }
            if to == kind {
                self.nested(from, field, &own_reference, entity, &mut errors);
            }
        }
        if errors.is_empty() {
            return;
        }
        let mut messages = Vec::new();
        categorize(None, &Value::Object(errors), &mut messages);
        let mut item = Object::new();
        if let Some(Value::String(name)) = entity.get("name").filter(|name| *name != "") {
            item.insert("entity_name".to_owned(), name.as_str().into());
        }
        if let Some(id) = own_reference.get("id") {
            item.insert("entity_id".to_owned(), id.clone());
        }
        if let Some(Value::Array(tags)) = entity.get("tags")
            && tags.iter().all(Value::is_string)
        {
            item.insert("entity_tags".to_owned(), Value::Array(tags.clone()));
        }
        item.insert("entity_type".to_owned(), singular(kind).into());
        item.insert("entity".to_owned(), Value::Object(std::mem::take(entity)));
        item.insert("errors".to_owned(), Value::Array(messages));
        self.list.push(Value::Object(item));
    }

    /// An entity written in the place of a reference.
    fn referred(&mut self, kind: &str, field: &str, entity: &mut Object, errors: &mut Object) {
        let Some(Value::Object(mut other)) = entity.get(field).cloned() else {
            return;
        };
        let error = errors.remove(field).unwrap_or_default();
        match reference(&other) {
            Value::Null => entity.remove(field),
            reference => entity.insert(field.to_owned(), reference),
        };
        self.entity(kind, &mut other, error);
    }

    /// Entities nested in this one.
    fn nested(
        &mut self,
        kind: &str,
        field: &str,
        parent: &Value,
        entity: &mut Object,
        errors: &mut Object,
    ) {
        if !entity.get(kind).is_some_and(Value::is_array) {
            return;
        }
        let (children, found) = (entity.remove(kind), errors.remove(kind));
        let (Some(Value::Array(children)), Some(Value::Array(found))) = (children, found) else {
            return;
        };
        for (child, error) in children.into_iter().zip(found) {
            if let Value::Object(mut child) = child {
                if !child.contains_key(field) && !parent.is_null() {
                    child.insert(field.to_owned(), parent.clone());
                }
                self.entity(kind, &mut child, error);
            }
        }
    }
}

/// A reference to an entity, or null where it has no id.
fn reference(entity: &Object) -> Value {
    match entity.get("id") {
        Some(Value::String(id)) if is_uuid(id) => json!({ "id": id }),
        _ => Value::Null,
    }
}

fn singular(kind: &str) -> &str {
    kind.strip_suffix('s').unwrap_or(kind)
}

/// Lists messages with the dotted paths of their fields; positions count from one.
fn categorize(path: Option<&str>, errors: &Value, out: &mut Vec<Value>) {
    let inner = |key: &str| match path {
        Some(path) => format!("{path}.{key}"),
        None => key.to_owned(),
    };
    match errors {
        Value::Object(map) => {
            for (key, error) in map {
                if key == "@entity" {
                    entity_messages(error, out);
                } else {
                    categorize(Some(&inner(key)), error, out);
                }
            }
        }
        Value::Array(list) => {
            for (index, error) in list.iter().enumerate() {
                categorize(Some(&inner(&(index + 1).to_string())), error, out);
            }
        }
        Value::Null => {}
        message => out.push(json!({ "type": "field", "field": path, "message": message })),
    }
}

fn entity_messages(error: &Value, out: &mut Vec<Value>) {
    match error {
        Value::Array(list) => {
            for error in list {
                entity_messages(error, out);
            }
        }
        message => out.push(json!({ "type": "entity", "message": message })),
    }
}
