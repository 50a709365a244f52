//! A whole configuration in flat form.

use std::collections::HashSet;

use indexmap::IndexMap;
use serde_json::Value;

use super::dump::flatten;
use crate::{Object, Schemas, kinds};

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
    /// what is left out; short-lived records do not travel, either. Workspaces and parameters are added by the caller.
    pub fn into_config_table(self) -> Object {
        self.into_config_table_of(&mut Wire::default())
    }

    /// As [`Self::into_config_table`], and `wire` knows what was left out, so that it can go on with
    /// entities that change.
    pub fn into_config_table_of(self, wire: &mut Wire) -> Object {
        let mut out = Object::new();
        out.insert("_format_version".to_owned(), "3.0".into());
        out.insert("_transform".to_owned(), false.into());
        for (kind, entities) in self {
            let rows = entities
                .into_iter()
                .filter_map(|entity| wire.row(kind, entity).map(Value::Object));
            let list: Vec<_> = rows.collect();
            if !list.is_empty() {
                out.insert(kind.to_owned(), Value::Array(list));
            }
        }
        out
    }
}

/// Brings entities into the form of the hybrid protocol, one by one, those that are referred to before
/// those that refer.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    left_out: HashSet<String>,
}

impl Wire {
    /// The form of an entity on the wire; none for what serves nobody.
    pub fn row(&mut self, kind: &str, mut entity: Object) -> Option<Object> {
        if kinds::are_records(kind) {
            return None;
        }
        let disabled = matches!(kind, "services" | "plugins")
            && entity.get("enabled") == Some(&Value::Bool(false));
        let orphaned = !self.left_out.is_empty()
            && entity.values().any(|value| {
                let id = value.get("id").and_then(Value::as_str);
                id.is_some_and(|id| self.left_out.contains(id))
            });
        if disabled || orphaned {
            let id = entity.get("id").and_then(Value::as_str);
            self.left_out.extend(id.map(str::to_owned));
            return None;
        }
        flatten(&mut entity);
        Some(entity)
    }

    /// Forgets an entity that changes or goes, and tells whether it was left out.
    pub fn forget(&mut self, id: &str) -> bool {
        self.left_out.remove(id)
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
