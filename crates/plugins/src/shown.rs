//! Parts of a request as JSON shows them.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::HeaderMap;
use crate::arguments::Arguments;
use crate::logging::WORKSPACE_ID;

/// Headers; a name that occurs several times gets a list.
pub(crate) fn headers(headers: &HeaderMap) -> Value {
    let headers = headers.iter();
    grouped(headers.map(|(name, value)| (name.as_str().to_owned(), text(value.as_bytes()))))
}

/// Arguments; one that stands without `=` is `true`.
pub(crate) fn arguments(arguments: &Arguments<'_>) -> Vec<(String, Value)> {
    arguments
        .iter()
        .map(|(name, value)| {
            let name = String::from_utf8_lossy(name).into_owned();
            (name, value.map_or(Value::Bool(true), text))
        })
        .collect()
}

/// An object; a name that occurs several times gets a list.
pub(crate) fn grouped(pairs: impl IntoIterator<Item = (String, Value)>) -> Value {
    let mut object = Map::new();
    for (name, value) in pairs {
        match object.get_mut(&name) {
            None => {
                object.insert(name, value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Value::Object(object)
}

pub(crate) fn text(bytes: &[u8]) -> Value {
    Value::String(String::from_utf8_lossy(bytes).into_owned())
}

/// An entity of the only workspace.
#[derive(Serialize)]
pub(crate) struct Owned<'e, T> {
    #[serde(flatten)]
    entity: &'e T,
    ws_id: &'static str,
}

impl<'e, T> Owned<'e, T> {
    pub(crate) fn of(entity: &'e T) -> Self {
        Self {
            entity,
            ws_id: WORKSPACE_ID,
        }
    }
}
