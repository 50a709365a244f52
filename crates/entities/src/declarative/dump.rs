//! Writing a configuration.

use serde_json::Value;

use super::Table;
use crate::Object;

/// Writes a configuration in the form that [`super::parse()`] reads: flat, foreign keys as ids,
/// entities sorted by their ids. The same configuration always yields the same document.
pub fn dump(table: &Table) -> Value {
    let mut document = Object::new();
    document.insert("_format_version".to_owned(), "3.0".into());
    document.insert("_transform".to_owned(), false.into());
    for (kind, entities) in table.iter() {
        let mut entities = entities.to_vec();
        entities.iter_mut().for_each(flatten);
        entities.sort_by(|a, b| id(a).cmp(id(b)));
        let entities = entities.into_iter().map(Value::Object).collect();
        document.insert(kind.to_owned(), Value::Array(entities));
    }
    Value::Object(document)
}

fn id(entity: &Object) -> &str {
    entity.get("id").and_then(Value::as_str).unwrap_or_default()
}

/// Turns references into plain ids.
pub(super) fn flatten(entity: &mut Object) {
    for value in entity.values_mut() {
        if let Value::Object(reference) = value
            && reference.len() == 1
            && let Some(id) = reference.get_mut("id")
        {
            *value = id.take();
        }
    }
}
