//! What the text of a form stands for, by the schema.

use keelgate_entities::Object;
use keelgate_entities::schema::{Field, Type};
use serde_json::{Number, Value};

/// Turns the text of known members into numbers, booleans, lists and nulls. What does not fit is
/// left for the validation to complain about.
pub(super) fn members(members: &mut Object, fields: &[Field]) {
    for field in fields {
        if let Some(value) = members.get_mut(field.name) {
            infer(value, &field.kind);
        }
    }
}

fn infer(value: &mut Value, kind: &Type) {
    if matches!(value, Value::String(text) if text.is_empty()) {
        *value = Value::Null;
        return;
    }
    match (kind, &mut *value) {
        (Type::Integer | Type::Number, Value::String(text)) => {
            if let Some(number) = number(text) {
                *value = Value::Number(number);
            }
        }
        (Type::Boolean, Value::String(text)) => match text.as_str() {
            "true" => *value = Value::Bool(true),
            "false" => *value = Value::Bool(false),
            _ => {}
        },
        (Type::Array(items) | Type::Set(items), Value::Array(values)) => {
            for value in values {
                infer(value, &items.kind);
            }
        }
        (Type::Array(items) | Type::Set(items), Value::String(_)) => {
            let mut single = value.take();
            infer(&mut single, &items.kind);
            *value = Value::Array(vec![single]);
        }
        (Type::Map { values, .. }, Value::Object(entries)) => {
            for (_, value) in entries {
                infer(value, &values.kind);
            }
        }
        (Type::Record(record), Value::Object(entries)) => {
            members(entries, &record.fields);
            for shorthand in &record.shorthands {
                if let Some(value) = entries.get_mut(shorthand.field.name) {
                    infer(value, &shorthand.field.kind);
                }
            }
        }
        (Type::Foreign { .. }, Value::Object(entries)) => {
            for (_, value) in entries {
                infer(value, &Type::String);
            }
        }
        _ => {}
    }
}

fn number(text: &str) -> Option<Number> {
    let text = text.trim();
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    let number: f64 = text.parse().ok()?;
    // Everything below 2^53 that is whole is written without a fraction.
    if number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        return Some((number as i64).into());
    }
    Number::from_f64(number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_read_as_lua_would() {
        assert_eq!(number("80"), Some(80.into()));
        assert_eq!(number(" 1e3 "), Some(1000.into()));
        assert_eq!(number("1.5"), Number::from_f64(1.5));
        assert_eq!(number("abc"), None);
        assert_eq!(number("inf"), None);
    }

    #[test]
    fn text_becomes_what_the_schema_says() {
        let fields = [
            Field::integer("port"),
            Field::boolean("on"),
            Field::set("tags", Field::string("")),
            Field::string("path"),
        ];
        let mut given = json!({"port": "x", "on": "false", "tags": "a", "path": ""});
        members(given.as_object_mut().unwrap(), &fields);
        assert_eq!(
            given,
            json!({"port": "x", "on": false, "tags": ["a"], "path": null})
        );
    }
}
