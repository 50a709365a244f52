//! What a target's name stands for.

use std::net::IpAddr;
use std::sync::Arc;

/// What is known of a target's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Nobody has answered yet.
    Pending,
    /// Where it is found.
    Found {
        /// The kind of record.
        record: Record,
        /// At least one.
        endpoints: Arc<[Endpoint]>,
    },
    /// It has no address, and why.
    Failed(Arc<str>),
}

/// A kind of DNS record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// An IPv4 address.
    A,
    /// An IPv6 address.
    Aaaa,
    /// Name, port, priority and weight of a server.
    Srv,
}

/// One place where a target is found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Its address.
    pub ip: IpAddr,
    /// Its port, where the record has one.
    pub port: Option<u16>,
    /// Its share of the load, where the record has one; never 0.
    pub weight: Option<u32>,
    /// The name in the SRV record.
    pub name: Option<Arc<str>>,
}

impl Record {
    /// The name in DNS.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Srv => "SRV",
        }
    }
}

impl Resolution {
    /// That of an address, which stands for itself.
    pub(crate) fn of_address(ip: IpAddr) -> Self {
        Self::Found {
            record: if ip.is_ipv4() {
                Record::A
            } else {
                Record::Aaaa
            },
            endpoints: Arc::new([Endpoint {
                ip,
                port: None,
                weight: None,
                name: None,
            }]),
        }
    }

    /// Where the target is found; nowhere while that is not known.
    pub fn endpoints(&self) -> &[Endpoint] {
        match self {
            Self::Found { endpoints, .. } => endpoints,
            Self::Pending | Self::Failed(_) => &[],
        }
    }
}
