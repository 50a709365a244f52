//! What differs between two configurations, entity by entity.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use keelgate_entities::Schemas;
use serde::Serialize;
use serde_json::Value;

use super::entities::{Entities, Entity, Leaf};

/// What stands in place of a secret.
const HIDDEN: &str = "(hidden)";

/// What differs, by kind; kinds without differences are left out.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Difference(pub(super) BTreeMap<String, Kind>);

/// What differs in one kind.
#[derive(Debug, Default, Serialize)]
pub(super) struct Kind {
    pub(super) added: Vec<Named>,
    pub(super) removed: Vec<Named>,
    pub(super) changed: Vec<Changed>,
}

/// An entity, by name.
#[derive(Debug, Serialize)]
pub(super) struct Named {
    pub(super) id: String,
    pub(super) name: String,
}

/// An entity that is in both.
#[derive(Debug, Serialize)]
pub(super) struct Changed {
    #[serde(flatten)]
    pub(super) entity: Named,
    pub(super) fields: Vec<FieldChange>,
}

/// A field that differs.
#[derive(Debug, Serialize)]
pub(super) struct FieldChange {
    /// Where it is: `config.minute`.
    pub(super) path: String,
    /// Null when it was not there.
    pub(super) before: Value,
    /// Null when it is not there any more.
    pub(super) after: Value,
}

impl Difference {
    /// What leads from `a` to `b`. Entities are the same when their ids are, or else their names:
    /// a file without ids and a database give them different ones.
    pub(super) fn between(a: &Entities, b: &Entities, secrets: Secrets) -> Self {
        let kinds: BTreeSet<&str> = a.iter().chain(b.iter()).map(|(kind, _)| kind).collect();
        Self(
            kinds
                .into_iter()
                .map(|kind| {
                    (
                        kind.to_owned(),
                        Kind::between(a.of(kind), b.of(kind), secrets),
                    )
                })
                .filter(|(_, kind)| kind.count() > 0)
                .collect(),
        )
    }

    /// The same of two `config_table`s, secrets hidden.
    pub(crate) fn between_configurations(
        a: &str,
        b: &str,
        schemas: &Schemas,
    ) -> serde_json::Result<Self> {
        let (a, b) = (Entities::read(a, schemas)?, Entities::read(b, schemas)?);
        Ok(Self::between(&a, &b, Secrets::Hidden))
    }

    /// Whether nothing differs.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many entities were added, removed and changed.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        self.0.values().fold((0, 0, 0), |(a, r, c), kind| {
            let (added, removed, changed) = (&kind.added, &kind.removed, &kind.changed);
            (a + added.len(), r + removed.len(), c + changed.len())
        })
    }
}

/// Whether secrets are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrets {
    Hidden,
    Shown,
}

impl Kind {
    fn count(&self) -> usize {
        self.added.len() + self.removed.len() + self.changed.len()
    }

    fn between(a: &[Entity], b: &[Entity], secrets: Secrets) -> Self {
        let by_id: HashMap<&str, usize> = index(b, |entity| Some(entity.id.as_str()));
        let by_key: HashMap<&str, usize> = index(b, |entity| entity.key.as_deref());
        let mut partners: Vec<Option<usize>> = a
            .iter()
            .map(|entity| by_id.get(entity.id.as_str()).copied())
            .collect();
        let mut taken: BTreeSet<usize> = partners.iter().flatten().copied().collect();
        for (entity, partner) in a.iter().zip(&mut partners) {
            if partner.is_none()
                && let Some(found) = entity.key.as_deref().and_then(|key| by_key.get(key))
                && taken.insert(*found)
            {
                *partner = Some(*found);
            }
        }
        let mut kind = Self::default();
        for (entity, partner) in a.iter().zip(&partners) {
            match partner {
                None => kind.removed.push(named(entity)),
                Some(partner) => {
                    let fields = changes(entity, &b[*partner], secrets);
                    if !fields.is_empty() {
                        kind.changed.push(Changed {
                            entity: named(&b[*partner]),
                            fields,
                        });
                    }
                }
            }
        }
        let added = b.iter().enumerate().filter(|(i, _)| !taken.contains(i));
        kind.added.extend(added.map(|(_, entity)| named(entity)));
        kind.added.sort_by(|a, b| a.name.cmp(&b.name));
        kind.removed.sort_by(|a, b| a.name.cmp(&b.name));
        kind.changed
            .sort_by(|a, b| a.entity.name.cmp(&b.entity.name));
        kind
    }
}

fn index<'a>(
    entities: &'a [Entity],
    key: impl Fn(&'a Entity) -> Option<&'a str>,
) -> HashMap<&'a str, usize> {
    entities
        .iter()
        .enumerate()
        .filter_map(|(at, entity)| Some((key(entity)?, at)))
        .collect()
}

fn named(entity: &Entity) -> Named {
    Named {
        id: entity.id.clone(),
        name: entity.label.clone(),
    }
}

fn changes(a: &Entity, b: &Entity, secrets: Secrets) -> Vec<FieldChange> {
    let paths: BTreeSet<&String> = a.fields.keys().chain(b.fields.keys()).collect();
    let value = |entity: &Entity, path: &str| {
        entity
            .fields
            .get(path)
            .map_or(Value::Null, |leaf| leaf.value.clone())
    };
    let shown = |entity: &Entity, path: &str| match entity.fields.get(path) {
        Some(Leaf {
            is_secret: true, ..
        }) if secrets == Secrets::Hidden => HIDDEN.into(),
        _ => value(entity, path),
    };
    paths
        .into_iter()
        .filter(|path| value(a, path) != value(b, path))
        .map(|path| FieldChange {
            path: path.clone(),
            before: shown(a, path),
            after: shown(b, path),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use keelgate_plugins::Registry;
    use serde_json::json;

    use super::*;

    fn difference(a: Value, b: Value, secrets: Secrets) -> Difference {
        let schemas = Schemas::new(Registry::schemas());
        let read = |value: Value| Entities::read(&value.to_string(), &schemas).unwrap();
        Difference::between(&read(a), &read(b), secrets)
    }

    #[test]
    fn what_was_added_removed_and_changed_is_told_by_name() {
        let a = json!({"services": [
            {"id": "1", "name": "billing", "host": "old", "updated_at": 1},
            {"id": "2", "name": "legacy", "host": "x"},
            {"id": "4", "name": "same", "host": "x", "updated_at": 1},
        ]});
        let b = json!({"services": [
            {"id": "1", "name": "billing", "host": "new", "updated_at": 2},
            {"id": "3", "name": "payments", "host": "x"},
            {"id": "4", "name": "same", "host": "x", "updated_at": 2},
        ]});
        let difference = difference(a, b, Secrets::Hidden);
        assert_eq!(difference.counts(), (1, 1, 1));
        let services = &difference.0["services"];
        assert_eq!(services.added[0].name, "payments");
        assert_eq!(services.removed[0].name, "legacy");
        let changed = &services.changed[0];
        assert_eq!(changed.entity.name, "billing");
        assert_eq!(changed.fields.len(), 1);
        assert_eq!(changed.fields[0].path, "host");
        assert_eq!(changed.fields[0].after, "new");
    }

    #[test]
    fn other_ids_with_the_same_names_are_no_difference() {
        let table = |service: &str, route: &str, plugin: &str| {
            json!({
                "services": [{"id": service, "name": "billing", "host": "h"}],
                "routes": [{"id": route, "name": "r", "service": service}],
                "plugins": [{"id": plugin, "name": "cors", "route": route, "config": {}}],
            })
        };
        let difference = difference(table("1", "2", "3"), table("4", "5", "6"), Secrets::Hidden);
        assert!(difference.is_empty(), "{difference:?}");
    }

    #[test]
    fn a_renamed_entity_is_the_same() {
        let service = |name: &str| json!({"services": [{"id": "1", "name": name}]});
        let difference = difference(service("a"), service("b"), Secrets::Hidden);
        assert_eq!(difference.counts(), (0, 0, 1));
    }

    #[test]
    fn a_changed_secret_is_told_and_not_shown() {
        let user = |secret: &str| json!({"hmacauth_credentials": [{"id": "1", "username": "u", "secret": secret}]});
        let hidden = difference(user("hunter2"), user("hunter3"), Secrets::Hidden);
        let text = serde_json::to_string(&hidden).unwrap();
        assert!(text.contains("secret") && text.contains(HIDDEN), "{text}");
        assert!(!text.contains("hunter"), "{text}");
        let shown = difference(user("hunter2"), user("hunter3"), Secrets::Shown);
        assert!(serde_json::to_string(&shown).unwrap().contains("hunter3"));
    }
}
