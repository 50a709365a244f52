//! Requests that the routes of a configuration should take.

use serde::Deserialize;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) path: String,
    pub(super) host: Option<String>,
}

#[derive(Deserialize)]
struct Table {
    #[serde(default)]
    routes: Vec<Route>,
}

#[derive(Deserialize)]
struct Route {
    protocols: Option<Vec<String>>,
    methods: Option<Vec<String>>,
    hosts: Option<Vec<String>>,
    paths: Option<Vec<String>>,
    headers: Option<serde_json::Map<String, serde_json::Value>>,
    expression: Option<String>,
}

/// A GET for each of the first `most` routes for which one can be told from what they match.
pub(super) fn targets(config: &str, most: usize) -> serde_json::Result<Vec<Target>> {
    let table: Table = serde_json::from_str(config)?;
    Ok(table.routes.iter().filter_map(target).take(most).collect())
}

fn target(route: &Route) -> Option<Target> {
    let has = |list: &Option<Vec<String>>, value: &str| {
        list.as_ref()
            .is_none_or(|list| list.iter().any(|one| one == value))
    };
    let by_headers = route.headers.as_ref().is_some_and(|h| !h.is_empty());
    if !has(&route.protocols, "http")
        || !has(&route.methods, "GET")
        || by_headers
        || route.expression.is_some()
    {
        return None;
    }
    // A path that begins with a tilde is a pattern.
    let path = match &route.paths {
        None => "/".to_owned(),
        Some(paths) => paths.iter().find(|path| path.starts_with('/'))?.clone(),
    };
    let host = match &route.hosts {
        None => None,
        Some(hosts) => {
            let host = hosts.first()?;
            Some(match (host.strip_prefix("*."), host.strip_suffix(".*")) {
                (Some(domain), _) => format!("drill.{domain}"),
                (_, Some(name)) => format!("{name}.test"),
                _ => host.clone(),
            })
        }
    };
    Some(Target { path, host })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_route_is_asked_for_what_it_matches() {
        let config = json!({"routes": [
            {"name": "a", "paths": ["~/v\\d+", "/v1"], "protocols": ["http", "https"]},
            {"name": "b", "hosts": ["*.shop.test"], "protocols": ["http"]},
            {"name": "only post", "paths": ["/p"], "methods": ["POST"]},
            {"name": "only tls", "paths": ["/t"], "protocols": ["https"]},
            {"name": "pattern", "paths": ["~/x.*"]},
            {"name": "by header", "paths": ["/h"], "headers": {"x-v": ["1"]}},
            {"name": "c", "paths": ["/c"], "hosts": ["c.test:8000"]},
        ]});
        let target = |path: &str, host: Option<&str>| Target {
            path: path.to_owned(),
            host: host.map(str::to_owned),
        };
        assert_eq!(
            targets(&config.to_string(), 10).unwrap(),
            [
                target("/v1", None),
                target("/", Some("drill.shop.test")),
                target("/c", Some("c.test:8000")),
            ]
        );
        assert_eq!(targets(&config.to_string(), 1).unwrap().len(), 1);
        assert!(targets("{}", 1).unwrap().is_empty());
    }
}
