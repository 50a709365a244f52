//! Schemas as the Admin API shows them (`GET /schemas/…`).

use serde_json::{Value, json};

use super::check::{Check, Rule};
use super::definition::{Schema, Variant, Variants};
use super::field::{Field, OnDelete, Pattern, Record, Rules, Type};
use crate::Object;

impl Schema {
    /// The schema as `GET /schemas/KIND` answers: `fields` and `entity_checks`.
    pub fn to_json(&self) -> Value {
        let mut out = level(&self.fields, &self.checks, Depth::Entity);
        let chosen_by_name = matches!(self.variants, Variants::Plugins | Variants::Vaults(_));
        if chosen_by_name && let Some(Value::Array(fields)) = out.get_mut("fields") {
            for field in fields {
                if let Some(Value::Object(config)) = field.get_mut("config") {
                    config.remove("fields");
                    config.remove("required");
                    config.insert("abstract".to_owned(), true.into());
                }
                // Every plugin describes its protocols anew.
                if let Some(protocols) = field.get_mut("protocols") {
                    let described = self.field("protocols");
                    *protocols = json!(described.map(|field| field.shown(Depth::Record)));
                }
            }
        }
        Value::Object(out)
    }

    /// The part of the schema that a vault describes, as `GET /schemas/vaults/NAME` answers.
    pub fn vault_to_json(&self, name: &str) -> Option<Value> {
        let Variants::Vaults(list) = &self.variants else {
            return None;
        };
        let vault = list.iter().find(|vault| vault.words.contains(&name))?;
        Some(vault.to_json())
    }
}

impl super::PluginSchema {
    /// What the plugin describes of a plugin entity, as `GET /schemas/plugins/NAME` answers:
    /// `fields` with `config` and the scopes that it limits, and `entity_checks`.
    pub fn to_json(&self) -> Value {
        self.variant().to_json()
    }

    /// The settings alone, as `GET /plugins/schema/NAME` answers.
    pub fn config_to_json(&self) -> Value {
        Value::Object(level(&self.fields, self.config_checks(), Depth::Record))
    }
}

impl Variant {
    fn to_json(&self) -> Value {
        Value::Object(level(&self.fields, &self.checks, Depth::Entity))
    }
}

/// Where a field stands. What holds for every text and every element without being said, clients
/// of Kong know to be told outside of records, and not to be told inside of them.
#[derive(Clone, Copy, PartialEq)]
enum Depth {
    Entity,
    Record,
}

impl Field {
    /// The description of an element of a list, or of the key or value of a map.
    fn shown_inside(&self, depth: Depth) -> Value {
        let mut shown = self.shown(depth);
        if depth == Depth::Entity {
            shown["required"] = self.required.into();
        }
        shown
    }

    /// The description of the field, without its name.
    fn shown(&self, depth: Depth) -> Value {
        let mut out = Object::new();
        self.write_type(&mut out, depth);
        if let Some(required) = self.stated {
            out.insert("required".to_owned(), required.into());
        }
        for (name, set) in [
            ("auto", self.auto),
            ("unique", self.unique),
            ("referenceable", self.referenceable),
            ("encrypted", self.encrypted),
            ("transient", self.transient),
        ] {
            if set {
                out.insert(name.to_owned(), true.into());
            }
        }
        if let Some(default) = &self.default {
            out.insert("default".to_owned(), default.clone());
        }
        for (name, text) in [("description", self.description), ("err", self.err)] {
            if let Some(text) = text {
                out.insert(name.to_owned(), text.into());
            }
        }
        self.rules.write(&mut out);
        Value::Object(out)
    }

    fn write_type(&self, out: &mut Object, depth: Depth) {
        let name = match &self.kind {
            Type::String => {
                if depth == Depth::Entity {
                    out.insert("len_min".to_owned(), 1.into());
                }
                "string"
            }
            Type::Integer => "integer",
            Type::Number => "number",
            Type::Boolean => "boolean",
            Type::Json => "json",
            Type::Any => "any",
            Type::Array(element) => {
                out.insert("elements".to_owned(), element.shown_inside(depth));
                "array"
            }
            Type::Set(element) => {
                out.insert("elements".to_owned(), element.shown_inside(depth));
                "set"
            }
            Type::Map { keys, values } => {
                out.insert("keys".to_owned(), keys.shown_inside(depth));
                out.insert("values".to_owned(), values.shown_inside(depth));
                "map"
            }
            Type::Record(record) => {
                record.write(out);
                "record"
            }
            Type::Foreign {
                reference,
                on_delete,
            } => {
                out.insert("reference".to_owned(), (*reference).into());
                if *on_delete == OnDelete::Cascade {
                    out.insert("on_delete".to_owned(), "cascade".into());
                }
                "foreign"
            }
        };
        out.insert("type".to_owned(), name.into());
    }
}

impl Record {
    fn write(&self, out: &mut Object) {
        out.insert("fields".to_owned(), fields(&self.fields, Depth::Record));
        if !self.checks.is_empty() {
            out.insert("entity_checks".to_owned(), checks(&self.checks));
        }
        if !self.shorthands.is_empty() {
            let list = self.shorthands.iter();
            let list = list
                .map(|shorthand| named(&shorthand.field, Depth::Record))
                .collect();
            out.insert("shorthand_fields".to_owned(), Value::Array(list));
        }
    }
}

impl Rules {
    fn write(&self, out: &mut Object) {
        let whole = |number: f64| {
            let fits = number.fract() == 0.0 && number.abs() < 9e15;
            if fits {
                json!(number as i64)
            } else {
                json!(number)
            }
        };
        let pattern = |p: &Pattern| json!({ "pattern": p.regex.as_str(), "err": p.message });
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                out.insert(name.to_owned(), value);
            }
        };
        put("eq", self.eq.clone());
        put("ne", self.ne.clone());
        put("one_of", self.one_of.clone().map(Value::Array));
        put("not_one_of", self.not_one_of.clone().map(Value::Array));
        put("gt", self.gt.map(whole));
        put("timestamp", self.timestamp.then_some(true.into()));
        put("uuid", self.uuid.then_some(true.into()));
        put("is_regex", self.is_regex.then_some(true.into()));
        put(
            "between",
            self.between.map(|(a, b)| json!([whole(a), whole(b)])),
        );
        put("len_eq", self.len_eq.map(Into::into));
        put("len_min", self.len_min.map(Into::into));
        put("len_max", self.len_max.map(Into::into));
        put("starts_with", self.starts_with.map(Into::into));
        put("match", self.matches.as_ref().map(|m| m.as_str().into()));
        put(
            "not_match",
            self.not_match.as_ref().map(|m| m.as_str().into()),
        );
        let list = |patterns: &[Pattern]| {
            (!patterns.is_empty()).then(|| patterns.iter().map(pattern).collect::<Value>())
        };
        put("match_none", list(&self.match_none));
        put("match_all", list(&self.match_all));
        put(
            "match_any",
            self.match_any.as_ref().map(|(patterns, err)| {
                let patterns: Vec<&str> = patterns.iter().map(regex::Regex::as_str).collect();
                match err.is_empty() {
                    true => json!({ "patterns": patterns }),
                    false => json!({ "patterns": patterns, "err": err }),
                }
            }),
        );
        put("contains", self.contains.clone());
        let subsets = &self.mutually_exclusive_subsets;
        put(
            "mutually_exclusive_subsets",
            (!subsets.is_empty()).then(|| json!(subsets)),
        );
    }
}

fn level(list: &[Field], rules: &[Check], depth: Depth) -> Object {
    let mut out = Object::new();
    out.insert("fields".to_owned(), fields(list, depth));
    out.insert("entity_checks".to_owned(), checks(rules));
    out
}

fn fields(list: &[Field], depth: Depth) -> Value {
    Value::Array(list.iter().map(|field| named(field, depth)).collect())
}

fn named(field: &Field, depth: Depth) -> Value {
    json!({ field.name: field.shown(depth) })
}

/// What a condition demands of a field.
fn condition(demanded: &Field) -> Value {
    let mut out = Object::new();
    if let Some(required) = demanded.stated {
        out.insert("required".to_owned(), required.into());
    }
    demanded.rules.write(&mut out);
    if let Type::Array(element) | Type::Set(element) = &demanded.kind {
        let mut rules = Object::new();
        element.rules.write(&mut rules);
        if !rules.is_empty() {
            out.insert("elements".to_owned(), element.shown_inside(Depth::Entity));
        }
    }
    Value::Object(out)
}

/// The rules between fields.
fn checks(list: &[Check]) -> Value {
    let shown = list.iter().map(|check| match &check.rule {
        Rule::AtLeastOneOf(fields) => json!({ "at_least_one_of": fields }),
        Rule::OnlyOneOf(fields) => json!({ "only_one_of": fields }),
        Rule::Distinct(fields) => json!({ "distinct": fields }),
        Rule::MutuallyRequired(fields) => json!({ "mutually_required": fields }),
        Rule::MutuallyExclusive(fields) => json!({ "mutually_exclusive": fields }),
        Rule::MutuallyExclusiveSets(one, other) => {
            json!({ "mutually_exclusive_sets": { "set1": one, "set2": other } })
        }
        Rule::Conditional(rule) => {
            let mut shown = json!({
                "if_field": rule.if_field,
                "if_match": condition(&rule.if_demand),
                "then_field": rule.then_field,
                "then_match": condition(&rule.then_demand),
            });
            if let Some(err) = check.err {
                shown["then_err"] = err.into();
            }
            json!({ "conditional": shown })
        }
        Rule::ConditionalAtLeastOneOf(rule) => json!({ "conditional_at_least_one_of": {
            "if_field": rule.if_field,
            "then_at_least_one_of": rule.branches.first().map(|branch| branch.then_fields),
            "then_err": rule.branches.first().map(|branch| branch.err),
        } }),
        Rule::Custom { fields, .. } => {
            json!({ "custom_entity_check": { "field_sources": fields } })
        }
    });
    Value::Array(shown.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{CheckRule, ITEM, PluginSchema};

    #[test]
    fn a_plugin_shows_its_settings_and_the_scopes_that_it_limits() {
        let plugin = PluginSchema::new("example", 1, "3.9.1")
            .field(Field::array("names", Field::string(ITEM)).default(vec!["a"]))
            .field(Field::integer("size").between(1.0, 5.0))
            .check(CheckRule::at_least_one_of(&["config.names", "config.size"]))
            .no_consumer();
        let shown = plugin.to_json();
        assert_eq!(shown["fields"][0]["consumer"]["type"], "foreign");
        let config = &shown["fields"][1]["config"];
        assert_eq!(config["required"], true);
        assert_eq!(config["fields"][0]["names"]["default"], json!(["a"]));
        assert_eq!(config["fields"][1]["size"]["between"], json!([1, 5]));
        assert_eq!(
            shown["entity_checks"],
            json!([{ "at_least_one_of": ["config.names", "config.size"] }])
        );
    }

    #[test]
    fn what_holds_without_being_said_shows_outside_of_records_only() {
        let element = |shown: &Value, list: &str, field: &str| {
            let list = shown[list].as_array().unwrap();
            let field = list.iter().find_map(|named| named.get(field));
            field.unwrap()["elements"].clone()
        };
        let schemas = crate::Schemas::new(Vec::new());
        let shown = schemas.kind("services").unwrap().to_json();
        let tag = element(&shown, "fields", "tags");
        assert_eq!(
            (&tag["len_min"], &tag["required"]),
            (&json!(1), &json!(true))
        );

        let plugin = PluginSchema::new("example", 1, "3.9.1")
            .field(Field::array("names", Field::string(ITEM)))
            .field(Field::string("empty").len_min(0).optional());
        let shown = plugin.config_to_json();
        assert_eq!(
            element(&shown, "fields", "names"),
            json!({"type": "string"})
        );
        let empty = &shown["fields"][1]["empty"];
        assert_eq!(
            (&empty["len_min"], &empty["required"]),
            (&json!(0), &json!(false))
        );
        assert_eq!(shown["entity_checks"], json!([]));
    }

    #[test]
    fn a_condition_shows_what_it_demands() {
        let plugin = PluginSchema::new("example", 1, "3.9.1")
            .field(Field::string("by").required().default("ip"))
            .field(Field::set("names", Field::string(ITEM)))
            .config_check(CheckRule::conditional(
                "by",
                |f| f.one_of(["name"]),
                "names",
                |f| f.required().elements(|e| e.not_one_of(["x"])),
            ));
        assert_eq!(
            plugin.config_to_json()["entity_checks"],
            json!([{ "conditional": {
                "if_field": "by",
                "if_match": { "one_of": ["name"] },
                "then_field": "names",
                "then_match": { "required": true, "elements": {
                    "type": "string", "required": true, "len_min": 1, "not_one_of": ["x"],
                } },
            } }])
        );
    }

    #[test]
    fn the_settings_of_plugins_are_abstract_until_one_is_named() {
        let schemas = crate::Schemas::new(Vec::new());
        let shown = schemas.kind("plugins").unwrap().to_json();
        let config = shown["fields"]
            .as_array()
            .unwrap()
            .iter()
            .find_map(|field| field.get("config"))
            .unwrap();
        assert_eq!(config["abstract"], true);
        assert!(config.get("fields").is_none());
    }
}
