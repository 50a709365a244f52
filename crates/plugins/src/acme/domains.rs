//! The names that there may be certificates for.

use std::net::{IpAddr, Ipv4Addr};

use super::config::Config;

/// The names that there may be certificates for.
#[derive(Debug)]
pub(super) struct Domains {
    any: bool,
    addresses: bool,
    exact: Vec<String>,
    /// What names end with.
    ends: Vec<String>,
}

impl Domains {
    pub(super) fn new(config: &Config) -> Self {
        let names = config.domains.iter().map(|name| name.to_ascii_lowercase());
        let (ends, exact) = names.partition::<Vec<_>, _>(|name| name.starts_with('*'));
        Self {
            any: config.allow_any_domain == Some(true),
            addresses: config.enable_ipv4_common_name != Some(false),
            exact,
            ends: ends
                .iter()
                .map(|end| end.trim_start_matches('*').to_owned())
                .collect(),
        }
    }

    /// Whether there may be a certificate for a name in lower case.
    pub(super) fn has(&self, name: &str) -> bool {
        if !self.addresses && name.parse::<Ipv4Addr>().is_ok() {
            return false;
        }
        (self.any && is_name(name)) || self.lists(name)
    }

    /// Whether the name is one of those that the settings list.
    pub(super) fn lists(&self, name: &str) -> bool {
        is_name(name)
            && (self.exact.iter().any(|other| other == name)
                || self.ends.iter().any(|end| name.ends_with(end.as_str())))
    }
}

/// Whether a text may be what a certificate is for: it becomes part of keys, and is told others.
pub(super) fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_host = !text.is_empty() && text.len() <= 253 && text.bytes().all(is_letter);
    is_host || text.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains(names: &[&str], any: bool, addresses: bool) -> Domains {
        Domains::new(&Config {
            domains: names.iter().map(|name| (*name).to_owned()).collect(),
            allow_any_domain: Some(any),
            enable_ipv4_common_name: Some(addresses),
            ..Config::default()
        })
    }

    #[test]
    fn names_are_those_of_the_list() {
        let some = domains(&["A.test", "*.b.test"], false, true);
        for (name, expected) in [
            ("a.test", true),
            ("x.a.test", false),
            ("x.b.test", true),
            ("b.test", false),
            ("xb.test", false),
            ("", false),
        ] {
            assert_eq!(some.has(name), expected, "{name}");
        }
    }

    #[test]
    fn any_name_is_one_and_nothing_else() {
        let any = domains(&[], true, true);
        assert!(any.has("x.y") && any.has("192.0.2.1"));
        assert!(!any.has("a b") && !any.has("a:b") && !any.has(&"x".repeat(254)));
        assert!(!any.lists("x.y"));
        assert!(!domains(&["192.0.2.1"], true, false).has("192.0.2.1"));
    }
}
