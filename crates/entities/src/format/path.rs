//! Paths of services and routes.

mod pattern;

use std::borrow::Cow;

/// What is wrong with a path.
enum PathError {
    Character(String),
    Encoding(String),
}

/// A path with valid characters and escapes.
pub(crate) fn path(text: &str) -> Result<(), String> {
    match check(text) {
        Ok(()) => Ok(()),
        Err(PathError::Character(message) | PathError::Encoding(message)) => Err(message),
    }
}

fn check(text: &str) -> Result<(), PathError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_~/%:@!$&'()*+,;=".contains(&b);
    if !text.starts_with('/') || !text.bytes().all(allowed) {
        return Err(PathError::Character(format!(
            "invalid path: '{text}' (characters outside of the reserved list of RFC 3986 found)"
        )));
    }
    let bytes = text.as_bytes();
    let mut index = 0;
    while let Some(found) = text[index..].find('%') {
        let at = index + found;
        let escape = bytes.get(at + 1..at + 3);
        if !escape.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) {
            let end = text.len().min(at + 3);
            let shown = &text[at..end];
            return Err(PathError::Encoding(format!(
                "invalid url-encoded value: '{shown}'"
            )));
        }
        index = at + 3;
    }
    Ok(())
}

/// A path of a route: a prefix in its normal form, or a regular expression after `~`.
pub(crate) fn route_path(text: &str) -> Result<(), String> {
    if let Err(PathError::Encoding(message)) = check(text) {
        return Err(message);
    }
    if let Some(pattern) = text.strip_prefix('~') {
        return pattern::check(pattern);
    }
    let normal = normalize(text);
    if normal != text {
        return Err(format!(
            "non-normalized path, consider use '{normal}' instead"
        ));
    }
    Ok(())
}

/// The normal form of a path: escapes of harmless characters undone, the others in upper case,
/// `.` and `..` and empty segments resolved.
pub fn normalize(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '.']) && !text.contains("//") {
        return Cow::Borrowed(text);
    }
    let decoded = decode(text);
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = decoded.split('/').peekable();
    // A leading slash yields an empty first part.
    let absolute = decoded.starts_with('/');
    if absolute {
        parts.next();
    }
    let mut closed = false;
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            "." => closed = last,
            ".." => {
                segments.pop();
                closed = last;
            }
            "" => closed = last,
            other => {
                segments.push(other);
                closed = false;
            }
        }
    }
    let mut out = String::with_capacity(decoded.len());
    for segment in &segments {
        if absolute || !out.is_empty() {
            out.push('/');
        }
        out.push_str(segment);
    }
    if closed && (absolute || !out.is_empty()) {
        out.push('/');
    }
    Cow::Owned(out)
}

/// Undoes escapes, except those of characters with a meaning in URLs. What would not be text stays
/// escaped.
fn decode(text: &str) -> String {
    const RESERVED: &[u8] = b"!*'();:@&=+$,/?%#[]";
    let bytes = text.as_bytes();
    let mut out: Vec<u8> = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let escape = (bytes[index] == b'%')
            .then(|| text.get(index + 1..index + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escape {
            Some(byte) if RESERVED.contains(&byte) => {
                out.extend(text[index..index + 3].to_ascii_uppercase().bytes());
                index += 3;
            }
            Some(byte) => {
                out.push(byte);
                index += 3;
            }
            None => {
                out.push(bytes[index]);
                index += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_forms() {
        for (given, normal) in [
            ("/", "/"),
            ("/a/../b", "/b"),
            ("/a/./b/", "/a/b/"),
            ("/a/..", "/"),
            ("/a//b", "/a/b"),
            ("/%41", "/A"),
            ("/%c3%a9", "/é"),
            ("/%2f", "/%2F"),
            ("/a.b", "/a.b"),
            ("/..a", "/..a"),
        ] {
            assert_eq!(normalize(given), normal, "{given}");
        }
    }

    #[test]
    fn route_paths_are_prefixes_or_regular_expressions() {
        assert_eq!(route_path("/a"), Ok(()));
        assert_eq!(route_path("~/a/\\d+"), Ok(()));
        assert_eq!(
            route_path("~/a(b"),
            Err(
                "invalid regex: '/a(b' (PCRE returned: pcre2_compile() failed: missing closing \
                 parenthesis in \"/a(b\")"
                    .into()
            )
        );
        assert_eq!(
            route_path("/%zz"),
            Err("invalid url-encoded value: '%zz'".into())
        );
    }

    #[test]
    fn service_paths_have_only_the_characters_of_paths() {
        assert_eq!(path("/a/b%20c"), Ok(()));
        assert!(
            path("/a b")
                .unwrap_err()
                .starts_with("invalid path: '/a b'")
        );
    }
}
