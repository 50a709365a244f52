//! Where a target is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Port of a target that names none.
const DEFAULT_PORT: u16 = 8000;

/// The host of a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name to resolve.
    Name(Box<str>),
}

/// `host:port`, before any name is resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Address or name.
    pub host: Host,
    /// TCP port.
    pub port: u16,
}

/// A text that is no `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no target address; write it like example.com:8080, 10.0.0.1:80 or [::1]:80")]
pub struct AddressError(pub String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError(text.to_owned());
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Self {
                host: Host::Ip(address.into()),
                port: DEFAULT_PORT,
            });
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => {
                (name, port.parse().map_err(|_| wrong())?)
            }
            _ => (text, DEFAULT_PORT),
        };
        let bracketed = name
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let host = if let Some(inner) = bracketed {
            Host::Ip(inner.parse::<Ipv6Addr>().map_err(|_| wrong())?.into())
        } else if let Ok(address) = name.parse::<Ipv4Addr>() {
            Host::Ip(address.into())
        } else if is_name(name) {
            Host::Name(name.into())
        } else {
            return Err(wrong());
        };
        Ok(Self { host, port })
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Ip(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, Host};
    use proptest::prelude::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, written) in [
            ("a.test:80", "a.test:80"),
            ("a.test", "a.test:8000"),
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("[0:0::1]", "[::1]:8000"),
            ("::1", "[::1]:8000"),
            ("my_service:1", "my_service:1"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), written);
        }
        let address: Address = "[::1]:80".parse().unwrap();
        assert!(matches!(address.host, Host::Ip(ip) if ip.is_loopback()));
    }

    #[test]
    fn others_are_refused_with_an_example() {
        for text in [
            "", ":80", "a:b", "a:70000", "a b:80", "[::1", "[x]:80", "a/b:80",
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("example.com:8080"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_reads_the_same(text in "\\PC{0,20}|[a-z0-9.:\\[\\]]{0,12}") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse::<Address>(), Ok(address));
            }
        }
    }
}
