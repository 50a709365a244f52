//! Validation of entities against their schemas.
//!
//! Errors are JSON: a message for a value, an object of errors for a record, a list with gaps for a
//! list. Rules between fields report under `@entity`.

pub(crate) mod rules;
mod values;

use serde_json::{Value, map::Entry};

use super::definition::{Schema, Variant, Variants};
use super::field::{Field, Record, Shorthand, Type};
use super::lookup;
use crate::{Object, Schemas};

/// How entities are validated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validator<'s> {
    pub(crate) schemas: &'s Schemas,
    /// A partial update is validated: some messages say so.
    pub(crate) updating: bool,
    /// Unknown fields are ignored when they are null, as data planes do with what a newer control
    /// plane sends.
    pub(crate) ignore_unknown_nulls: bool,
    /// References may be names or ids in plain text, which are resolved later.
    pub(crate) names_for_references: bool,
}

/// Fields and rules of one level: an entity with its variant, or a record.
#[derive(Clone, Copy)]
pub(crate) struct Shape<'s> {
    pub(crate) fields: &'s [Field],
    pub(crate) variant: Option<&'s Variant>,
    pub(crate) record: Option<&'s Record>,
    pub(crate) schema: Option<&'s Schema>,
}

impl<'s> Shape<'s> {
    pub(crate) fn entity(schema: &'s Schema, variant: Option<&'s Variant>) -> Self {
        Self {
            fields: &schema.fields,
            variant,
            record: None,
            schema: Some(schema),
        }
    }

    pub(crate) fn record(record: &'s Record) -> Self {
        Self {
            fields: &record.fields,
            variant: None,
            record: Some(record),
            schema: None,
        }
    }

    pub(crate) fn shorthands(self) -> &'s [Shorthand] {
        match (self.schema, self.record) {
            (Some(schema), _) => &schema.shorthands,
            (None, Some(record)) => &record.shorthands,
            (None, None) => &[],
        }
    }

    /// Whether it accepts a `ttl`.
    pub(crate) fn expires(self) -> bool {
        self.schema.is_some_and(|schema| schema.ttl)
    }

    /// Fields, as the variant has them.
    pub(crate) fn fields(self) -> impl Iterator<Item = &'s Field> {
        self.fields.iter().map(move |field| self.refined(field))
    }

    fn refined(self, field: &'s Field) -> &'s Field {
        self.variant
            .and_then(|variant| variant.fields.iter().find(|f| f.name == field.name))
            .unwrap_or(field)
    }

    fn field(self, name: &str) -> Option<&'s Field> {
        let field = self.fields.iter().find(|field| field.name == name)?;
        Some(self.refined(field))
    }

    /// The field at a dotted path.
    fn at(self, path: &str) -> Option<&'s Field> {
        let Some((head, rest)) = path.split_once('.') else {
            return self.field(path);
        };
        match &self.field(head)?.kind {
            Type::Record(record) => Field::at(&record.fields, rest),
            _ => None,
        }
    }
}

impl<'s> Validator<'s> {
    /// For partial updates.
    pub(crate) fn updating(self) -> Self {
        Self {
            updating: true,
            ..self
        }
    }

    /// Validates an entity. `full` demands required fields also where they are absent. The errors
    /// are empty when it is valid.
    pub(crate) fn entity(self, schema: &'s Schema, input: &Object, full: bool) -> Object {
        let mut errors = Object::new();
        let variant = match self.variant(schema, input) {
            Ok(variant) => variant,
            Err((key, message)) => {
                errors.insert(key.to_owned(), message.into());
                return errors;
            }
        };
        self.level(Shape::entity(schema, variant), input, full, &mut errors);
        errors
    }

    /// The variant of an entity, or the error of the field that chooses it.
    fn variant(
        self,
        schema: &'s Schema,
        input: &Object,
    ) -> Result<Option<&'s Variant>, (&'static str, String)> {
        let Some(key) = schema.variants.key() else {
            return Ok(None);
        };
        let chosen = match input.get(key) {
            None | Some(Value::Null) => return Err((key, "required field missing".to_owned())),
            Some(chosen) => chosen,
        };
        if let Some(variant) = self.schemas.variant(schema, input) {
            return Ok(Some(variant));
        }
        let word = match chosen {
            Value::Array(list) => list.first().map_or("nil".to_owned(), crate::lua::text),
            other => crate::lua::text(other),
        };
        Err((
            key,
            match schema.variants {
                Variants::Plugins => format!(
                    "plugin '{word}' not enabled; add it to the 'plugins' configuration property"
                ),
                Variants::Vaults(_) => format!("vault '{word}' is not installed"),
                _ => format!("unknown type: {word}"),
            },
        ))
    }

    fn level(self, shape: Shape<'s>, input: &Object, full: bool, errors: &mut Object) {
        let mut known = 0;
        for field in shape.fields() {
            match input.get(field.name) {
                None if full && field.required => {
                    errors.insert(field.name.to_owned(), "required field missing".into());
                }
                None => {}
                Some(value) => {
                    known += 1;
                    if field.name == "updated_at" {
                        continue;
                    }
                    if let Err(error) = self.value(field, value) {
                        errors.insert(field.name.to_owned(), error);
                    }
                }
            }
        }
        if known < input.len() {
            self.unknown(shape, input, errors);
        }
        let checks = match (shape.schema, shape.record) {
            (Some(schema), _) => schema.checks.as_slice(),
            (None, Some(record)) => record.checks.as_slice(),
            (None, None) => &[],
        };
        let more = shape.variant.map_or(&[][..], |variant| &variant.checks);
        for check in checks.iter().chain(more) {
            self.check(shape, check, input, full, errors);
        }
    }

    fn unknown(self, shape: Shape<'s>, input: &Object, errors: &mut Object) {
        let ttl = shape.expires();
        for (name, value) in input {
            let ignored = name == "updated_at"
                || (ttl && name == "ttl")
                || (self.ignore_unknown_nulls && value.is_null())
                || shape.fields.iter().any(|field| field.name == name);
            if !ignored {
                errors.insert(name.clone(), "unknown field".into());
            }
        }
    }

    /// Validates the value of a field.
    pub(crate) fn value(self, field: &'s Field, value: &Value) -> Result<(), Value> {
        if value.is_null() {
            return values::null(field).map_err(Value::String);
        }
        if field.rules.eq == Some(Value::Null) {
            return Err(field.err.unwrap_or("value must be null").into());
        }
        self.shape(field, value)?;
        if matches!(field.kind, Type::String) && field.referenceable && is_reference(value) {
            return Ok(());
        }
        values::rules(field, value).map_err(|message| match field.err {
            Some(err) => err.into(),
            None => message.into(),
        })
    }

    /// Whether a value is of the field's type, and its parts fit theirs.
    fn shape(self, field: &'s Field, value: &Value) -> Result<(), Value> {
        let expected = |what: &str| Err(Value::String(format!("expected {what}")));
        match &field.kind {
            Type::String if !value.is_string() => expected("a string"),
            Type::Boolean if !value.is_boolean() => expected("a boolean"),
            Type::Number if !value.is_number() => expected("a number"),
            Type::Integer if !values::is_integer(value) => expected("an integer"),
            Type::Array(element) => match list(value) {
                Some(items) => self.elements(element, items),
                None => expected("an array"),
            },
            Type::Set(element) => match list(value) {
                Some(items) => self.elements(element, items),
                None => expected("a set"),
            },
            Type::Map { keys, values } => match value {
                Value::Object(map) => map.iter().try_for_each(|(key, value)| {
                    values::key(keys, key).map_err(Value::String)?;
                    self.value(values, value)
                }),
                Value::Array(items) if items.is_empty() => Ok(()),
                Value::Array(_) => expected("a string"),
                _ => expected("a map"),
            },
            Type::Record(record) => match value {
                Value::Object(map) => {
                    let mut errors = Object::new();
                    self.level(Shape::record(record), map, true, &mut errors);
                    if errors.is_empty() {
                        Ok(())
                    } else {
                        Err(Value::Object(errors))
                    }
                }
                Value::Array(items) if !items.is_empty() => Err(Value::Array(
                    items.iter().map(|_| "unknown field".into()).collect(),
                )),
                Value::Array(_) => self.shape(field, &Value::Object(Object::new())),
                _ => expected("a record"),
            },
            Type::Foreign { .. } if self.names_for_references && value.is_string() => Ok(()),
            Type::Foreign { reference, .. } => self.foreign(reference, value),
            _ => Ok(()),
        }
    }

    fn elements(self, element: &'s Field, items: &[Value]) -> Result<(), Value> {
        let mut errors: Vec<Value> = Vec::new();
        for (index, item) in items.iter().enumerate() {
            if let Err(error) = self.value(element, item) {
                errors.resize(index, Value::Null);
                errors.push(error);
            }
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Value::Array(errors))
        }
    }

    /// A reference is an object with the id of the other entity.
    fn foreign(self, reference: &str, value: &Value) -> Result<(), Value> {
        let id = match value.get("id") {
            None | Some(Value::Bool(false)) => Err("missing primary key"),
            Some(Value::Null) => Err("required field missing"),
            Some(Value::String(id)) if lookup::is_uuid(id) => Ok(()),
            Some(Value::String(id)) if id.is_empty() => Err("length must be at least 1"),
            Some(Value::String(_)) => Err("expected a valid UUID"),
            Some(_) => Err("expected a string"),
        };
        let Err(message) = id else {
            return Ok(());
        };
        // An object that is no reference is told what an entity would be told.
        if let (Value::Object(entity), Some(schema)) = (value, self.schemas.kind(reference)) {
            let errors = self.entity(schema, entity, false);
            if !errors.is_empty() {
                return Err(Value::Object(errors));
            }
        }
        Err(serde_json::json!({ "id": message }))
    }
}

/// Adds a message about the entity as a whole.
pub(crate) fn entity_error(errors: &mut Object, message: String) {
    match errors.entry("@entity") {
        Entry::Vacant(entry) => {
            entry.insert(Value::Array(vec![message.into()]));
        }
        Entry::Occupied(mut entry) => {
            if let Value::Array(list) = entry.get_mut() {
                list.push(message.into());
            }
        }
    }
}

/// Whether a value refers to a secret: `{vault://…}`.
pub(crate) fn is_reference(value: &Value) -> bool {
    value.as_str().is_some_and(super::secrets::is_reference)
}

/// A list; an empty object counts as an empty one, since some clients cannot tell them apart.
fn list(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) => Some(items),
        Value::Object(map) if map.is_empty() => Some(&[]),
        _ => None,
    }
}
