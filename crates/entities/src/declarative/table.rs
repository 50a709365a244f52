//! A whole configuration in flat form.

use std::collections::HashSet;

use indexmap::IndexMap;
use serde_json::Value;

use super::dump::flatten;
use crate::{Object, Schemas};

/// A whole configuration in flat form: the entities of every collection, those that are referred
/// to first. Foreign keys are `{"id": …}`.
#[derive(Clone, Default, PartialEq)]
pub struct Table(IndexMap<&'static str, Vec<Object>>);

impl Table {
    /// A table of entities by collection, as a store keeps them. Collections that `schemas` does
    /// not know are left out.
    pub fn new(
        schemas: &Schemas,
        entities: impl IntoIterator<Item = (String, Vec<Object>)>,
    ) -> Self {
        let mut given: IndexMap<String, Vec<Object>> = entities.into_iter().collect();
        let lists = schemas
            .kinds()
            .iter()
            .map(|schema| given.swap_remove(schema.name).unwrap_or_default());
        Self::from_lists(schemas, lists)
    }

    /// A table of one list per kind, in the order of the schemas.
    pub(super) fn from_lists(
        schemas: &Schemas,
        lists: impl IntoIterator<Item = Vec<Object>>,
    ) -> Self {
        let kinds = schemas.kinds().iter().map(|schema| schema.name);
        Self(
            kinds
                .zip(lists)
                .filter(|(_, list)| !list.is_empty())
                .collect(),
        )
    }

    /// The table with every entity changed.
    pub(super) fn map(mut self, change: impl Fn(&'static str, &mut Object)) -> Self {
        for (kind, list) in &mut self.0 {
            list.iter_mut().for_each(|entity| change(kind, entity));
        }
        self
    }

    /// The entities of a collection.
    pub fn get(&self, kind: &str) -> &[Object] {
        self.0.get(kind).map_or(&[], Vec::as_slice)
    }

    /// Collections with their entities; empty ones are left out.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[Object])> {
        self.0.iter().map(|(kind, list)| (*kind, list.as_slice()))
    }

    /// How many entities there are.
    pub fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Whether there is no entity.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The flat form of the hybrid protocol's `config_table`: `_format_version`, `_transform:
    /// false` and every collection, foreign keys as plain ids. As Kong does, this leaves out what
    /// serves nobody: disabled services with their routes, disabled plugins, and the plugins of
    /// what is left out. Workspaces and parameters are added by the caller.
    pub fn into_config_table(self) -> Object {
        let mut out = Object::new();
        out.insert("_format_version".to_owned(), "3.0".into());
        out.insert("_transform".to_owned(), false.into());
        let mut left_out: HashSet<String> = HashSet::new();
        for (kind, entities) in self {
            let mut list = Vec::with_capacity(entities.len());
            for mut entity in entities {
                let disabled = matches!(kind, "services" | "plugins")
                    && entity.get("enabled") == Some(&Value::Bool(false));
                let orphaned = !left_out.is_empty()
                    && entity.values().any(|value| {
                        let id = value.get("id").and_then(Value::as_str);
                        id.is_some_and(|id| left_out.contains(id))
                    });
                if disabled || orphaned {
                    let id = entity.get("id").and_then(Value::as_str);
                    left_out.extend(id.map(str::to_owned));
                } else {
                    flatten(&mut entity);
                    list.push(Value::Object(entity));
                }
            }
            if !list.is_empty() {
                out.insert(kind.to_owned(), Value::Array(list));
            }
        }
        out
    }
}

/// Shows how many entities there are of each kind, not the entities: they hold secrets.
impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = self.iter().map(|(kind, list)| (kind, list.len()));
        f.debug_map().entries(counts).finish()
    }
}

impl IntoIterator for Table {
    type Item = (&'static str, Vec<Object>);
    type IntoIter = indexmap::map::IntoIter<&'static str, Vec<Object>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
