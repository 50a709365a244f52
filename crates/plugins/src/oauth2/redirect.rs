//! Where a user is sent back to, and what the application is told there.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::answer::Fields;
use crate::arguments::Arguments;

/// The address that a user is sent back to: the one that is asked for, if the application may use
/// it, or else its first.
pub(super) fn chosen<'k>(asked: Option<&Value>, known: &'k [String]) -> Option<&'k str> {
    let found = match asked {
        None => known.first(),
        Some(asked) => known.iter().find(|known| asked == known.as_str()),
    };
    found.map(String::as_str)
}

/// Which part of an address tells the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Query,
    /// What browsers keep to themselves.
    Fragment,
}

/// The address with these fields in one of its parts, beside the arguments that it has there.
pub(super) fn with(uri: &str, fields: &Fields, part: Part) -> String {
    let (rest, fragment) = match uri.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (uri, None),
    };
    let (base, query) = match rest.split_once('?') {
        Some((base, query)) => (base, Some(query)),
        None => (rest, None),
    };
    let had = match part {
        Part::Query => query,
        Part::Fragment => fragment,
    };
    let told = encode(had.unwrap_or_default(), fields);
    let (query, fragment) = match part {
        Part::Query => (Some(&*told), fragment),
        Part::Fragment => (query, Some(&*told)),
    };
    let mut address = base.to_owned();
    for (mark, text) in [('?', query), ('#', fragment)] {
        if let Some(text) = text {
            address.push(mark);
            address.push_str(text);
        }
    }
    address
}

/// Arguments in alphabetical order; a field replaces those of the same name.
fn encode(had: &str, fields: &Fields) -> String {
    let had = Arguments::parse(had.as_bytes());
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in had.iter() {
        let value = value.map_or("true".into(), String::from_utf8_lossy);
        let values = all.entry(String::from_utf8_lossy(name).into_owned());
        values.or_default().push(value.into_owned());
    }
    for (name, value) in fields {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        all.insert(name.clone(), vec![text]);
    }
    let mut text = String::new();
    let mut write = |name: &str, value: &str| {
        if !text.is_empty() {
            text.push('&');
        }
        escape(name, &mut text);
        if !value.is_empty() {
            text.push('=');
            escape(value, &mut text);
        }
    };
    for (name, values) in &all {
        match &values[..] {
            [value] => write(name, value),
            values => {
                for (at, value) in (1..).zip(values) {
                    write(&format!("{name}[{at}]"), value);
                }
            }
        }
    }
    text
}

/// Everything but letters, digits and underscores is escaped, in lower case.
fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02x}").expect("memory takes what is written");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Fields {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_application_is_told_in_the_query() {
        let told =
            fields(json!({"error": "invalid_scope", "error_description": "a b-c", "state": ""}));
        for (uri, expected) in [
            (
                "https://app.test/back",
                "https://app.test/back?error=invalid_scope&error_description=a%20b%2dc&state",
            ),
            (
                "app:/back?z=1&error=x&b=2&b=3",
                "app:/back?b%5b1%5d=2&b%5b2%5d=3&error=invalid_scope&error_description=a%20b%2dc&state&z=1",
            ),
        ] {
            assert_eq!(with(uri, &told, Part::Query), expected);
        }
    }

    #[test]
    fn a_token_is_told_in_the_fragment() {
        let told = fields(json!({"access_token": "t", "expires_in": 7200}));
        let address = with("https://app.test/back?x=1", &told, Part::Fragment);
        assert_eq!(
            address,
            "https://app.test/back?x=1#access_token=t&expires_in=7200"
        );
    }
}
