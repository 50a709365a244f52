//! The route of a session, and whether its plugins let it pass.

use std::net::SocketAddr;

use keelgate_entities::kinds::Protocol;
use keelgate_plugins::exchange::Client;
use keelgate_plugins::stream::Session;
use keelgate_router::StreamFacts;
use keelgate_runtime::{Routed, Runtime, ServiceEntry};

use super::refusal::Refusal;

/// What a session is before it is routed.
#[derive(Debug)]
pub(super) struct Visitor {
    /// `tcp`, `tls` or `udp`.
    pub(super) protocol: Protocol,
    /// The peer, or the client that a trusted peer speaks for.
    pub(super) source: SocketAddr,
    /// The connection's peer.
    pub(super) peer: SocketAddr,
    /// The local address that was reached.
    pub(super) local: SocketAddr,
    /// TLS server name in lower case.
    pub(super) name: Option<String>,
}

impl Visitor {
    /// The route that the visitor comes by.
    pub(super) fn route<'r>(&self, runtime: &'r Runtime) -> Result<Routed<'r>, Refusal> {
        let facts = StreamFacts {
            protocol: self.protocol,
            sni: self.name.as_deref(),
            source: self.source,
            destination: self.local,
        };
        let found = runtime.stream_router().find(&facts);
        found
            .and_then(|index| runtime.routed(index))
            .ok_or(Refusal::NoRoute)
    }

    /// As plugins know the visitor.
    pub(super) fn client(&self) -> Client {
        Client {
            peer: self.peer,
            ip: self.source.ip(),
            local: self.local,
            sni: self.name.clone(),
            tls: self.protocol == Protocol::Tls,
            session: None,
            certificate: None,
        }
    }

    /// Whether the route's plugins let the visitor pass, and to which service.
    pub(super) fn pass<'r>(&self, routed: &Routed<'r>) -> Result<&'r ServiceEntry, Refusal> {
        if routed.closed {
            return Err(Refusal::Closed);
        }
        let client = self.client();
        let session = Session {
            client: &client,
            protocol: self.protocol,
            route: routed.route,
            service: routed.service.map(|entry| &entry.service),
        };
        for link in routed.chain.links() {
            // Nobody authenticates on streams, so there is no consumer.
            if let Some(plugin) = link.resolve(None).and_then(|plugin| plugin.stream()) {
                plugin.preread(&session)?;
            }
        }
        routed.service.ok_or(Refusal::NoService)
    }
}

/// Whether the service ends TLS itself.
pub(super) fn passes_tls_through(routed: &Routed<'_>) -> bool {
    routed.route.protocols.contains(&Protocol::TlsPassthrough)
}
