//! Values that stand for secrets: `{vault://…}` in fields that may be references.

use serde_json::Value;

use super::field::{Field, Type};
use crate::Object;

/// Whether a text refers to a secret: `{vault://…}`.
pub fn is_reference(text: &str) -> bool {
    text.starts_with("{vault://") && text.ends_with('}')
}

/// Shows every reference in the fields that may hold one, with the dotted path of its field, to
/// `act`, which may put something in its place.
pub fn each_reference(fields: &[Field], data: &mut Object, act: &mut dyn FnMut(&str, &mut String)) {
    level(fields, data, &mut String::new(), act);
}

fn level(
    fields: &[Field],
    data: &mut Object,
    path: &mut String,
    act: &mut dyn FnMut(&str, &mut String),
) {
    for field in fields {
        if let Some(value) = data.get_mut(field.name) {
            below(path, field.name, &mut |path| {
                of_value(field, value, path, act)
            });
        }
    }
}

fn of_value(
    field: &Field,
    value: &mut Value,
    path: &mut String,
    act: &mut dyn FnMut(&str, &mut String),
) {
    match (&field.kind, value) {
        (Type::String, Value::String(text)) if field.referenceable && is_reference(text) => {
            act(path, text);
        }
        (Type::Record(record), Value::Object(data)) => level(&record.fields, data, path, act),
        (Type::Array(element) | Type::Set(element), Value::Array(items)) => {
            for item in items {
                of_value(element, item, path, act);
            }
        }
        (Type::Map { values, .. }, Value::Object(map)) => {
            for (key, value) in map {
                below(path, key, &mut |path| of_value(values, value, path, act));
            }
        }
        _ => {}
    }
}

/// Goes one step down and back again.
fn below(path: &mut String, name: &str, act: &mut dyn FnMut(&mut String)) {
    let above = path.len();
    if above > 0 {
        path.push('.');
    }
    path.push_str(name);
    act(path);
    path.truncate(above);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::ITEM;

    #[test]
    fn references_are_found_where_they_may_stand() {
        let secret = |name| Field::string(name).referenceable();
        let fields = [
            secret("token"),
            Field::string("plain"),
            Field::record("redis", [secret("password"), Field::string("host")]),
            Field::map("headers", Field::string(ITEM), secret(ITEM)),
            Field::array("hosts", Field::record(ITEM, [secret("key")])),
        ];
        let reference = "{vault://env/a}";
        let data = json!({
            "token": reference,
            "plain": reference,
            "redis": {"password": reference, "host": reference},
            "headers": {"authorization": reference, "x": "y"},
            "hosts": [{"key": reference}, {"key": "{vault://"}],
        });
        let Value::Object(mut data) = data else {
            unreachable!("it is an object")
        };
        let mut found = Vec::new();
        each_reference(&fields, &mut data, &mut |path, text| {
            found.push(path.to_owned());
            text.clear();
        });
        found.sort();
        assert_eq!(
            found,
            [
                "headers.authorization",
                "hosts.key",
                "redis.password",
                "token"
            ]
        );
        assert_eq!(
            Value::Object(data),
            json!({
                "token": "",
                "plain": reference,
                "redis": {"password": "", "host": reference},
                "headers": {"authorization": "", "x": "y"},
                "hosts": [{"key": ""}, {"key": "{vault://"}],
            })
        );
    }
}
