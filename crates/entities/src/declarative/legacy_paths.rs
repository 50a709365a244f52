//! Paths of routes before format 3.0.
//!
//! Until then, regular expressions had no `~` before them, and paths were decoded when they were
//! matched. Both are put right once, when such a document is read.

use serde_json::Value;

use crate::Object;
use crate::format::path::normalize;

/// Brings a document of format 1.1 or 2.1 into the form of 3.0.
pub(super) fn migrate(document: &mut Object) {
    let version = document.get("_format_version").and_then(Value::as_str);
    if !matches!(version, Some("1.1" | "2.1")) {
        return;
    }
    migrate_routes(document.get_mut("routes"));
    if let Some(Value::Array(services)) = document.get_mut("services") {
        for service in services {
            migrate_routes(service.get_mut("routes"));
        }
    }
    document.insert("_format_version".to_owned(), "3.0".into());
}

fn migrate_routes(routes: Option<&mut Value>) {
    let Some(Value::Array(routes)) = routes else {
        return;
    };
    for route in routes {
        if let Some(Value::Array(paths)) = route.get_mut("paths") {
            for path in paths {
                if let Value::String(text) = path {
                    *path = migrated(text).into();
                }
            }
        }
    }
}

fn migrated(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_~/%".contains(&b);
    if path.bytes().all(plain) {
        return normalize(path).into_owned();
    }
    format!("~{}", decode_pattern(path))
}

/// Undoes escapes in a regular expression; what has a meaning there is escaped for it.
fn decode_pattern(pattern: &str) -> String {
    const RESERVED: &[u8] = b"!#$%&'()*+,/:;=?@[]";
    const META: &[u8] = b".^-{}\\|";
    let mut out: Vec<u8> = Vec::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        out.extend(rest[..at].bytes());
        let byte = rest
            .get(at + 1..at + 3)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte) if RESERVED.contains(&byte) => {
                out.extend(rest[at..at + 3].to_ascii_uppercase().bytes());
            }
            Some(byte) if META.contains(&byte) => out.extend([b'\\', byte]),
            Some(byte) => out.push(byte),
            None => {
                out.push(b'%');
                rest = &rest[at + 1..];
                continue;
            }
        }
        rest = &rest[at + 3..];
    }
    out.extend(rest.bytes());
    String::from_utf8(out).unwrap_or_else(|_| pattern.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn old_patterns_get_a_tilde_and_old_prefixes_their_normal_form() {
        assert_eq!(migrated("/a/%41"), "/a/A");
        assert_eq!(migrated("/a/\\d+"), "~/a/\\d+");
        assert_eq!(migrated("/(a|b)%2e"), "~/(a|b)\\.");
    }

    #[test]
    fn only_old_documents_change() {
        let document = |version| {
            let Value::Object(object) = json!({
                "_format_version": version,
                "services": [{"routes": [{"paths": ["/\\d"]}]}],
            }) else {
                unreachable!()
            };
            object
        };
        let mut new = document("3.0");
        migrate(&mut new);
        assert_eq!(new, document("3.0"));
        let mut old = document("2.1");
        migrate(&mut old);
        assert_eq!(old["services"][0]["routes"][0]["paths"][0], "~/\\d");
        assert_eq!(old["_format_version"], "3.0");
    }
}
