//! Fields of records that a configuration sets (`custom_fields_by_lua`).
//!
//! No Lua runs: a field is set to a constant, or taken away.

use std::collections::BTreeMap;

use keelgate_entities::schema::{Field, ITEM};
use serde_json::{Map, Value};

use super::json;
use crate::error::Reason;

/// Values to set, by dotted path; none for a field that goes.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<(Vec<String>, Option<Value>)>);

/// The setting.
pub(crate) fn setting() -> Field {
    Field::map(
        "custom_fields_by_lua",
        Field::string(ITEM).len_min(1),
        Field::string(ITEM)
            .len_min(1)
            .custom(|code| constant(code).map(drop)),
    )
    .description("Fields of records by dotted path, each with `return` and a constant: a text, a number, true, false, or nil, which takes the field away.")
}

impl Fields {
    pub(crate) fn compile(fields: &BTreeMap<String, String>) -> Result<Self, Reason> {
        let compiled = fields.iter().map(|(path, code)| {
            let value = constant(code)
                .map_err(|problem| Reason::setting("custom_fields_by_lua", problem))?;
            Ok((path.split('.').map(str::to_owned).collect(), value))
        });
        Ok(Self(compiled.collect::<Result<_, Reason>>()?))
    }

    /// Sets the fields of the record that begins at `start`. A path that leads through something
    /// other than an object is passed over.
    pub(crate) fn change(&self, start: usize, out: &mut Vec<u8>) {
        if self.0.is_empty() {
            return;
        }
        let Ok(Value::Object(mut record)) = serde_json::from_slice(&out[start..]) else {
            return;
        };
        for (path, value) in &self.0 {
            if let Some((last, way)) = path.split_last() {
                set(&mut record, way, last, value.as_ref());
            }
        }
        out.truncate(start);
        json::value(out, &record);
    }
}

fn set(record: &mut Map<String, Value>, way: &[String], last: &str, value: Option<&Value>) {
    match (way.split_first(), value) {
        (None, Some(value)) => {
            record.insert(last.to_owned(), value.clone());
        }
        (None, None) => {
            record.remove(last);
        }
        (Some((name, way)), _) => {
            let inner = record
                .entry(name.as_str())
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                set(inner, way, last, value);
            }
        }
    }
}

/// Reads `return CONSTANT`; nothing for `nil`.
fn constant(code: &str) -> Result<Option<Value>, String> {
    let unknown = || {
        format!(
            "this build runs no Lua, and '{code}' is not `return` with a text, a number, true, \
             false or nil"
        )
    };
    let rest = code.trim().strip_prefix("return").ok_or_else(unknown)?;
    let constant = rest.trim_end_matches(';').trim();
    if rest.starts_with(|first: char| first.is_alphanumeric() || first == '_') {
        return Err(unknown());
    }
    for quote in ['\'', '"'] {
        let inner = constant
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner
            && !inner.contains([quote, '\\', '\n'])
        {
            return Ok(Some(inner.into()));
        }
    }
    match constant {
        "" | "nil" => Ok(None),
        "true" => Ok(Some(true.into())),
        "false" => Ok(Some(false.into())),
        number => match serde_json::from_str(number) {
            Ok(number @ Value::Number(_)) => Ok(Some(number)),
            _ => Err(unknown()),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn constants_are_read() {
        assert_eq!(constant("return 'x'"), Ok(Some(json!("x"))));
        assert_eq!(constant(" return \"a'b\" ;"), Ok(Some(json!("a'b"))));
        assert_eq!(constant("return 5"), Ok(Some(json!(5))));
        assert_eq!(constant("return-1.5"), Ok(Some(json!(-1.5))));
        assert_eq!(constant("return true"), Ok(Some(json!(true))));
        assert_eq!(constant("return nil"), Ok(None));
    }

    #[test]
    fn other_code_is_refused() {
        for code in [
            "",
            "x",
            "returnx",
            "return x",
            "return 'a' .. 'b'",
            "return {}",
            "return '\\n'",
        ] {
            let problem = constant(code).unwrap_err();
            assert!(problem.contains("runs no Lua"), "{problem}");
        }
    }
}
