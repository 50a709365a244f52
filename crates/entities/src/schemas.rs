//! Everything that a node knows about the shape of entities.

use std::collections::HashMap;
use std::time::SystemTime;

use serde_json::Value;

use crate::schema::complete::{self, Completer, Context};
use crate::schema::definition::{Variant, Variants};
use crate::schema::lookup::{get, is_set, is_uuid};
use crate::schema::validate::rules::mutually_required;
use crate::schema::validate::{Shape, Validator, entity_error};
use crate::schema::{PluginSchema, Schema};
use crate::{ApiError, Object, RouterFlavor, kinds};

/// The schemas of all kinds of entities and of all plugins of this node.
#[derive(Debug)]
pub struct Schemas {
    kinds: Vec<Schema>,
    records: Vec<Schema>,
    described: Vec<Schema>,
    plugins: HashMap<&'static str, Known>,
}

/// A plugin, and what it changes in the schema of `plugins`.
#[derive(Debug)]
struct Known {
    schema: PluginSchema,
    variant: Variant,
}

/// A reference that was given by a unique field instead of the id: `{"name": "example"}`.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceByKey<'s> {
    /// The field that refers.
    pub field: &'s str,
    /// The collection that it refers to.
    pub kind: &'static str,
    /// The unique field.
    pub key: &'s str,
    /// Its value.
    pub value: Value,
}

impl Schemas {
    /// The schemas of a node with these plugins and the default router flavor.
    pub fn new(plugins: Vec<PluginSchema>) -> Self {
        Self::of_flavor(plugins, RouterFlavor::default())
    }

    /// The schemas of a node with these plugins, whose routes are written for `flavor`.
    pub fn of_flavor(plugins: Vec<PluginSchema>, flavor: RouterFlavor) -> Self {
        Self {
            kinds: kinds::schemas(flavor),
            records: kinds::records(),
            described: kinds::described(),
            plugins: plugins
                .into_iter()
                .map(|schema| {
                    let variant = schema.variant();
                    (schema.name, Known { schema, variant })
                })
                .collect(),
        }
    }

    /// The schema of a collection, for example `services`.
    pub fn kind(&self, kind: &str) -> Option<&Schema> {
        let mut kept = self.kinds.iter().chain(&self.records);
        kept.find(|schema| schema.name == kind)
    }

    /// The schema of a collection, or of a kind that is described and not kept, for example
    /// `workspaces`.
    pub fn described(&self, kind: &str) -> Option<&Schema> {
        let described = || self.described.iter().find(|schema| schema.name == kind);
        self.kind(kind).or_else(described)
    }

    /// Kinds of short-lived records (`Schema::record`) that have no place in a declarative
    /// configuration. Those that have one are among [`Self::kinds`].
    pub fn records(&self) -> &[Schema] {
        &self.records
    }

    /// All kinds; those that are referred to come before those that refer.
    pub fn kinds(&self) -> &[Schema] {
        &self.kinds
    }

    /// The schema of a plugin.
    pub fn plugin(&self, name: &str) -> Option<&PluginSchema> {
        self.plugins.get(name).map(|known| &known.schema)
    }

    /// All plugins, in no particular order.
    pub fn plugins(&self) -> impl Iterator<Item = &PluginSchema> {
        self.plugins.values().map(|known| &known.schema)
    }

    /// A new entity: completed with defaults, id and time stamps, and validated.
    ///
    /// # Errors
    /// The schema violations of the input.
    pub fn insert(
        &self,
        kind: &str,
        mut input: Object,
        now: SystemTime,
    ) -> Result<Object, ApiError> {
        let schema = self.known(kind)?;
        prepare(schema, &mut input)?;
        self.write(schema, input, now)
    }

    /// A changed entity: the fields of `patch` over those of `current`, validated.
    ///
    /// # Errors
    /// The schema violations of the result.
    pub fn update(
        &self,
        kind: &str,
        current: &Object,
        mut patch: Object,
        now: SystemTime,
    ) -> Result<Object, ApiError> {
        let schema = self.known(kind)?;
        prepare(schema, &mut patch)?;
        let mut current = current.clone();
        let current_shape = self.shape(schema, &current);
        complete::hide_old_names(current_shape, &mut current);

        // The settings of a plugin or vault are understood by its name, which a patch may omit.
        let key = schema.variants.key().filter(|key| *key == "name");
        if let Some((key, name)) = key.and_then(|key| Some((key, current.get(key)?))) {
            patch.entry(key).or_insert_with(|| name.clone());
        }
        let given = Given::of(schema, &patch);
        let validator = self.validator().updating();
        let shape = self.shape(schema, &patch);
        Completer::new(validator, Context::Change, now)
            .level(shape, &mut patch)
            .map_err(ApiError::schema_violation)?;

        let mut merged = complete::merge(current_shape, patch, &current);
        let shape = self.shape(schema, &merged);
        Completer::new(validator, Context::Fill, now)
            .level(shape, &mut merged)
            .map_err(ApiError::schema_violation)?;
        let mut errors = validator.entity(schema, &merged, false);
        given.check(schema, &merged, Some(&current), &mut errors);
        if !errors.is_empty() {
            return Err(ApiError::schema_violation(errors));
        }
        given.transform(schema, &mut merged);
        if schema.ttl {
            merged.entry("ttl").or_insert(Value::Null);
        }
        self.show_old_names(schema, &mut merged);
        Ok(merged)
    }

    /// An entity put in the place of `current`, or a new one.
    ///
    /// # Errors
    /// The schema violations of the input.
    pub fn upsert(
        &self,
        kind: &str,
        current: Option<&Object>,
        mut input: Object,
        now: SystemTime,
    ) -> Result<Object, ApiError> {
        let schema = self.known(kind)?;
        prepare(schema, &mut input)?;
        if let Some(current) = current {
            for key in ["id", "created_at"] {
                if let Some(value) = current.get(key) {
                    input.entry(key).or_insert_with(|| value.clone());
                }
            }
        }
        self.write(schema, input, now)
    }

    /// Validates an entity without writing it (`POST /schemas/KIND/validate`).
    ///
    /// # Errors
    /// The schema violations of the input.
    pub fn validate(&self, kind: &str, input: Object, now: SystemTime) -> Result<(), ApiError> {
        self.write(self.known(kind)?, input, now).map(drop)
    }

    /// The references of an entity that are given by a unique field instead of the id. A store
    /// replaces each by `{"id": …}` before it writes the entity, or answers
    /// [`ApiError::foreign_key_unresolved`].
    pub fn references_by_key<'s>(&'s self, kind: &str, input: &Object) -> Vec<ReferenceByKey<'s>> {
        let Some(schema) = self.kind(kind) else {
            return Vec::new();
        };
        let candidates = schema.foreign_keys().filter_map(|foreign| {
            let given = input.get(foreign.field)?.as_object()?;
            let has_id = given.get("id").and_then(Value::as_str).is_some_and(is_uuid);
            if has_id {
                return None;
            }
            let other = self.kind(foreign.kind)?;
            let key = other.fields.iter().find(|field| {
                let value = given.get(field.name).filter(|value| !value.is_null());
                field.unique && value.is_some_and(|v| self.validator().value(field, v).is_ok())
            })?;
            Some(ReferenceByKey {
                field: foreign.field,
                kind: foreign.kind,
                key: key.name,
                value: given.get(key.name)?.clone(),
            })
        });
        candidates.collect()
    }

    /// Checks a value of one field apart from its entity, as a look-up by a unique field needs it.
    ///
    /// # Errors
    /// What is wrong with the value.
    pub fn check_field(&self, kind: &str, field: &str, value: &Value) -> Result<(), String> {
        let described = self.kind(kind).and_then(|schema| schema.field(field));
        described.map_or(Ok(()), |field| {
            let checked = self.validator().value(field, value);
            checked.map_err(|error| crate::lua::text(&error))
        })
    }

    pub(crate) fn validator(&self) -> Validator<'_> {
        Validator {
            schemas: self,
            updating: false,
            ignore_unknown_nulls: false,
            names_for_references: false,
        }
    }

    /// The variant of an entity that is described apart: its protocols' or its plugin's.
    pub(crate) fn variant<'s>(&'s self, schema: &'s Schema, input: &Object) -> Option<&'s Variant> {
        let chosen = input.get(schema.variants.key()?)?;
        match &schema.variants {
            Variants::None => None,
            Variants::Plugins => Some(&self.plugins.get(chosen.as_str()?)?.variant),
            Variants::Vaults(list) => {
                let name = chosen.as_str()?;
                list.iter().find(|variant| variant.words.contains(&name))
            }
            Variants::Words { list, .. } => chosen.as_array()?.iter().find_map(|word| {
                let word = word.as_str()?;
                list.iter().find(|variant| variant.words.contains(&word))
            }),
        }
    }

    fn known(&self, kind: &str) -> Result<&Schema, ApiError> {
        self.described(kind)
            .ok_or_else(|| ApiError::operation_unsupported(format!("no entity named '{kind}'")))
    }

    fn write(&self, schema: &Schema, input: Object, now: SystemTime) -> Result<Object, ApiError> {
        let given = Given::of(schema, &input);
        let mut entity = input;
        let validator = self.validator();
        self.complete(validator, schema, &mut entity, now)
            .map_err(ApiError::schema_violation)?;
        let mut errors = validator.entity(schema, &entity, true);
        given.check(schema, &entity, None, &mut errors);
        if !errors.is_empty() {
            return Err(ApiError::schema_violation(errors));
        }
        given.transform(schema, &mut entity);
        if schema.ttl {
            entity.entry("ttl").or_insert(Value::Null);
        }
        self.show_old_names(schema, &mut entity);
        Ok(entity)
    }

    /// Completes a whole entity. The errors are those of shorthands.
    pub(crate) fn complete<'s>(
        &'s self,
        validator: Validator<'s>,
        schema: &'s Schema,
        entity: &mut Object,
        now: SystemTime,
    ) -> Result<(), Object> {
        let shape = self.shape(schema, entity);
        Completer::new(validator, Context::Write, now).level(shape, entity)
    }

    /// Writes derived fields of an entity whose fields were all given.
    pub(crate) fn transform(&self, schema: &Schema, entity: &mut Object) {
        Given::of(schema, entity).transform(schema, entity);
    }

    /// Writes old names of settings next to the new ones. Only plugins have any.
    pub(crate) fn show_old_names(&self, schema: &Schema, entity: &mut Object) {
        if matches!(schema.variants, Variants::Plugins) {
            complete::show_old_names(self.shape(schema, entity), entity);
        }
    }

    /// The fields of an entity, as its variant has them.
    pub(crate) fn shape<'s>(&'s self, schema: &'s Schema, entity: &Object) -> Shape<'s> {
        Shape::entity(schema, self.variant(schema, entity))
    }

    /// The position of a schema among all.
    pub(crate) fn position(&self, schema: &Schema) -> Option<usize> {
        self.kinds.iter().position(|kind| kind.name == schema.name)
    }
}

fn prepare(schema: &Schema, input: &mut Object) -> Result<(), ApiError> {
    match schema.prepare {
        Some(prepare) => {
            prepare(input).map_err(|(field, message)| ApiError::field_violation(field, message))
        }
        None => Ok(()),
    }
}

/// What a client gave of the fields that a transformation uses.
struct Given {
    fields: Object,
}

impl Given {
    fn of(schema: &Schema, input: &Object) -> Self {
        let mut fields = Object::new();
        if let Some(transformation) = &schema.transformation {
            for path in transformation.input.iter().chain(transformation.needs) {
                let head = path.split('.').next().unwrap_or(path);
                if let Some(value) = input.get(head) {
                    fields.insert(head.to_owned(), value.clone());
                }
            }
        }
        Self { fields }
    }

    fn check(
        &self,
        schema: &Schema,
        entity: &Object,
        current: Option<&Object>,
        errors: &mut Object,
    ) {
        let Some(transformation) = &schema.transformation else {
            return;
        };
        let given = |path: &&str| is_set(get(&self.fields, path));
        let needs_changed = current.is_some_and(|current| {
            let mut needs = transformation.needs.iter();
            needs.any(|path| get(&self.fields, path) != get(current, path))
        });
        if !needs_changed && !transformation.input.iter().any(given) {
            return;
        }
        let all = [transformation.input, transformation.needs].concat();
        let whole = if needs_changed { &self.fields } else { entity };
        let result = mutually_required(whole, &all)
            .and_then(|()| mutually_required(&self.fields, transformation.input));
        if let Err(message) = result {
            entity_error(errors, message);
        }
    }

    fn transform(&self, schema: &Schema, entity: &mut Object) {
        if let Some(transformation) = &schema.transformation {
            let input = transformation.input.iter();
            let needs = transformation.needs.iter();
            let applies = input.clone().all(|path| is_set(get(&self.fields, path)))
                && needs.clone().all(|path| is_set(get(entity, path)));
            if applies {
                (transformation.write)(entity);
            }
        }
    }
}
