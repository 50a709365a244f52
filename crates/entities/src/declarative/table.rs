//! A whole configuration in flat form.

use indexmap::IndexMap;

use crate::{Object, Schemas};

/// A whole configuration in flat form: the entities of every collection, those that are referred
/// to first. Foreign keys are `{"id": …}`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table(IndexMap<&'static str, Vec<Object>>);

impl Table {
    /// A table of entities by collection, as a store keeps them. Collections that `schemas` does
    /// not know are left out.
    pub fn new(
        schemas: &Schemas,
        entities: impl IntoIterator<Item = (String, Vec<Object>)>,
    ) -> Self {
        let mut given: IndexMap<String, Vec<Object>> = entities.into_iter().collect();
        Self(
            schemas
                .kinds()
                .iter()
                .filter_map(|schema| {
                    let list = given.swap_remove(schema.name)?;
                    (!list.is_empty()).then_some((schema.name, list))
                })
                .collect(),
        )
    }

    /// The entities of a collection.
    pub fn get(&self, kind: &str) -> &[Object] {
        self.0.get(kind).map_or(&[], Vec::as_slice)
    }

    /// Collections with their entities; empty ones are left out.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[Object])> {
        self.0.iter().map(|(kind, list)| (*kind, list.as_slice()))
    }

    /// The flat form of the hybrid protocol's `config_table`: `_format_version`, `_transform:
    /// false` and every collection, foreign keys as plain ids.
    pub fn to_config_table(&self) -> Object {
        let mut out = Object::new();
        out.insert("_format_version".into(), "3.0".into());
        out.insert("_transform".into(), false.into());
        out
    }
}

impl IntoIterator for Table {
    type Item = (&'static str, Vec<Object>);
    type IntoIter = indexmap::map::IntoIter<&'static str, Vec<Object>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
