//! Conditions on addresses.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use keelgate_entities::kinds::Endpoint;

/// An accepted source or destination.
#[derive(Debug)]
pub(crate) struct EndpointRule {
    addresses: Option<IpNet>,
    port: Option<u16>,
}

impl EndpointRule {
    /// `None` when the address is neither an IP address nor a CIDR block.
    pub(crate) fn compile(endpoint: &Endpoint) -> Option<Self> {
        let addresses = match &endpoint.ip {
            None => None,
            Some(text) => Some(match text.parse::<IpAddr>() {
                Ok(address) => IpNet::from(address),
                Err(_) => text.parse::<IpNet>().ok()?,
            }),
        };
        Some(Self {
            addresses,
            port: endpoint.port,
        })
    }

    pub(crate) fn accepts(&self, peer: SocketAddr) -> bool {
        self.port.is_none_or(|port| port == peer.port())
            && self
                .addresses
                .is_none_or(|addresses| addresses.contains(&peer.ip()))
    }
}

#[cfg(test)]
mod tests {
    use super::EndpointRule;
    use keelgate_entities::kinds::Endpoint;

    fn rule(ip: Option<&str>, port: Option<u16>) -> Option<EndpointRule> {
        EndpointRule::compile(&Endpoint {
            ip: ip.map(str::to_owned),
            port,
        })
    }

    #[test]
    fn address_block_and_port_must_hold() {
        let peer = "10.1.2.3:80".parse().unwrap();
        assert!(rule(Some("10.1.2.3"), None).unwrap().accepts(peer));
        assert!(rule(Some("10.9.9.9/8"), Some(80)).unwrap().accepts(peer));
        assert!(!rule(Some("10.0.0.0/8"), Some(81)).unwrap().accepts(peer));
        assert!(!rule(Some("::/0"), None).unwrap().accepts(peer));
        assert!(rule(None, Some(80)).unwrap().accepts(peer));
        assert!(rule(Some("ten"), None).is_none());
    }
}
