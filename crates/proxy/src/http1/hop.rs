//! What `Connection` says: it is for the next hop only, and so is what it names.

use http::HeaderName;
use keelgate_plugins::HeaderMap;

/// The options that `Connection` lists, over all its lines.
pub(crate) fn options(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all("connection")
        .bytes()
        .flat_map(|line| line.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// Whether `Connection` lists `option`.
pub(crate) fn lists(headers: &HeaderMap, option: &str) -> bool {
    options(headers).any(|own| own.eq_ignore_ascii_case(option.as_bytes()))
}

/// The headers that `Connection` names. `Upgrade` is not among them: who may ask for which protocol
/// is decided elsewhere.
pub(crate) fn named(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    options(headers)
        .filter(|option| {
            ["keep-alive", "close", "upgrade"]
                .iter()
                .all(|usual| !option.eq_ignore_ascii_case(usual.as_bytes()))
        })
        .filter_map(|option| HeaderName::from_bytes(option).ok())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::CONNECTION;

    use super::*;

    #[test]
    fn all_lines_and_all_bytes_are_read() {
        let mut headers = HeaderMap::new();
        for line in [&b"Close"[..], b"x-a ,, \xff, X-B", b"upgrade,keep-alive"] {
            headers.append(CONNECTION, HeaderValue::from_bytes(line).unwrap());
        }
        assert!(lists(&headers, "close") && lists(&headers, "x-b"));
        assert!(!lists(&headers, "x-c"));
        assert!(named(&headers).eq(["x-a", "x-b"]));
    }
}
