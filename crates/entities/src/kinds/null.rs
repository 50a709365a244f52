//! Members that are null. Schemas accept null for what they do not require, defaults or not; to the
//! runtime it is the same as an absent member.

use serde::{Deserialize, Deserializer};

/// Reads null as the default of the type.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads null as a number.
pub(super) fn or_number<'de, D, T, const NUMBER: u32>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + From<u32>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_else(|| NUMBER.into()))
}

#[cfg(test)]
mod tests {
    use crate::kinds::{Route, Service, Target, Upstream};
    use serde_json::{Value, json};

    const ID: &str = "a0000001-0000-4000-8000-000000000001";

    /// Decodes an entity with null in the place of the members at these paths.
    fn with_nulls<T: serde::de::DeserializeOwned>(mut entity: Value, paths: &[&str]) -> T {
        entity["id"] = ID.into();
        for path in paths {
            let (parent, member) = path.rsplit_once('/').unwrap();
            entity.pointer_mut(parent).unwrap()[member] = Value::Null;
        }
        serde_json::from_value(entity).unwrap()
    }

    #[test]
    fn null_stands_for_the_default() {
        let service: Service = with_nulls(
            json!({"protocol": "http", "host": "h", "port": 80}),
            &[
                "/retries",
                "/connect_timeout",
                "/write_timeout",
                "/read_timeout",
            ],
        );
        assert_eq!((service.retries, service.read_timeout), (5, 60_000));

        let route: Route = with_nulls(
            json!({"protocols": ["http"]}),
            &["/regex_priority", "/path_handling"],
        );
        assert_eq!(route.regex_priority, 0);

        let target: Target = with_nulls(
            json!({"target": "h:80", "upstream": {"id": ID}}),
            &["/weight"],
        );
        assert_eq!(target.weight, 100);
    }

    #[test]
    fn null_stands_for_the_default_in_all_of_an_upstream() {
        let upstream: Upstream = with_nulls(
            json!({"name": "u", "healthchecks": {
                "active": {"healthy": {}, "unhealthy": {}},
                "passive": {"healthy": {}, "unhealthy": {}},
            }}),
            &[
                "/algorithm",
                "/hash_on",
                "/hash_fallback",
                "/slots",
                "/healthchecks/threshold",
                "/healthchecks/active/timeout",
                "/healthchecks/active/concurrency",
                "/healthchecks/active/healthy/interval",
                "/healthchecks/active/healthy/http_statuses",
                "/healthchecks/active/healthy/successes",
                "/healthchecks/passive/unhealthy/tcp_failures",
                "/healthchecks/passive/unhealthy/timeouts",
                "/healthchecks/passive/unhealthy/http_failures",
            ],
        );
        assert_eq!(upstream.slots, 10_000);
        assert_eq!(upstream.healthchecks.active.concurrency, 0);
    }
}
