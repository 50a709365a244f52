//! `Host` values and host patterns.

use std::borrow::Cow;

use keelgate_entities::RouterFlavor;
use memchr::memchr;

/// A host with its port taken off, as Kong does: at the first colon, if digits follow to the end.
/// An address in brackets therefore stays whole. A number above 65535 is reported as port 0.
pub fn split_port(host: &str) -> (&str, Option<u16>) {
    let Some(colon) = memchr(b':', host.as_bytes()) else {
        return (host, None);
    };
    let (name, digits) = (&host[..colon], &host[colon + 1..]);
    let number = digits.bytes().try_fold(0_u32, |number, digit| {
        let value = u32::from(digit.checked_sub(b'0').filter(|value| *value < 10)?);
        Some(number.saturating_mul(10).saturating_add(value))
    });
    match number {
        Some(number) if !digits.is_empty() => (name, Some(u16::try_from(number).unwrap_or(0))),
        _ => (host, None),
    }
}

/// Whether a `Host` value is well-formed: a name, an address, or an address in brackets, with an
/// optional port; no empty labels, no blanks, no slashes. Others are answered with 400.
pub fn is_valid(host: &str) -> bool {
    let bytes = host.as_bytes();
    let mut before = 0;
    for &byte in bytes {
        if byte <= b' ' || matches!(byte, b'/' | 0x7f) || byte == b'.' && before == b'.' {
            return false;
        }
        before = byte;
    }
    let name = if bytes.starts_with(b"[") {
        memchr(b']', bytes).map_or(bytes, |end| &bytes[..=end])
    } else {
        memchr(b':', bytes).map_or(bytes, |end| &bytes[..end])
    };
    !matches!(name, [] | [b'.'])
}

/// A host with its port taken off, as the flavour does it.
pub(crate) fn split_port_for(flavor: RouterFlavor, host: &str) -> (&str, Option<u16>) {
    match flavor {
        RouterFlavor::Traditional => split_port_and_brackets(host),
        _ => split_port(host),
    }
}

/// A host without its port, without the colon of a port that is not there, and without the brackets
/// around an address.
fn split_port_and_brackets(host: &str) -> (&str, Option<u16>) {
    let Some(bracketed) = host.strip_prefix('[') else {
        return match host.split_once(':') {
            Some((name, "")) => (name, None),
            _ => split_port(host),
        };
    };
    match bracketed.split_once(']') {
        Some((address, "" | ":")) => (address, None),
        Some((address, port)) => match split_port(port) {
            ("", Some(port)) => (address, Some(port)),
            _ => (host, None),
        },
        None => (host, None),
    }
}

/// Where a pattern's star stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

    /// The pattern without its star.
    pub(crate) fn name(self) -> &'a str {
        let (Self::Exact(name) | Self::Suffix(name) | Self::Prefix(name)) = self;
        name
    }
}

/// A demand on the host: a pattern, perhaps one that an expression makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostKey<'a> {
    Exact(Cow<'a, str>),
    Suffix(Cow<'a, str>),
    Prefix(Cow<'a, str>),
}

impl<'a> HostKey<'a> {
    pub(crate) fn of(pattern: &'a str) -> Self {
        match Shape::of(pattern) {
            Shape::Exact(name) => Self::Exact(name.into()),
            Shape::Suffix(name) => Self::Suffix(name.into()),
            Shape::Prefix(name) => Self::Prefix(name.into()),
        }
    }

    pub(crate) fn shape(&self) -> Shape<'_> {
        match self {
            Self::Exact(name) => Shape::Exact(name),
            Self::Suffix(name) => Shape::Suffix(name),
            Self::Prefix(name) => Shape::Prefix(name),
        }
    }

    pub(crate) fn length(&self) -> usize {
        self.shape().name().len()
    }
}

#[cfg(test)]
mod tests {
    use super::{Shape, is_valid, split_port, split_port_and_brackets};

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
    fn brackets_and_empty_ports_are_taken_off_in_the_traditional_flavour() {
        for (host, expected) in [
            ("a.test:80", ("a.test", Some(80))),
            ("a.test:", ("a.test", None)),
            ("a.test:x", ("a.test:x", None)),
            ("[::1]", ("::1", None)),
            ("[::1]:", ("::1", None)),
            ("[::1]:80", ("::1", Some(80))),
            ("[::1]x", ("[::1]x", None)),
            ("[::1", ("[::1", None)),
            ("::1", ("::1", None)),
        ] {
            assert_eq!(split_port_and_brackets(host), expected, "{host}");
        }
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
