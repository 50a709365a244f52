//! From the tables of a snapshot to what can be compiled.

use std::time::SystemTime;

use anyhow::{anyhow, bail};
use keelgate_entities::declarative::{self, Unknown};
use keelgate_entities::{Config, Schemas};
use keelgate_snapshot::{Decoded, Snapshot};
use serde_json::Value;

/// The version of this software.
const OWN: &str = env!("CARGO_PKG_VERSION");

/// The typed form of a snapshot.
///
/// What a control plane of this version or an older one has signed was validated there. Tables of
/// Kong are validated and completed here, as those of a file are. So are those of newer software:
/// they are used if this build knows everything in them, and refused whole otherwise.
///
/// What it has in common with `last` need not be read again.
pub(crate) fn decode(
    snapshot: &Snapshot,
    schemas: &Schemas,
    last: Option<&Decoded>,
) -> anyhow::Result<Decoded> {
    let made_by = snapshot.version();
    let is_newer = is_newer(made_by, OWN);
    if snapshot.identity().epoch > 0 && !is_newer {
        return Ok(snapshot.decode_after(last)?);
    }
    let tables = snapshot.tables()?;
    if is_newer {
        let unknown = Unknown::of(&tables, schemas);
        if !unknown.is_empty() {
            bail!(
                "version {made_by} wrote it, and this one ({OWN}) does not know: {unknown}; update this node, or do not use that yet"
            );
        }
    }
    let table = declarative::parse_config_table(tables.into(), schemas, SystemTime::now())
        .map_err(|refused| anyhow!("{}", refused.error))?;
    let config: Config = serde_json::from_value(Value::Object(table.into_config_table()))?;
    Ok(config.into())
}

/// Whether a snapshot of this version may hold what a build of version `own` does not know. A
/// control plane of Kong tells no version.
fn is_newer(made_by: &str, own: &str) -> bool {
    if made_by.is_empty() || made_by == own {
        return false;
    }
    match (numbers(made_by), numbers(own)) {
        (Some(made_by), Some(own)) => made_by > own,
        // Nobody knows: what is in it decides.
        _ => true,
    }
}

/// Major, minor and patch; what follows them does not count.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let release = version.split(['-', '+']).next()?;
    let mut parts = release.split('.').map(str::parse);
    let numbers = [
        parts.next()?.ok()?,
        parts.next()?.ok()?,
        parts.next()?.ok()?,
    ];
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use keelgate_plugins::Registry;
    use keelgate_snapshot::{Position, build};
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn decoded(version: &str, tables: &Value) -> Result<Config, String> {
        let position = Position {
            cluster_id: Uuid::from_u128(1),
            epoch: 1,
            revision: 1,
        };
        let snapshot = build(tables, position, version, SystemTime::now(), None).unwrap();
        let schemas = Schemas::new(Registry::schemas());
        let decoded = decode(&snapshot, &schemas, None);
        decoded
            .map(|own| own.config)
            .map_err(|error| error.to_string())
    }

    fn service(more: Value) -> Value {
        let mut service = json!({
            "id": "6a0a9a50-6b1c-4b6a-9c1c-000000000001", "name": "billing",
            "host": "billing.internal", "port": 80, "protocol": "http",
        });
        service
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"_format_version": "3.0", "_transform": false, "services": [service]})
    }

    #[test]
    fn newer_software_is_followed_as_far_as_it_is_understood() {
        let config = decoded("999.0.0", &service(json!({"mesh": null}))).unwrap();
        assert_eq!(config.services.len(), 1);
        let refused = decoded("999.0.0", &service(json!({"mesh": true}))).unwrap_err();
        assert!(
            refused.contains("999.0.0") && refused.contains("`services.mesh`"),
            "{refused}"
        );
    }

    #[test]
    fn a_plugin_that_is_not_known_is_refused_and_not_left_out() {
        let mut tables = service(json!({}));
        tables["plugins"] = json!([{
            "id": "6a0a9a50-6b1c-4b6a-9c1c-000000000002", "name": "sorcery", "config": {},
        }]);
        let refused = decoded("999.0.0", &tables).unwrap_err();
        assert!(refused.contains("plugin `sorcery`"), "{refused}");
    }

    #[test]
    fn a_value_that_is_not_known_is_refused() {
        let refused = decoded("999.0.0", &service(json!({"protocol": "quic"}))).unwrap_err();
        assert!(refused.contains("protocol"), "{refused}");
    }

    #[test]
    fn the_own_version_and_older_ones_are_read_as_they_are() {
        for version in [OWN, "0.0.1"] {
            assert!(decoded(version, &service(json!({"mesh": true}))).is_ok());
        }
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (made_by, expected) in [
            ("0.2.0", true),
            ("0.1.1", true),
            ("1.0.0-rc.1", true),
            ("0.10.0", true),
            ("0.1.0", false),
            ("0.0.9", false),
            ("0.1.0+build", false),
            ("", false),
            ("main", true),
        ] {
            assert_eq!(is_newer(made_by, "0.1.0"), expected, "{made_by}");
        }
    }
}
