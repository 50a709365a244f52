//! What of a configuration this build does not know.
//!
//! A data plane may read a snapshot that newer software wrote. What it knows means the same there;
//! what it does not know must not be passed over: a field may be all that keeps a route closed.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::parse::PASSED_OVER;
use crate::schema::Type;
use crate::schema::validate::Shape;
use crate::{Field, Object, Schema, Schemas};

/// How many different names are listed.
const LISTED: usize = 20;

/// Longest part of a name that is shown.
const SHOWN: usize = 64;

/// Collections, fields and plugins that are set in a configuration and not known here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unknown {
    names: BTreeSet<String>,
    /// Whether there are more than are listed.
    more: bool,
}

impl Unknown {
    /// Looks through the flat tables of a snapshot. What is null or empty counts as not set.
    pub fn of(tables: &Object, schemas: &Schemas) -> Self {
        let mut unknown = Self::default();
        for (name, rows) in tables {
            if name.starts_with('_') || PASSED_OVER.contains(&name.as_str()) || is_nothing(rows) {
                continue;
            }
            match schemas.kind(name) {
                Some(schema) => {
                    let rows = rows.as_array().into_iter().flatten();
                    for row in rows.filter_map(Value::as_object) {
                        unknown.entity(schemas, schema, row);
                    }
                }
                None => unknown.add(format!("collection `{}`", short(name))),
            }
        }
        unknown
    }

    /// Whether everything is known.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn add(&mut self, name: String) {
        if self.names.len() < LISTED {
            self.names.insert(name);
        } else if !self.names.contains(&name) {
            self.more = true;
        }
    }

    fn entity(&mut self, schemas: &Schemas, schema: &Schema, row: &Object) {
        let shape = schemas.shape(schema, row);
        let chosen = schema.variants.key().and_then(|key| row.get(key));
        let word = chosen.and_then(Value::as_str);
        let place = match word {
            Some(word) if shape.variant.is_none() && schema.variants.is_named() => {
                return self.add(format!("{} `{}`", singular(schema.name), short(word)));
            }
            Some(word) if schema.variants.is_named() => format!("{}({word})", schema.name),
            _ => schema.name.to_owned(),
        };
        self.level(shape, row, &place);
    }

    fn level(&mut self, shape: Shape<'_>, object: &Object, place: &str) {
        for (name, value) in object {
            if value.is_null() {
                continue;
            }
            if let Some(field) = shape.fields().find(|field| field.name == name) {
                self.value(field, value, place);
                continue;
            }
            let known = name == "updated_at"
                || (shape.expires() && name == "ttl")
                || (shape.shorthands().iter()).any(|shorthand| shorthand.field.name == name);
            if !known {
                self.add(format!("field `{place}.{}`", short(name)));
            }
        }
    }

    fn value(&mut self, field: &Field, value: &Value, outside: &str) {
        match (&field.kind, value) {
            (Type::Record(record), Value::Object(object)) => {
                let place = place(outside, field.name);
                self.level(Shape::record(record), object, &place);
            }
            (Type::Array(item) | Type::Set(item), Value::Array(items)) if holds_records(item) => {
                let place = place(outside, field.name);
                for value in items {
                    self.value(item, value, &place);
                }
            }
            (Type::Map { values, .. }, Value::Object(object)) if holds_records(values) => {
                let place = place(outside, field.name);
                for value in object.values() {
                    self.value(values, value, &place);
                }
            }
            _ => {}
        }
    }
}

/// Whether anything in the values of a field has fields of its own.
fn holds_records(field: &Field) -> bool {
    match &field.kind {
        Type::Record(_) => true,
        Type::Array(inner) | Type::Set(inner) | Type::Map { values: inner, .. } => {
            holds_records(inner)
        }
        _ => false,
    }
}

/// Items of lists have no name of their own.
fn place(outside: &str, name: &str) -> String {
    match name {
        crate::schema::ITEM => outside.to_owned(),
        name => format!("{outside}.{name}"),
    }
}

fn is_nothing(rows: &Value) -> bool {
    match rows {
        Value::Null => true,
        Value::Array(rows) => rows.is_empty(),
        Value::Object(rows) => rows.is_empty(),
        _ => false,
    }
}

/// `plugins` is about one plugin.
fn singular(collection: &str) -> &str {
    collection.strip_suffix('s').unwrap_or(collection)
}

fn short(name: &str) -> &str {
    &name[..name.floor_char_boundary(SHOWN)]
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.names.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{name}")?;
        }
        f.write_str(if self.more { " and more" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::PluginSchema;

    fn unknown(tables: &Value) -> String {
        let window = Field::record(crate::schema::ITEM, [Field::integer("size")]);
        let limiting = PluginSchema::new("limiting", 1, "1.0.0").fields([
            Field::integer("limit"),
            Field::record("redis", [Field::string("host")]),
            Field::array("windows", window),
        ]);
        let schemas = Schemas::new(vec![limiting]);
        Unknown::of(tables.as_object().unwrap(), &schemas).to_string()
    }

    #[test]
    fn what_this_build_writes_it_knows() {
        let tables = json!({
            "_format_version": "3.0",
            "_transform": false,
            "workspaces": [{"name": "default", "id": "x"}],
            "parameters": [{"key": "cluster_id", "value": "x"}],
            "services": [{"id": "x", "name": "a", "host": "b", "created_at": 1, "updated_at": 1}],
            "consumers": [],
            "keyauth_credentials": [{"key": "k", "ttl": 7}],
            "plugins": [{"name": "limiting", "config": {
                "limit": 1, "redis": {"host": "r"}, "windows": [{"size": 1}],
            }}],
        });
        assert_eq!(unknown(&tables), "");
    }

    #[test]
    fn each_unknown_thing_is_named_once_with_its_place() {
        let tables = json!({
            "filters": [{"id": "x"}],
            "services": [{"host": "a", "mesh": true}, {"host": "b", "mesh": false}],
            "plugins": [
                {"name": "sorcery", "config": {"power": 9}},
                {"name": "limiting", "config": {
                    "burst": 2,
                    "redis": {"host": "r", "shard": 1},
                    "windows": [{"size": 1, "unit": "s"}],
                }},
            ],
        });
        assert_eq!(
            unknown(&tables),
            "collection `filters`, field `plugins(limiting).config.burst`, \
             field `plugins(limiting).config.redis.shard`, \
             field `plugins(limiting).config.windows.unit`, field `services.mesh`, plugin `sorcery`"
        );
    }

    #[test]
    fn what_is_not_set_does_not_count() {
        let tables = json!({
            "filters": [],
            "services": [{"host": "a", "mesh": null}],
            "plugins": [{"name": "limiting", "config": {"burst": null}}],
        });
        assert_eq!(unknown(&tables), "");
    }

    #[test]
    fn the_list_is_bounded() {
        let service: Object = (0..500)
            .map(|n| (format!("{n}{}", "x".repeat(500)), json!(1)))
            .collect();
        let text = unknown(&json!({"services": [service]}));
        assert!(text.ends_with(" and more"), "{text}");
        assert!(text.len() < 20 * 100, "{}", text.len());
    }
}
