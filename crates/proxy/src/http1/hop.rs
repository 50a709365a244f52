//! What `Connection` says: it is for the next hop only, and so is what it names.

use http::HeaderName;
use keelgate_plugins::HeaderMap;

/// What a response says in `Connection`. That goes no further, and is kept apart from the headers that
/// do.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    /// Headers that are for this hop only.
    pub(crate) named: Vec<HeaderName>,
}

impl Said {
    /// Takes in one more line.
    pub(crate) fn hear(&mut self, line: &[u8]) {
        for option in options(line) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if !option.eq_ignore_ascii_case(b"upgrade") {
                self.named.extend(HeaderName::from_bytes(option).ok());
            }
        }
    }
}

/// The options of a line of `Connection`.
fn options(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

/// Whether `Connection` lists `option`.
pub(crate) fn lists(headers: &HeaderMap, option: &str) -> bool {
    let mut lines = headers.get_all("connection").bytes();
    lines.any(|line| options(line).any(|own| own.eq_ignore_ascii_case(option.as_bytes())))
}

/// The headers that `Connection` names. `Upgrade` is not among them: who may ask for which protocol
/// is decided elsewhere.
pub(crate) fn named(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let is_other = |option: &&[u8]| {
        ["keep-alive", "close", "upgrade"]
            .iter()
            .all(|usual| !option.eq_ignore_ascii_case(usual.as_bytes()))
    };
    let lines = headers.get_all("connection").bytes();
    // In most cases there is one line, with one of these alone.
    lines
        .filter(is_other)
        .flat_map(options)
        .filter(is_other)
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
        let mut said = Said::default();
        for line in [&b"Close"[..], b"x-a ,, \xff, X-B", b"upgrade,keep-alive"] {
            headers.append(CONNECTION, HeaderValue::from_bytes(line).unwrap());
            said.hear(line);
        }
        assert!(lists(&headers, "close") && lists(&headers, "x-b"));
        assert!(!lists(&headers, "x-c"));
        assert!(named(&headers).eq(["x-a", "x-b"]));
        assert!(said.close && said.keep_alive);
        assert_eq!(said.named, ["x-a", "x-b"]);
    }
}
