//! How `response-transformer` changes JSON bodies.

use bytes::Bytes;
use serde_json::{Map, Number, Value};

use super::config::{Change, Config, JsonType};
use crate::{body, setting};

/// Compiled changes of a JSON object's fields, made in the order of the members.
#[derive(Debug)]
pub(crate) struct JsonChanges {
    remove: Vec<String>,
    rename: Vec<(String, String)>,
    replace: Vec<(String, Value)>,
    add: Vec<(String, Value)>,
    append: Vec<(String, Value)>,
    /// Whether there are changes at all, be they without effect.
    any: bool,
}

impl JsonChanges {
    pub(crate) fn new(config: &Config) -> Self {
        let changes = [
            &config.remove,
            &config.rename,
            &config.replace,
            &config.add,
            &config.append,
        ];
        let rename = config.rename.json.iter();
        let remove = config.remove.json.iter();
        Self {
            remove: remove
                .map(|entry| setting::pair(entry).0.to_owned())
                .collect(),
            rename: rename
                .filter_map(|entry| match setting::pair(entry) {
                    (old, Some(new)) => Some((old.to_owned(), new.to_owned())),
                    (_, None) => None,
                })
                .collect(),
            replace: values(&config.replace),
            add: values(&config.add),
            append: values(&config.append),
            any: changes.iter().any(|change| !change.json.is_empty()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.any
    }

    /// The changed body. `None` when it is not a JSON object, which passes as it is.
    pub(crate) fn apply(&self, body: &[u8]) -> Option<Bytes> {
        let Ok(Value::Object(mut fields)) = serde_json::from_slice(body) else {
            return None;
        };
        for name in &self.remove {
            fields.remove(name);
        }
        for (old, new) in &self.rename {
            if let Some(value) = fields.remove(old) {
                fields.insert(new.clone(), value);
            }
        }
        for (name, value) in &self.replace {
            if is_set(&fields, name) {
                fields.insert(name.clone(), value.clone());
            }
        }
        for (name, value) in &self.add {
            if !is_set(&fields, name) {
                fields.insert(name.clone(), value.clone());
            }
        }
        for (name, value) in &self.append {
            append(&mut fields, name, value.clone());
        }
        Some(body::json(&fields))
    }
}

/// Whether a field counts as there: `false` does not, `null` does.
pub(crate) fn is_set(fields: &Map<String, Value>, name: &str) -> bool {
    !matches!(fields.get(name), None | Some(Value::Bool(false)))
}

/// Adds a value to a list; a text becomes a list of both, anything else a list of the new value.
pub(crate) fn append(fields: &mut Map<String, Value>, name: &str, value: Value) {
    match fields.get_mut(name) {
        Some(Value::Array(values)) => values.push(value),
        Some(Value::Object(object)) => {
            // The next free number, as a list that also has names would give it.
            let free = (1_u64..).find(|n| !object.contains_key(&n.to_string()));
            object.insert(free.unwrap_or(1).to_string(), value);
        }
        Some(text @ Value::String(_)) => *text = Value::Array(vec![text.take(), value]),
        _ => {
            fields.insert(name.to_owned(), Value::Array(vec![value]));
        }
    }
}

fn values(change: &Change) -> Vec<(String, Value)> {
    change
        .json
        .iter()
        .enumerate()
        .filter_map(|(at, entry)| {
            let (name, text) = setting::pair(entry);
            let kind = change.json_types.get(at).copied().unwrap_or_default();
            Some((name.to_owned(), typed(text?, kind)?))
        })
        .collect()
}

/// A text as a value of this type; `None` for what is not a number.
fn typed(text: &str, kind: JsonType) -> Option<Value> {
    match kind {
        JsonType::Boolean => Some(Value::Bool(text == "true")),
        JsonType::Number => number(text.trim()),
        JsonType::String => Some(Value::String(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Value> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    if let Some(digits) = hexadecimal {
        return u64::from_str_radix(digits, 16).ok().map(Value::from);
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    let value: f64 = text.parse().ok()?;
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return Some((value as i64).into());
    }
    Number::from_f64(value).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_values_of_the_type() {
        assert_eq!(typed("1", JsonType::Number), Some(1.into()));
        assert_eq!(typed("1e3", JsonType::Number), Some(1000.into()));
        assert_eq!(typed("0.5", JsonType::Number), Some(0.5.into()));
        assert_eq!(typed("0x10", JsonType::Number), Some(16.into()));
        assert_eq!(typed("x", JsonType::Number), None);
        assert_eq!(typed("inf", JsonType::Number), None);
        assert_eq!(typed("true", JsonType::Boolean), Some(true.into()));
        assert_eq!(typed("yes", JsonType::Boolean), Some(false.into()));
        assert_eq!(typed("a\"b", JsonType::String), Some("a\"b".into()));
    }
}
