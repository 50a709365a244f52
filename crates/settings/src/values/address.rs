//! Addresses of other machines.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{Context, Invalid, Kind, Setting};

/// A host, by name or IP address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Name or address; IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Splits `host:port`, `1.2.3.4:port`, `[::1]:port`.
pub(super) fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner
            .strip_suffix(']')
            .filter(|ip| ip.parse::<IpAddr>().is_ok())?,
        None if host.contains(':') => return None,
        None => host,
    };
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    (!host.is_empty() && host.bytes().all(is_host)).then_some(())?;
    Some((host, port.parse().ok()?))
}

impl Setting for Address {
    const KIND: Kind = Kind::Special("a host and a port, such as cp.example.com:8005");

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        match host_and_port(text) {
            Some((host, port @ 1..)) => Ok(Self {
                host: host.to_owned(),
                port,
            }),
            _ => Err(Invalid::new(
                format!("is not host:port: '{text}'"),
                "write a host name or IP address and a port, without a scheme: cp.example.com:8005",
            )),
        }
    }
}

/// A DNS server; port 53 unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameServer(pub SocketAddr);

impl Setting for NameServer {
    const KIND: Kind = Kind::Special("an IP address, with or without a port");

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        text.parse()
            .or_else(|_| bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)))
            .map(Self)
            .map_err(|_| {
                Invalid::new(
                    format!("must be a comma separated list in the form of IPv4/6 or IPv4/6:port, got '{text}'"),
                    "write IP addresses, not names: 10.0.0.2 or 10.0.0.2:53",
                )
            })
    }
}

/// A peer whose `X-Forwarded-*` headers are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustedPeer {
    /// Peers with an address in this block.
    Net(IpNet),
    /// Peers on Unix sockets.
    Unix,
}

impl Setting for TrustedPeer {
    const KIND: Kind = Kind::Special("an IP address, a CIDR block or unix:");

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        if text == "unix:" {
            return Ok(Self::Unix);
        }
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map(|net| Self::Net(net.trunc()))
            .map_err(|_| {
                Invalid::new(
                    format!("must be a comma separated list in the form of IPv4 or IPv6 address or CIDR block or 'unix:', got '{text}'"),
                    "write for example 10.0.0.0/8, ::1",
                )
            })
    }
}

/// `outside:inside`: the port that clients see for a port that is listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortMap {
    /// The port that clients connect to.
    pub outside: u16,
    /// The port that this node listens on.
    pub inside: u16,
}

impl Setting for PortMap {
    const KIND: Kind = Kind::Special("a pair of ports such as 443:8443");

    fn parse(text: &str, _: Context<'_>) -> Result<Self, Invalid> {
        let port = |text: &str| text.trim().parse().ok().filter(|port| *port > 0);
        text.split_once(':')
            .and_then(|(outside, inside)| {
                Some(Self {
                    outside: port(outside)?,
                    inside: port(inside)?,
                })
            })
            .ok_or_else(|| {
                Invalid::new(
                    format!("invalid port mapping (`port_maps`): {text}"),
                    "write OUTSIDE:INSIDE, for example 80:8000, 443:8443",
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_and_ports_are_split() {
        assert_eq!(host_and_port("cp.local:8005"), Some(("cp.local", 8005)));
        assert_eq!(host_and_port("[::1]:8005"), Some(("::1", 8005)));
        for bad in [
            "cp.local",
            ":8005",
            "::1:8005",
            "https://cp:1",
            "a b:1",
            "h:70000",
            "[x]:1",
        ] {
            assert_eq!(host_and_port(bad), None, "{bad}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn splitting_never_panics(text in "\\PC{0,24}") {
            let _ = host_and_port(&text);
        }
    }
}
