//! Errors as the Admin API tells them.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use crate::{Object, lua};

/// An error with the body that Kong's Admin API answers: `code`, `name`, `message` and, where
/// fields are to blame, `fields`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ApiError {
    /// Kong's number of this kind of error.
    pub code: u16,
    /// Kong's name of this kind of error.
    pub name: &'static str,
    /// What is wrong, for people.
    pub message: String,
    /// The same by field, nested as the entity is; `null` where no field is to blame.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub fields: Value,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

impl ApiError {
    /// An entity does not fit its schema. `errors` is the tree of messages by field; `@entity`
    /// holds a list of messages about the entity as a whole.
    pub fn schema_violation(errors: Object) -> Self {
        let mut found = Vec::new();
        if let Some(Value::Array(list)) = errors.get("@entity") {
            found.extend(list.iter().map(lua::text));
        }
        let mut names: Vec<_> = errors.keys().filter(|name| *name != "@entity").collect();
        names.sort();
        for name in names {
            match &errors[name] {
                Value::Object(nested) => {
                    let mut keys: Vec<_> = nested.keys().collect();
                    keys.sort();
                    found.extend(
                        keys.iter().map(|key| {
                            format!("{name}.{key}: {}", lua::text_or_table(&nested[*key]))
                        }),
                    );
                }
                Value::Array(nested) => found.extend(
                    nested
                        .iter()
                        .enumerate()
                        .filter(|(_, error)| !error.is_null())
                        .map(|(index, error)| {
                            format!("{name}.{}: {}", index + 1, lua::text_or_table(error))
                        }),
                ),
                other => found.push(format!("{name}: {}", lua::text(other))),
            }
        }
        let message = match found.as_slice() {
            [one] => format!("schema violation ({one})"),
            many => format!("{} schema violations ({})", many.len(), many.join("; ")),
        };
        Self {
            code: 2,
            name: "schema violation",
            message,
            fields: Value::Object(errors),
        }
    }

    /// A schema violation of one field.
    pub fn field_violation(field: &str, message: impl Into<String>) -> Self {
        let mut errors = Object::new();
        errors.insert(field.to_owned(), Value::String(message.into()));
        Self::schema_violation(errors)
    }

    /// An entity with this primary key exists already.
    pub fn primary_key_violation(key: Object) -> Self {
        Self::about(3, "primary key violation", key, |key| {
            format!("primary key violation on key '{key}'")
        })
    }

    /// `field` refers to an entity of `kind` that does not exist.
    pub fn foreign_key_violation(field: &str, kind: &str, key: Value) -> Self {
        let message = format!(
            "the foreign key '{}' does not reference an existing '{kind}' entity.",
            lua::table(&key)
        );
        Self {
            code: 4,
            name: "foreign key violation",
            message,
            fields: json!({ field: key }),
        }
    }

    /// An entity of `kind` cannot go, since one of `referring` refers to it.
    pub fn still_referenced(kind: &str, referring: &str) -> Self {
        Self {
            code: 4,
            name: "foreign key violation",
            message: format!("an existing '{referring}' entity references this '{kind}' entity"),
            fields: json!({ "@referenced_by": referring }),
        }
    }

    /// Another entity has the same values in a unique key.
    pub fn unique_violation(key: Object) -> Self {
        Self::about(5, "unique constraint violation", key, |key| {
            let key = key.replace("\"userdata: NULL\"", "null");
            format!("UNIQUE violation detected on '{key}'")
        })
    }

    /// No entity has this primary key.
    pub fn not_found(key: Object) -> Self {
        Self::about(6, "not found", key, |key| {
            format!("could not find the entity with primary key '{key}'")
        })
    }

    /// No entity has this value in this unique field.
    pub fn not_found_by(filter: Object) -> Self {
        Self::about(6, "not found", filter, |filter| {
            format!("could not find the entity with '{filter}'")
        })
    }

    /// A page's `offset` is not one that was given out.
    pub fn invalid_offset(offset: &str, why: &str) -> Self {
        Self {
            code: 7,
            name: "invalid offset",
            message: format!("'{offset}' is not a valid offset: {why}"),
            fields: Value::Null,
        }
    }

    /// A page's `size` cannot be used.
    pub fn invalid_size(message: impl Into<String>) -> Self {
        Self {
            code: 9,
            name: "invalid size",
            message: message.into(),
            fields: Value::Null,
        }
    }

    /// The node's storage cannot do this (a DB-less node is asked to write, for example).
    pub fn operation_unsupported(message: impl Into<String>) -> Self {
        Self {
            code: 12,
            name: "operation unsupported",
            message: message.into(),
            fields: Value::Null,
        }
    }

    /// A foreign key was given by a unique field, and no entity has that value.
    pub fn foreign_key_unresolved(field: &str, kind: &str, key: &str, value: &Value) -> Self {
        let why = format!(
            "the foreign key cannot be resolved with '{}' for an existing '{kind}' entity",
            lua::table(&json!({ key: value }))
        );
        Self {
            code: 13,
            name: "foreign keys unresolved",
            message: format!("foreign key unresolved ({field}.{key}: {why})"),
            fields: json!({ field: { key: why } }),
        }
    }

    /// A declarative configuration is invalid; `fields` is the tree of messages.
    pub fn declarative(fields: Object) -> Self {
        Self::about(14, "invalid declarative configuration", fields, |fields| {
            format!("declarative config is invalid: {fields}")
        })
    }

    /// An entity cannot go, since others refer to it in a way that no foreign key shows.
    pub fn referenced_by_others(message: impl Into<String>) -> Self {
        Self {
            code: 19,
            name: "referenced by others",
            message: message.into(),
            fields: Value::Null,
        }
    }

    /// The HTTP status of this error.
    pub fn status(&self) -> u16 {
        match self.code {
            5 => 409,
            6 => 404,
            8 => 500,
            12 => 405,
            _ => 400,
        }
    }

    fn about(
        code: u16,
        name: &'static str,
        key: Object,
        message: impl FnOnce(String) -> String,
    ) -> Self {
        let fields = Value::Object(key);
        Self {
            code,
            name,
            message: message(lua::table(&fields)),
            fields,
        }
    }
}
