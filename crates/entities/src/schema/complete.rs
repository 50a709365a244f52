//! Completion of entities: shorthands, ids, time stamps, defaults.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Number, Value, json};

use super::field::{Field, Record, Shorthand, Type};
use super::lookup::{get, is_uuid, same};
use super::validate::{Shape, Validator};
use crate::{Object, secret};

/// What an entity is completed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    /// A whole entity is written.
    Write,
    /// Some fields of an entity are changed: absent ones stay absent.
    Change,
    /// An entity was put together from complete parts: only what is absent is filled in.
    Fill,
}

/// Completes entities.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Completer<'s> {
    validator: Validator<'s>,
    context: Context,
    now: Duration,
}

impl<'s> Completer<'s> {
    pub(crate) fn new(validator: Validator<'s>, context: Context, now: SystemTime) -> Self {
        Self {
            validator,
            context,
            now: now.duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }

    /// Completes one level and all below. Errors come from shorthands only; they are told at the
    /// level of the entity.
    pub(crate) fn level(self, shape: Shape<'s>, data: &mut Object) -> Result<(), Object> {
        self.expand(shape.shorthands(), data)?;
        for field in shape.fields() {
            if field.auto && self.context != Context::Fill {
                self.fill_in(field, data);
            }
            match data.get_mut(field.name) {
                Some(value) => self.value(field, value)?,
                None if self.context == Context::Change => {}
                None => {
                    if let Some(value) = self.missing(field)? {
                        data.insert(field.name.to_owned(), value);
                    }
                }
            }
        }
        if !shape.fields.iter().any(|field| field.name == "updated_at") {
            data.remove("updated_at");
        }
        Ok(())
    }

    /// The value of an absent field; none where a required one must be given.
    fn missing(self, field: &'s Field) -> Result<Option<Value>, Object> {
        if let (Type::Record(record), true) = (&field.kind, field.required) {
            let mut data = match &field.default {
                Some(Value::Object(default)) => default.clone(),
                _ => Object::new(),
            };
            self.level(Shape::record(record), &mut data)?;
            return Ok(Some(Value::Object(data)));
        }
        Ok(match &field.default {
            Some(default) => {
                let mut value = default.clone();
                // Its elements may leave out what has a default of its own.
                self.value(field, &mut value)?;
                Some(value)
            }
            None if !field.required => Some(Value::Null),
            None => None,
        })
    }

    /// Completes a value and brings it into its one form.
    fn value(self, field: &'s Field, value: &mut Value) -> Result<(), Object> {
        match (&field.kind, &mut *value) {
            (Type::Record(record), Value::Object(data)) => self.level(Shape::record(record), data),
            (Type::Record(_) | Type::Map { .. }, Value::Array(items)) if items.is_empty() => {
                *value = Value::Object(Object::new());
                self.value(field, value)
            }
            (Type::Array(_) | Type::Set(_), Value::Object(map)) if map.is_empty() => {
                *value = Value::Array(Vec::new());
                Ok(())
            }
            (Type::Set(element), Value::Array(items)) => {
                deduplicate(items);
                items
                    .iter_mut()
                    .try_for_each(|item| self.value(element, item))
            }
            (Type::Array(element), Value::Array(items)) => items
                .iter_mut()
                .try_for_each(|item| self.value(element, item)),
            (Type::Map { values, .. }, Value::Object(map)) => map
                .values_mut()
                .try_for_each(|item| self.value(values, item)),
            (Type::Integer | Type::Number, Value::Number(number)) => {
                whole(number);
                Ok(())
            }
            (Type::String, Value::String(text)) if field.rules.uuid && is_uuid(text) => {
                text.make_ascii_lowercase();
                Ok(())
            }
            (Type::Foreign { .. }, Value::Object(reference)) => {
                if let Some(Value::String(id)) = reference.get_mut("id")
                    && is_uuid(id)
                {
                    id.make_ascii_lowercase();
                    // Beside an id, nothing else counts.
                    reference.retain(|key, _| key == "id");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Ids, secrets and time stamps.
    fn fill_in(self, field: &Field, data: &mut Object) {
        let writes = self.context == Context::Write;
        let given = data.get(field.name);
        let value = match (&field.kind, field.name) {
            (Type::String, _) if writes && given.is_none() && field.rules.uuid => {
                uuid::Uuid::new_v4().to_string().into()
            }
            (Type::String, _) if writes && given.is_none() => secret::random().into(),
            (Type::Integer, "created_at") if writes && given.is_none_or(Value::is_null) => {
                self.now.as_secs().into()
            }
            (Type::Number, "created_at") if writes && given.is_none_or(Value::is_null) => {
                self.milliseconds()
            }
            (Type::Integer, "updated_at") => self.now.as_secs().into(),
            (Type::Number, "updated_at") => self.milliseconds(),
            _ => return,
        };
        data.insert(field.name.to_owned(), value);
    }

    /// Seconds with three decimals.
    fn milliseconds(self) -> Value {
        json!(self.now.as_millis() as f64 / 1000.0)
    }

    /// Replaces shorthands by the fields that they stand for.
    fn expand(self, shorthands: &'s [Shorthand], data: &mut Object) -> Result<(), Object> {
        let mut errors = Object::new();
        for shorthand in shorthands {
            let name = shorthand.field.name;
            let Some(value) = data.get(name) else {
                continue;
            };
            if let Err(error) = self.validator.value(&shorthand.field, value) {
                errors.insert(name.to_owned(), error);
                continue;
            }
            if let Some(message) = mismatch(shorthand, value, data) {
                errors.insert(name.to_owned(), message.into());
                continue;
            }
            let Some(value) = data.remove(name) else {
                continue;
            };
            let old_name = shorthand.replaced_with.is_some();
            for (key, value) in (shorthand.expand)(&value) {
                put(data, key, value, old_name);
            }
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }
}

/// Puts what a shorthand stands for. Values of an old name give way to those of the new one.
fn put(data: &mut Object, key: String, value: Value, gives_way: bool) {
    match (data.get_mut(&key), value) {
        (Some(Value::Object(present)), Value::Object(new)) => {
            for (inner, value) in new {
                let absent = present.get(&inner).is_none_or(Value::is_null);
                if absent || !gives_way {
                    present.insert(inner, value);
                }
            }
        }
        (Some(present), value) => {
            if present.is_null() || !gives_way {
                *present = value;
            }
        }
        (None, value) => {
            data.insert(key, value);
        }
    }
}

/// An old name and the new one that are given with different values.
fn mismatch(shorthand: &Shorthand, value: &Value, data: &Object) -> Option<String> {
    let path = shorthand.replaced_with?.join(".");
    let present = get(data, &path).filter(|present| !present.is_null())?;
    if value.is_null() || same(present, value) {
        return None;
    }
    Some(format!(
        "both deprecated and new field are used but their values mismatch: {} = {} vs {path} = {}",
        shorthand.field.name,
        crate::lua::text(value),
        crate::lua::text(present)
    ))
}

/// Writes old names next to the new ones, as answers and the hybrid protocol show them.
pub(crate) fn show_old_names(shape: Shape<'_>, data: &mut Object) {
    each_record(shape, data, &|shorthands, data| {
        for shorthand in shorthands {
            if let Some(path) = shorthand.replaced_with {
                let value = get(data, &path.join(".")).cloned().unwrap_or_default();
                data.insert(shorthand.field.name.to_owned(), value);
            }
        }
    });
}

/// Removes old names again.
pub(crate) fn hide_old_names(shape: Shape<'_>, data: &mut Object) {
    each_record(shape, data, &|shorthands, data| {
        for shorthand in shorthands.iter().filter(|s| s.replaced_with.is_some()) {
            data.remove(shorthand.field.name);
        }
    });
}

fn each_record(shape: Shape<'_>, data: &mut Object, act: &dyn Fn(&[Shorthand], &mut Object)) {
    for field in shape.fields() {
        if let Some(value) = data.get_mut(field.name) {
            each_record_of(field, value, act);
        }
    }
    if !shape.shorthands().is_empty() {
        act(shape.shorthands(), data);
    }
}

fn each_record_of(field: &Field, value: &mut Value, act: &dyn Fn(&[Shorthand], &mut Object)) {
    match (&field.kind, value) {
        (Type::Record(record), Value::Object(data)) => {
            each_record(Shape::record(record), data, act);
        }
        (Type::Array(element) | Type::Set(element), Value::Array(items))
            if matches!(element.kind, Type::Record(_)) =>
        {
            for item in items {
                each_record_of(element, item, act);
            }
        }
        _ => {}
    }
}

/// The fields of `patch` over those of `current`; records are merged, lists and maps replaced.
pub(crate) fn merge(shape: Shape<'_>, patch: Object, current: &Object) -> Object {
    let mut merged = current.clone();
    for (key, value) in patch {
        let record: Option<&Record> =
            shape
                .fields()
                .find(|field| field.name == key)
                .and_then(|field| match &field.kind {
                    Type::Record(record) => Some(&**record),
                    _ => None,
                });
        let value = match (record, value, current.get(&key)) {
            (Some(record), Value::Object(patch), Some(Value::Object(current))) => {
                Value::Object(merge(Shape::record(record), patch, current))
            }
            (_, value, _) => value,
        };
        merged.insert(key, value);
    }
    merged
}

fn deduplicate(items: &mut Vec<Value>) {
    if items.len() > 1 {
        let mut seen = std::collections::HashSet::new();
        items.retain(|item| match item {
            Value::Array(_) | Value::Object(_) => true,
            scalar => seen.insert(scalar.to_string()),
        });
    }
}

/// 5.0 becomes 5.
fn whole(number: &mut Number) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if let Some(float) = number.as_f64()
        && number.is_f64()
        && float.fract() == 0.0
        && float.abs() <= EXACT
    {
        *number = Number::from(float as i64);
    }
}
