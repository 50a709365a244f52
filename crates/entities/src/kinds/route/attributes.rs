//! What the attributes of a route may ask for.
//!
//! Kong's engine knows expressions only: it writes attributes down as one. What is wrong with them
//! is therefore told in terms of that expression, which is written here for no other purpose.

use serde_json::Value;

use crate::Object;
use crate::expression::{self, Subsystem};

/// Patterns in paths and headers can be compiled, and every header has values.
pub(super) fn check(entity: &Object) -> Result<(), String> {
    if paths(entity).all(can_be_compiled) && headers(entity).all(|(_, values)| has_values(values)) {
        return Ok(());
    }
    let refuse = |what| Err(format!("Router Expression failed validation: {what}"));
    match expression::parse(&written(entity), subsystem(entity)) {
        Ok(_) => refuse("a regular expression is too large, or a header has no values".to_owned()),
        Err(error) => refuse(error.to_string()),
    }
}

/// Which sessions the route is about.
pub(super) fn subsystem(entity: &Object) -> Subsystem {
    let first = entity.get("protocols").and_then(|list| list.get(0));
    let stream = first
        .and_then(Value::as_str)
        .is_some_and(|first| matches!(first, "tcp" | "tls" | "udp" | "tls_passthrough"));
    Subsystem::of(stream)
}

fn can_be_compiled(path: &str) -> bool {
    path.strip_prefix('~')
        .is_none_or(|pattern| regex::Regex::new(&anchored(pattern)).is_ok())
}

fn has_values(values: &[Value]) -> bool {
    !values.is_empty()
        && texts(values).all(|value| {
            value
                .strip_prefix("~*")
                .is_none_or(|pattern| regex::Regex::new(pattern).is_ok())
        })
}

/// The pattern of a path as the router compiles it.
fn anchored(pattern: &str) -> String {
    format!("^{}", pattern.replace("?<", "?P<"))
}

/// Methods, hosts, paths and headers as an expression. Others have no patterns.
fn written(entity: &Object) -> String {
    let mut conditions = Vec::new();
    let snis = list(entity, "snis").map(|name| match star(name) {
        Star::First(rest) => format!("tls.sni =^ {}", quoted(rest)),
        Star::Last(rest) => format!("tls.sni ^= {}", quoted(rest)),
        Star::None => format!("tls.sni == {}", quoted(name)),
    });
    let snis = any_of(snis);
    conditions.extend(snis.map(|own| format!("(net.protocol != r#\"https\"# || {own})")));
    let methods = list(entity, "methods").map(|own| format!("http.method == {}", quoted(own)));
    conditions.extend(any_of(methods));
    conditions.extend(any_of(list(entity, "hosts").map(host)));
    let paths = paths(entity).map(|path| match path.strip_prefix('~') {
        Some(pattern) => format!("http.path ~ {}", quoted(&anchored(pattern))),
        None => format!("http.path ^= {}", quoted(path)),
    });
    conditions.extend(any_of(paths));
    for (name, values) in headers(entity) {
        let field = name.to_ascii_lowercase().replace('-', "_");
        let values = texts(values).map(|value| {
            let lowered = value.to_ascii_lowercase();
            let (operator, value) = match lowered.strip_prefix("~*") {
                Some(pattern) => ("~", pattern),
                None => ("==", &*lowered),
            };
            format!(
                "any(lower(http.headers.{field})) {operator} {}",
                quoted(value)
            )
        });
        conditions.push(any_of(values).unwrap_or_else(|| "()".to_owned()));
    }
    conditions.join(" && ")
}

fn any_of(tests: impl Iterator<Item = String>) -> Option<String> {
    let tests: Vec<String> = tests.collect();
    (!tests.is_empty()).then(|| format!("({})", tests.join(" || ")))
}

fn host(pattern: &str) -> String {
    let (name, port) = match pattern.split_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => (name, Some(port)),
        _ => (pattern, None),
    };
    let test = match star(name) {
        Star::First(rest) => format!("http.host =^ r#\"{rest}\"#"),
        Star::Last(rest) => format!("http.host ^= r#\"{rest}\"#"),
        Star::None => format!("http.host == r#\"{name}\"#"),
    };
    match port {
        Some(port) => format!("({test} && net.dst.port == {port})"),
        None => test,
    }
}

enum Star<'a> {
    First(&'a str),
    Last(&'a str),
    None,
}

fn star(name: &str) -> Star<'_> {
    match (name.strip_prefix('*'), name.strip_suffix('*')) {
        (Some(rest), _) => Star::First(rest),
        (None, Some(rest)) => Star::Last(rest),
        (None, None) => Star::None,
    }
}

/// A literal of the language: raw where that can be.
fn quoted(text: &str) -> String {
    if text.contains("\"#") {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        return format!("\"{escaped}\"");
    }
    format!("r#\"{text}\"#")
}

fn paths(entity: &Object) -> impl Iterator<Item = &str> {
    list(entity, "paths")
}

fn list<'e>(entity: &'e Object, field: &str) -> impl Iterator<Item = &'e str> {
    texts(
        entity
            .get(field)
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice),
    )
}

fn headers(entity: &Object) -> impl Iterator<Item = (&str, &[Value])> {
    let headers = entity.get("headers").and_then(Value::as_object);
    headers.into_iter().flatten().filter_map(|(name, values)| {
        let values = values.as_array()?;
        Some((name.as_str(), values.as_slice()))
    })
}

fn texts(values: &[Value]) -> impl Iterator<Item = &str> {
    values.iter().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::check;
    use serde_json::{Value, json};

    fn refusal(route: Value) -> String {
        let Value::Object(route) = route else {
            panic!("{route}");
        };
        check(&route).unwrap_err()
    }

    #[test]
    fn a_pattern_that_cannot_be_compiled_is_shown_in_its_expression() {
        let text = refusal(json!({ "hosts": ["a.test"], "paths": ["~/(?!x)"] }));
        let rule = "(http.host == r#\"a.test\"#) && (http.path ~ r#\"^/(?!x)\"#)";
        assert!(
            text.starts_with("Router Expression failed validation:  --> 1:44\n"),
            "{text}"
        );
        assert!(text.contains(rule), "{text}");
        assert!(text.ends_with("look-behind, is not supported"), "{text}");
    }

    #[test]
    fn every_header_has_values() {
        let text = refusal(json!({ "headers": { "x": [] } }));
        assert!(text.contains("1 | ()\n"), "{text}");
        assert!(text.ends_with("= expected term"), "{text}");
    }

    #[test]
    fn patterns_of_headers_are_shown_as_they_are_compared() {
        let text = refusal(json!({
            "methods": ["GET", "PUT"],
            "headers": { "X-Tier": ["~*(A"] },
            "snis": ["*.test"],
        }));
        let rule = "(net.protocol != r#\"https\"# || (tls.sni =^ r#\".test\"#)) && \
                    (http.method == r#\"GET\"# || http.method == r#\"PUT\"#) && \
                    (any(lower(http.headers.x_tier)) ~ r#\"(a\"#)";
        assert!(text.contains(rule), "{text}");
    }

    #[test]
    fn what_can_be_compiled_is_accepted() {
        let route = json!({
            "hosts": ["*.test", "a.*", "a.test:80"],
            "paths": ["/", "~/u/(?<id>\\d+)"],
            "headers": { "x": ["~*^v[0-9]", "plain"] },
        });
        assert_eq!(check(route.as_object().unwrap()), Ok(()));
    }
}
