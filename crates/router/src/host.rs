//! `Host` values and host patterns.

/// A host with its port taken off, as Kong does: at the first colon, if digits follow to the end.
/// An address in brackets therefore stays whole. A number above 65535 is reported as port 0.
pub fn split_port(host: &str) -> (&str, Option<u16>) {
    match host.split_once(':') {
        Some((name, digits))
            if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) =>
        {
            (name, Some(digits.parse().unwrap_or(0)))
        }
        _ => (host, None),
    }
}

/// Whether a `Host` value is well-formed: a name, an address, or an address in brackets, with an
/// optional port; no empty labels, no blanks, no slashes. Others are answered with 400.
pub fn is_valid(host: &str) -> bool {
    let clean = !host.contains("..") && !host.bytes().any(|b| b <= b' ' || b == b'/' || b == 0x7f);
    let name = if host.starts_with('[') {
        host.split_inclusive(']').next().unwrap_or_default()
    } else {
        host.split(':').next().unwrap_or_default()
    };
    clean && !name.strip_suffix('.').unwrap_or(name).is_empty()
}

/// Where a pattern's star stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape<'a> {
    /// No star: equal.
    Exact(&'a str),
    /// `*.example.com`: ends with.
    Suffix(&'a str),
    /// `example.*`: begins with.
    Prefix(&'a str),
}

impl<'a> Shape<'a> {
    pub(crate) fn of(pattern: &'a str) -> Self {
        if let Some(suffix) = pattern.strip_prefix('*') {
            Self::Suffix(suffix)
        } else if let Some(prefix) = pattern.strip_suffix('*') {
            Self::Prefix(prefix)
        } else {
            Self::Exact(pattern)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Shape, is_valid, split_port};

    #[test]
    fn ports_are_taken_off() {
        assert_eq!(split_port("a.test"), ("a.test", None));
        assert_eq!(split_port("a.test:80"), ("a.test", Some(80)));
        assert_eq!(split_port("a.test:"), ("a.test:", None));
        assert_eq!(split_port("a.test:x"), ("a.test:x", None));
        assert_eq!(split_port("a.test:99999"), ("a.test", Some(0)));
        assert_eq!(split_port("[::1]:80"), ("[::1]:80", None));
    }

    #[test]
    fn malformed_hosts_are_told() {
        for host in [
            "a.test",
            "a.test.",
            "a.test:80",
            "[::1]:80",
            "A_b",
            "127.0.0.1",
            "a.test:x",
        ] {
            assert!(is_valid(host), "{host}");
        }
        for host in [
            "", ".", "a..test", "a.test..", "::1", ":80", "a.test/x", "a, b", "a\tb",
        ] {
            assert!(!is_valid(host), "{host}");
        }
    }

    #[test]
    fn a_star_at_either_end_is_a_wildcard() {
        assert_eq!(Shape::of("*.a.test"), Shape::Suffix(".a.test"));
        assert_eq!(Shape::of("a.*"), Shape::Prefix("a."));
        assert_eq!(Shape::of("a.test"), Shape::Exact("a.test"));
    }
}
