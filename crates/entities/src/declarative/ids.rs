//! Ids that are derived from names, so that they are the same on every node.

use serde_json::Value;
use uuid::{Uuid, uuid};

use crate::{Object, Schema};

/// The namespace of all kinds.
const ENTITIES: Uuid = uuid!("fd02801f-0957-4a15-a55a-c8d9606f30b5");

/// Stands for the only workspace.
const WORKSPACE: &str = "*";

/// The id of an entity that has none, or none where too little is known to derive one.
///
/// `raw` is the entity as it is written; `parent` is the field that refers to the entity it is
/// nested in, with that one's id where it is known.
pub(super) fn derive(
    schema: &Schema,
    raw: &Object,
    parent: Option<(&str, Option<&str>)>,
) -> Option<Uuid> {
    let name = if schema.cache_key.is_empty() {
        let key = raw.get(schema.endpoint_key?)?;
        key.as_str()?.to_owned()
    } else {
        cache_key(schema, raw, parent)?
    };
    let namespace = Uuid::new_v5(&ENTITIES, schema.name.as_bytes());
    Some(Uuid::new_v5(&namespace, name.as_bytes()))
}

/// What tells an entity apart: its kind, workspace, and the fields of its cache key as they are
/// written.
fn cache_key(
    schema: &Schema,
    raw: &Object,
    parent: Option<(&str, Option<&str>)>,
) -> Option<String> {
    let mut key = format!("{}:{WORKSPACE}", schema.name);
    for name in schema.cache_key {
        let field = schema.field(name)?;
        if field.auto {
            return None;
        }
        let part = match raw.get(*name) {
            Some(Value::String(text)) => text.as_str(),
            // Neither text nor absent: left out of the key.
            Some(_) => continue,
            None => match parent {
                Some((parent_field, id)) if parent_field == *name => id?,
                _ if field.required => return None,
                _ => "",
            },
        };
        key.push(':');
        key.push_str(part);
    }
    Some(key)
}
