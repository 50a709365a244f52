//! The entities of a configuration as people tell them apart: by name, with what they refer to by
//! name, and with their secrets marked.

use std::collections::{BTreeMap, HashMap};

use keelgate_entities::schema::{Field, Type};
use keelgate_entities::{Object, Schemas};
use serde_json::Value;

/// Members of a configuration that are no entities of its author.
const NOT_ENTITIES: [&str; 2] = ["workspaces", "parameters"];

/// Fields that the gateway fills in: they differ between two databases with the same configuration.
const FILLED_IN: [&str; 3] = ["id", "created_at", "updated_at"];

/// The entities of a configuration, by kind.
pub(super) struct Entities(BTreeMap<String, Vec<Entity>>);

/// One entity.
pub(super) struct Entity {
    pub(super) id: String,
    /// What people call it; holds no secret.
    pub(super) label: String,
    /// What tells it from others of its kind wherever it lives, as opposed to its id. May hold a
    /// secret.
    pub(super) key: Option<String>,
    /// Its fields by their paths (`config.minute`), references as what they refer to is called.
    pub(super) fields: BTreeMap<String, Leaf>,
}

/// The value of one field.
#[derive(PartialEq)]
pub(super) struct Leaf {
    pub(super) value: Value,
    pub(super) is_secret: bool,
}

impl Entities {
    /// Reads a `config_table`: flat collections, foreign keys as plain ids.
    pub(super) fn read(config: &str, schemas: &Schemas) -> serde_json::Result<Self> {
        let tables: BTreeMap<String, Value> = serde_json::from_str(config)?;
        let tables: BTreeMap<String, Vec<Object>> = tables
            .into_iter()
            .filter(|(kind, _)| !kind.starts_with('_') && !NOT_ENTITIES.contains(&kind.as_str()))
            .filter_map(|(kind, rows)| match rows {
                Value::Array(rows) => Some((kind, rows.into_iter().filter_map(object).collect())),
                _ => None,
            })
            .collect();
        let naming = Naming::new(&tables, schemas);
        Ok(Self(
            tables
                .iter()
                .filter(|(_, rows)| !rows.is_empty())
                .map(|(kind, rows)| {
                    let entities = rows.iter().map(|row| naming.entity(kind, row)).collect();
                    (kind.clone(), entities)
                })
                .collect(),
        ))
    }

    /// Kinds with their entities; kinds without any are left out.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[Entity])> {
        self.0.iter().map(|(kind, all)| (kind.as_str(), &all[..]))
    }

    /// The entities of one kind.
    pub(super) fn of(&self, kind: &str) -> &[Entity] {
        self.0.get(kind).map_or(&[], Vec::as_slice)
    }
}

fn object(value: Value) -> Option<Object> {
    match value {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// Names entities, and looks up the names of those that they refer to.
struct Naming<'a> {
    schemas: &'a Schemas,
    rows: HashMap<(&'a str, &'a str), &'a Object>,
}

impl<'a> Naming<'a> {
    fn new(tables: &'a BTreeMap<String, Vec<Object>>, schemas: &'a Schemas) -> Self {
        let rows = tables
            .iter()
            .flat_map(|(kind, rows)| rows.iter().map(move |row| ((kind.as_str(), id(row)), row)))
            .collect();
        Self { schemas, rows }
    }

    fn entity(&self, kind: &str, row: &Object) -> Entity {
        let mut fields = BTreeMap::new();
        for (name, value) in row {
            if FILLED_IN.contains(&name.as_str()) {
                continue;
            }
            match self.reference(kind, name) {
                Some(target) => {
                    let value = self.referred(target, value);
                    let leaf = Leaf {
                        value,
                        is_secret: false,
                    };
                    fields.insert(name.clone(), leaf);
                }
                None => flatten(
                    name.clone(),
                    value,
                    self.field(kind, row, name),
                    &mut fields,
                ),
            }
        }
        Entity {
            id: id(row).to_owned(),
            label: self.label(kind, row),
            key: self.key(kind, row),
            fields,
        }
    }

    /// The kind that a field refers to.
    fn reference(&self, kind: &str, field: &str) -> Option<&'static str> {
        let schema = self.schemas.kind(kind)?;
        schema
            .foreign_keys()
            .find(|key| key.field == field)
            .map(|key| key.kind)
    }

    /// The schema of a field; that of `config` depends on the plugin.
    fn field(&self, kind: &str, row: &Object, name: &str) -> Option<Shape<'a>> {
        if kind == "plugins" && name == "config" {
            let plugin = row.get("name")?.as_str()?;
            return Some(Shape::Fields(&self.schemas.plugin(plugin)?.fields));
        }
        let schema = self.schemas.kind(kind)?;
        schema.field(name).map(Shape::Field)
    }

    /// What an id stands for, by name; the id itself when nothing has it.
    fn referred(&self, kind: &str, value: &Value) -> Value {
        let id = match value {
            Value::Object(reference) => reference.get("id").and_then(Value::as_str),
            value => value.as_str(),
        };
        match id.and_then(|id| self.rows.get(&(kind, id))) {
            Some(row) => self.label(kind, row).into(),
            None => id.map_or(Value::Null, Into::into),
        }
    }

    fn is_secret(&self, kind: &str, row: &Object, name: &str) -> bool {
        is_secret(name, self.field(kind, row, name))
    }

    /// What people call an entity: by its own name, else by what makes it unique, else by its id.
    fn label(&self, kind: &str, row: &Object) -> String {
        let text = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        let Some(schema) = self.schemas.kind(kind) else {
            return text("name").unwrap_or_else(|| id(row).to_owned());
        };
        if let Some(key) = schema.endpoint_key
            && !self.is_secret(kind, row, key)
            && let Some(name) = text(key)
        {
            return name;
        }
        let mut own = Vec::new();
        for key in schema.unique_keys() {
            for name in key.fields {
                if self.reference(kind, name).is_none()
                    && !self.is_secret(kind, row, name)
                    && let Some(value) = text(name)
                    && !own.contains(&value)
                {
                    own.push(value);
                }
            }
        }
        let mut label = match own.is_empty() {
            true => id(row).get(..8).unwrap_or(id(row)).to_owned(),
            false => own.join(" "),
        };
        for key in schema.foreign_keys() {
            let referred = row
                .get(key.field)
                .map(|value| self.referred(key.kind, value));
            if let Some(Value::String(name)) = referred {
                label.push_str(&format!(" ({} {name})", key.field));
            }
        }
        label
    }

    /// The values of the unique key that applies, with what they refer to by name.
    fn key(&self, kind: &str, row: &Object) -> Option<String> {
        let schema = self.schemas.kind(kind)?;
        schema
            .unique_keys()
            .iter()
            .map(|key| {
                let values: Vec<Value> = key
                    .fields
                    .iter()
                    .map(|name| {
                        let value = row.get(*name).unwrap_or(&Value::Null);
                        match self.reference(kind, name) {
                            Some(target) => self.referred(target, value),
                            None => value.clone(),
                        }
                    })
                    .collect();
                (key.name, values)
            })
            .find(|(_, values)| values.first().is_some_and(|first| !first.is_null()))
            .map(|(name, values)| format!("{name} {}", Value::Array(values)))
    }
}

fn id(row: &Object) -> &str {
    row.get("id").and_then(Value::as_str).unwrap_or_default()
}

/// What is known of the values at a place.
#[derive(Clone, Copy)]
enum Shape<'a> {
    Field(&'a Field),
    /// The fields of a record.
    Fields(&'a [Field]),
}

impl<'a> Shape<'a> {
    fn member(self, name: &str) -> Option<Self> {
        let fields = match self {
            Self::Fields(fields) => fields,
            Self::Field(field) => match &field.kind {
                Type::Record(record) => record.fields.as_slice(),
                Type::Map { values, .. } => return Some(Self::Field(values.as_ref())),
                _ => return None,
            },
        };
        let field = fields.iter().find(|field| field.name == name)?;
        Some(Self::Field(field))
    }
}

/// Whether a value should not be shown: its schema says that it is a secret or may refer to one, or
/// it is called like one.
fn is_secret(name: &str, shape: Option<Shape<'_>>) -> bool {
    fn marked(field: &Field) -> bool {
        field.encrypted
            || field.referenceable
            || match &field.kind {
                Type::Array(inner) | Type::Set(inner) => marked(inner),
                Type::Map { keys, values } => marked(keys) || marked(values),
                _ => false,
            }
    }
    const WORDS: [&str; 5] = ["secret", "password", "token", "credential", "private"];
    let named = name == "key" || name.ends_with("_key") || WORDS.iter().any(|w| name.contains(w));
    match shape {
        // A switch or a number that is called so says how a secret is treated.
        Some(Shape::Field(field)) => {
            let is_text = !matches!(field.kind, Type::Boolean | Type::Integer | Type::Number);
            marked(field) || (named && is_text)
        }
        _ => named,
    }
}

/// Takes records apart into their members.
fn flatten(
    path: String,
    value: &Value,
    shape: Option<Shape<'_>>,
    out: &mut BTreeMap<String, Leaf>,
) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                let shape = shape.and_then(|shape| shape.member(name));
                flatten(format!("{path}.{name}"), value, shape, out);
            }
        }
        value => {
            let name = path.rsplit('.').next().unwrap_or(&path);
            let refers = value
                .as_str()
                .is_some_and(|text| text.starts_with("{vault://"));
            let is_secret = !refers && !value.is_null() && is_secret(name, shape);
            let value = value.clone();
            out.insert(path, Leaf { value, is_secret });
        }
    }
}

#[cfg(test)]
mod tests {
    use keelgate_plugins::Registry;
    use serde_json::json;

    use super::*;

    #[test]
    fn entities_are_called_by_their_names_and_scopes() {
        let config = json!({
            "_format_version": "3.0",
            "parameters": [{"key": "cluster_id"}],
            "services": [{"id": "s1", "name": "billing"}],
            "consumers": [{"id": "c1", "username": "alice"}],
            "plugins": [{"id": "p1", "name": "rate-limiting", "service": "s1", "config": {"minute": 5}}],
            "keyauth_credentials": [{"id": "0123456789", "consumer": "c1", "key": "hunter2"}],
        });
        let schemas = Schemas::new(Registry::schemas());
        let entities = Entities::read(&config.to_string(), &schemas).unwrap();
        let labels: Vec<_> = entities
            .iter()
            .flat_map(|(kind, all)| all.iter().map(move |one| format!("{kind}: {}", one.label)))
            .collect();
        assert_eq!(
            labels,
            [
                "consumers: alice",
                "keyauth_credentials: 01234567 (consumer alice)",
                "plugins: rate-limiting (service billing)",
                "services: billing",
            ]
        );
        let plugin = &entities.of("plugins")[0];
        assert_eq!(plugin.fields["config.minute"].value, 5);
        assert_eq!(plugin.fields["service"].value, "billing");
    }

    #[test]
    fn secrets_are_marked_and_references_to_them_are_not() {
        let config = json!({
            "keyauth_credentials": [{"id": "k1", "key": "hunter2"}],
            "hmacauth_credentials": [{"id": "h1", "username": "alice", "secret": "s"}],
            "certificates": [{"id": "t1", "cert": "PEM", "key": "{vault://env/tls-key}"}],
        });
        let schemas = Schemas::new(Registry::schemas());
        let entities = Entities::read(&config.to_string(), &schemas).unwrap();
        let secret = |kind: &str, field: &str| entities.of(kind)[0].fields[field].is_secret;
        assert!(secret("keyauth_credentials", "key"));
        assert!(secret("hmacauth_credentials", "secret"));
        assert!(!secret("hmacauth_credentials", "username"));
        assert!(!secret("certificates", "key"));
    }
}
