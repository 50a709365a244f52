//! Schemas as JSON Schema (2020-12), for the OpenAPI description of the Admin API.
//!
//! What JSON Schema cannot say (rules between fields, checks by code) is left out: such a
//! description accepts more than the gateway does, never less.

use serde_json::{Value, json};

use super::definition::{Schema, Variants};
use super::field::{Field, Record, Rules, Type};
use super::plugin::PluginSchema;
use crate::Object;

impl Schema {
    /// The entity as it is answered, and as a change may have it: any of its fields.
    pub fn to_json_schema(&self) -> Value {
        let mut properties = properties(&self.fields);
        if matches!(self.variants, Variants::Plugins | Variants::Vaults(_)) {
            let config = json!({ "type": "object", "description": "Its shape depends on `name`." });
            properties.insert("config".to_owned(), config);
        }
        if self.ttl {
            let ttl = json!({
                "type": ["integer", "null"], "minimum": 0,
                "description": "Seconds until the entity goes.",
            });
            properties.insert("ttl".to_owned(), ttl);
        }
        json!({ "type": "object", "properties": properties })
    }

    /// What a new entity must have beyond [`Schema::to_json_schema`], and the other ways in which
    /// its fields may be written.
    pub fn input_json_schema(&self) -> Value {
        let required = self.fields.iter().filter(|field| must_be_given(field));
        let required: Vec<_> = required.map(|field| field.name).collect();
        let shorthands = self.shorthands.iter().map(|shorthand| &shorthand.field);
        let shorthands: Object = shorthands.map(named).collect();
        json!({ "required": required, "properties": shorthands })
    }
}

impl PluginSchema {
    /// The settings.
    pub fn config_json_schema(&self) -> Value {
        json!({ "type": "object", "properties": properties(&self.fields) })
    }
}

/// Whether a client must name the field. References may follow from the path of the request.
fn must_be_given(field: &Field) -> bool {
    let made_up = field.auto || field.default.is_some();
    let derived = matches!(field.kind, Type::Record(_) | Type::Foreign { .. });
    field.required && !made_up && !derived
}

fn properties(fields: &[Field]) -> Object {
    fields.iter().map(named).collect()
}

fn named(field: &Field) -> (String, Value) {
    (field.name.to_owned(), described(field))
}

fn described(field: &Field) -> Value {
    let mut out = Object::new();
    let name = match &field.kind {
        Type::String => "string",
        Type::Integer => "integer",
        Type::Number => "number",
        Type::Boolean => "boolean",
        Type::Array(element) | Type::Set(element) => {
            out.insert("items".to_owned(), described(element));
            "array"
        }
        Type::Map { values, .. } => {
            out.insert("additionalProperties".to_owned(), described(values));
            "object"
        }
        Type::Record(record) => {
            record.describe(&mut out);
            "object"
        }
        Type::Foreign { reference, .. } => {
            let id = json!({ "type": "string", "format": "uuid" });
            out.insert("properties".to_owned(), json!({ "id": id }));
            out.insert("x-refers-to".to_owned(), (*reference).into());
            "object"
        }
        Type::Json | Type::Any => "",
    };
    if matches!(field.kind, Type::Set(_)) {
        out.insert("uniqueItems".to_owned(), true.into());
    }
    if !name.is_empty() {
        let nullable = !field.required && !field.auto;
        let kind = if nullable {
            json!([name, "null"])
        } else {
            json!(name)
        };
        out.insert("type".to_owned(), kind);
        field.rules.describe(&field.kind, nullable, &mut out);
    }
    if let Some(default) = &field.default {
        out.insert("default".to_owned(), default.clone());
    }
    if let Some(description) = field.description {
        out.insert("description".to_owned(), description.into());
    }
    Value::Object(out)
}

impl Record {
    fn describe(&self, out: &mut Object) {
        let mut all = properties(&self.fields);
        let shorthands = self.shorthands.iter().map(|shorthand| &shorthand.field);
        all.extend(shorthands.map(named));
        out.insert("properties".to_owned(), all.into());
    }
}

impl Rules {
    fn describe(&self, kind: &Type, nullable: bool, out: &mut Object) {
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                out.insert(name.to_owned(), value);
            }
        };
        let mut one_of = self.one_of.clone();
        if let (Some(values), true) = (&mut one_of, nullable) {
            values.push(Value::Null);
        }
        put("enum", one_of.map(Value::Array));
        put("const", self.eq.clone());
        put("format", self.uuid.then(|| "uuid".into()));
        if let Some((least, most)) = self.between {
            put("minimum", Some(number(least)));
            put("maximum", Some(number(most)));
        }
        put("exclusiveMinimum", self.gt.map(number));
        let (min, max) = match kind {
            Type::String => ("minLength", "maxLength"),
            Type::Array(_) | Type::Set(_) => ("minItems", "maxItems"),
            _ => ("minProperties", "maxProperties"),
        };
        // Text has one character at least unless its schema says otherwise.
        let shortest = matches!(kind, Type::String).then_some(1);
        put(
            min,
            self.len_eq.or(self.len_min).or(shortest).map(Into::into),
        );
        put(max, self.len_eq.or(self.len_max).map(Into::into));
    }
}

fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 {
        json!(value as i64)
    } else {
        json!(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::ITEM;

    #[test]
    fn what_a_client_must_give_is_required_of_new_entities_only() {
        let schemas = crate::Schemas::new(Vec::new());
        let services = schemas.kind("services").unwrap();
        let entity = services.to_json_schema();
        assert_eq!(entity.get("required"), None);
        assert_eq!(entity["properties"]["port"]["type"], json!("integer"));
        let input = services.input_json_schema();
        assert_eq!(input["required"], json!(["host"]));
        assert_eq!(
            input["properties"]["url"]["type"],
            json!(["string", "null"])
        );
    }

    #[test]
    fn limits_of_the_schema_are_limits_of_its_description() {
        let plugin = PluginSchema::new("example", 1, "3.9.1")
            .field(Field::integer("size").required().between(1.0, 5.0))
            .field(Field::set("by", Field::string(ITEM).one_of(["a", "b"])).len_min(1))
            .field(Field::string("mode").one_of(["x"]));
        let shown = plugin.config_json_schema();
        assert_eq!(
            shown["properties"],
            json!({
                "size": { "type": "integer", "minimum": 1, "maximum": 5 },
                "by": {
                    "type": ["array", "null"], "minItems": 1, "uniqueItems": true,
                    "items": { "type": "string", "enum": ["a", "b"], "minLength": 1 },
                },
                "mode": { "type": ["string", "null"], "enum": ["x", null], "minLength": 1 },
            })
        );
    }
}
