//! The message that a request stands for: from its path, its query and its body.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

/// Sets the field at a path (`a.b.c`) to a text that stood in a URL. A path that the message does not have is
/// passed over.
pub(super) fn set(
    payload: &mut Map<String, Value>,
    kind: &MessageDescriptor,
    path: &str,
    text: &str,
) {
    let (name, rest) = match path.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (path, None),
    };
    let field = kind.get_field_by_name(name);
    let Some(field) = field.or_else(|| kind.get_field_by_json_name(name)) else {
        return;
    };
    let name = field.name().to_owned();
    match (rest, field.kind()) {
        (Some(rest), Kind::Message(kind)) if !field.is_list() && !field.is_map() => {
            let nested = payload.entry(name).or_insert_with(|| json!({}));
            if let Value::Object(nested) = nested {
                set(nested, &kind, rest, text);
            }
        }
        (Some(_), _) => {}
        (None, _) if field.is_list() => {
            let list = payload.entry(name).or_insert_with(|| json!([]));
            if let Value::Array(list) = list {
                list.push(value(&field, text));
            }
        }
        (None, _) => {
            payload.insert(name, value(&field, text));
        }
    }
}

/// A text as the JSON of a field; numbers may be written as text there.
fn value(field: &FieldDescriptor, text: &str) -> Value {
    match field.kind() {
        Kind::Bool => Value::Bool(!matches!(text, "0" | "false")),
        Kind::Enum(_) => match text.parse::<i32>() {
            Ok(number) => number.into(),
            Err(_) => text.into(),
        },
        _ => text.into(),
    }
}
