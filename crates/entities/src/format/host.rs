//! Host names and addresses, with and without ports.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// A host, and its port if one is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) host: Host,
    pub(crate) port: Option<u16>,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    Name(String),
}

/// Why text is no host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostError {
    /// A port above 65535.
    Port,
    /// Anything else, with a message.
    Invalid(String),
}

impl HostError {
    pub(crate) fn message(self) -> String {
        match self {
            Self::Port => "invalid port number".to_owned(),
            Self::Invalid(message) => message,
        }
    }
}

/// Reads a host with an optional port: `name:1`, `1.2.3.4:5`, `[::1]:80`, `::1`.
pub(crate) fn parse(text: &str) -> Result<HostPort, HostError> {
    if text.bytes().filter(|&byte| byte == b':').count() > 1 {
        return parse_v6(text);
    }
    let rest = text.replacen(':', "", 1);
    if !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return parse_v4(text);
    }
    parse_name(text)
}

fn parse_v4(text: &str) -> Result<HostPort, HostError> {
    let invalid = || HostError::Invalid(format!("invalid ipv4 address: {text}"));
    let (address, port) = match text.split_once(':') {
        Some((address, port)) => (address, Some(port)),
        None => (text, None),
    };
    let octets: Vec<u8> = address
        .split('.')
        .map(|octet| {
            let digits = (1..=3).contains(&octet.len());
            // Leading zeros are accepted and mean nothing.
            if digits { octet.parse().ok() } else { None }
        })
        .collect::<Option<_>>()
        .ok_or_else(invalid)?;
    let octets: [u8; 4] = octets.try_into().map_err(|_| invalid())?;
    let port = port.map(|port| parse_port(port, invalid)).transpose()?;
    Ok(HostPort {
        host: Host::V4(octets.into()),
        port,
    })
}

fn parse_v6(text: &str) -> Result<HostPort, HostError> {
    let invalid = || HostError::Invalid(format!("invalid ipv6 address: {text}"));
    let (address, port) = match text.strip_prefix('[') {
        None => (text, None),
        Some(rest) => match rest.split_once(']').ok_or_else(invalid)? {
            (address, "") => (address, None),
            (address, port) => (address, Some(port.strip_prefix(':').ok_or_else(invalid)?)),
        },
    };
    let address = address.parse().map_err(|_| invalid())?;
    let port = port.map(|port| parse_port(port, invalid)).transpose()?;
    Ok(HostPort {
        host: Host::V6(address),
        port,
    })
}

fn parse_name(text: &str) -> Result<HostPort, HostError> {
    let invalid = || HostError::Invalid(format!("invalid hostname: {text}"));
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(parse_port(port, invalid)?)),
        None => (text, None),
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(invalid());
    }
    let labels: Vec<&str> = name.split('.').collect();
    for (index, label) in labels.iter().enumerate() {
        // Only the last label may be empty: a name may end in a dot.
        if label.ends_with('-') || (label.is_empty() && index + 1 != labels.len()) {
            return Err(invalid());
        }
    }
    Ok(HostPort {
        host: Host::Name(name.to_owned()),
        port,
    })
}

fn parse_port(text: &str, invalid: impl FnOnce() -> HostError) -> Result<u16, HostError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid());
    }
    text.parse().map_err(|_| HostError::Port)
}

impl HostPort {
    /// `host:port` in the one form that targets have: addresses in full, version 6 in brackets.
    pub(crate) fn with_port(&self, default: u16) -> String {
        let port = self.port.unwrap_or(default);
        match &self.host {
            Host::V4(address) => format!("{address}:{port}"),
            Host::Name(name) => format!("{name}:{port}"),
            Host::V6(address) => {
                let groups: Vec<String> = address
                    .segments()
                    .iter()
                    .map(|group| format!("{group:04x}"))
                    .collect();
                format!("[{}]:{port}", groups.join(":"))
            }
        }
    }
}

/// A host without a port.
pub(crate) fn host(text: &str) -> Result<(), String> {
    match parse(text) {
        Ok(HostPort { port: None, .. }) => Ok(()),
        Ok(_) | Err(HostError::Port) => Err("must not have a port".to_owned()),
        Err(HostError::Invalid(_)) => Err(format!("invalid value: {text}")),
    }
}

/// A host with or without a port.
pub(crate) fn host_with_optional_port(text: &str) -> Result<(), String> {
    parse(text).map(drop).map_err(HostError::message)
}

/// A host name without a port, no address.
pub(crate) fn server_name(text: &str) -> Result<(), String> {
    named(text, text)
}

/// A host name without a port that may have a `*` at one end.
pub(crate) fn wildcard_host(text: &str) -> Result<(), String> {
    match text.find('*') {
        None => named(text, text),
        Some(index) => {
            if index != 0 && index + 1 != text.len() {
                return Err("wildcard must be leftmost or rightmost character".to_owned());
            }
            if text.matches('*').count() > 1 {
                return Err("only one wildcard must be specified".to_owned());
            }
            let without = text.replace('*', "wildcard");
            named(&without, &without)
        }
    }
}

fn named(text: &str, shown: &str) -> Result<(), String> {
    match parse(text) {
        Ok(HostPort { host, .. }) if !matches!(host, Host::Name(_)) => {
            Err("must not be an IP".to_owned())
        }
        Ok(HostPort { port: None, .. }) => Ok(()),
        Ok(_) | Err(HostError::Port) => Err("must not have a port".to_owned()),
        Err(HostError::Invalid(_)) => Err(format!("invalid value: {shown}")),
    }
}

/// A host of a route: a `*` anywhere (other rules limit it) and an optional port.
pub(crate) fn route_host(text: &str) -> Result<(), String> {
    host_with_optional_port(&text.replace('*', "abc"))
}

/// An address.
pub(crate) fn ip(text: &str) -> Result<(), String> {
    if is_ip(text) {
        Ok(())
    } else {
        Err(format!("not an ip address: {text}"))
    }
}

/// An address or a block of addresses.
pub(crate) fn ip_or_cidr(text: &str) -> Result<(), String> {
    let net = text.parse::<Ipv4Net>().is_ok() || text.parse::<Ipv6Net>().is_ok();
    if net || is_ip(text) {
        Ok(())
    } else {
        Err(format!("invalid ip or cidr range: '{text}'"))
    }
}

fn is_ip(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}

/// An address of version 4, or a block of them.
pub(crate) fn ip_or_cidr_v4(text: &str) -> Result<(), String> {
    if text.parse::<Ipv4Net>().is_ok() || text.parse::<Ipv4Addr>().is_ok() {
        Ok(())
    } else {
        Err(format!("invalid ipv4 cidr range: '{text}'"))
    }
}

/// What a target is told that is no host.
pub(crate) fn target(text: &str) -> Result<(), String> {
    parse(text)
        .map(drop)
        .map_err(|_| format!("Invalid target ('{text}'); not a valid hostname or ip address"))
}

/// The name of an upstream: a host name without a port.
pub(crate) fn upstream_name(text: &str) -> Result<(), String> {
    let invalid = |why: &str| Err(format!("Invalid name ('{text}'); {why}"));
    match parse(text) {
        Err(_) => invalid("must be a valid hostname"),
        Ok(HostPort { host, .. }) if !matches!(host, Host::Name(_)) => {
            invalid("no ip addresses allowed")
        }
        Ok(HostPort { port: Some(_), .. }) => invalid("no port allowed"),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_without_a_port() {
        for good in ["a.test", "a_b.test", "a.test.", "10.0.0.1", "::1", "A-1"] {
            assert_eq!(host(good), Ok(()), "{good}");
        }
        assert_eq!(host("a b"), Err("invalid value: a b".into()));
        assert_eq!(host("a-.test"), Err("invalid value: a-.test".into()));
        assert_eq!(host("300.1.1.1"), Err("invalid value: 300.1.1.1".into()));
        assert_eq!(host("a.test:80"), Err("must not have a port".into()));
        assert_eq!(host("a.test:99999"), Err("must not have a port".into()));
    }

    #[test]
    fn targets_are_brought_into_one_form() {
        let form = |text| parse(text).unwrap().with_port(8000);
        assert_eq!(form("a.test"), "a.test:8000");
        assert_eq!(form("010.0.0.1:5"), "10.0.0.1:5");
        assert_eq!(
            form("::1"),
            "[0000:0000:0000:0000:0000:0000:0000:0001]:8000"
        );
        assert_eq!(
            form("[::1]:80"),
            "[0000:0000:0000:0000:0000:0000:0000:0001]:80"
        );
    }

    #[test]
    fn server_names_may_have_one_wildcard_at_an_end() {
        assert_eq!(wildcard_host("*.a.test"), Ok(()));
        assert_eq!(wildcard_host("a.*"), Ok(()));
        assert!(
            wildcard_host("a.*.test")
                .unwrap_err()
                .starts_with("wildcard must be")
        );
        assert!(
            wildcard_host("*.a.*")
                .unwrap_err()
                .starts_with("only one wildcard")
        );
        assert_eq!(wildcard_host("10.0.0.1"), Err("must not be an IP".into()));
    }

    #[test]
    fn upstreams_are_named_like_hosts() {
        assert_eq!(upstream_name("up.test"), Ok(()));
        assert_eq!(
            upstream_name("10.0.0.1"),
            Err("Invalid name ('10.0.0.1'); no ip addresses allowed".into())
        );
        assert_eq!(
            upstream_name("a:80"),
            Err("Invalid name ('a:80'); no port allowed".into())
        );
    }
}
