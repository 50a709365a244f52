//! The addresses that a session's service is tried at.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use keelgate_balancer::{HashSource, Open, Outcome};
use keelgate_runtime::{Origin, Runtime, ServiceEntry};

use keelgate_socket::Engine;

use super::refusal::Refusal;
use crate::core::Core;
use crate::upstream::{Fault, Turn, Turns};

/// The addresses that a session's service is tried at, one after the other.
pub(super) struct Peers<'r> {
    core: &'r Core,
    entry: &'r ServiceEntry,
    turns: Option<Turns<'r>>,
    client: IpAddr,
}

/// An address for one attempt.
pub(super) struct Peer<'r> {
    pub(super) address: SocketAddr,
    /// The service's.
    host: &'r str,
    turn: Option<Turn<'r>>,
}

impl<'r> Peers<'r> {
    pub(super) fn new(
        core: &'r Core,
        runtime: &'r Runtime,
        entry: &'r ServiceEntry,
        client: IpAddr,
    ) -> Self {
        Self {
            core,
            turns: Turns::of(runtime, entry.origin),
            entry,
            client,
        }
    }

    /// How connections are read and written.
    pub(super) fn engine(&self) -> &'r Engine {
        &self.core.engine
    }

    /// The address for the next attempt.
    pub(super) async fn next(&mut self) -> Result<Peer<'r>, Refusal> {
        let service = &self.entry.service;
        let mut turn = None;
        let address = match (&mut self.turns, self.entry.origin) {
            (Some(turns), _) => {
                let hash = turns.hash(&Asked(self.client)).map(|hashed| hashed.hash);
                let next = turns.next(hash).await.ok_or(Refusal::NoPeer)?;
                turn.insert(next).address
            }
            (None, Origin::Address(ip)) => SocketAddr::new(ip, service.port),
            (None, _) => {
                let resolved = self.core.resolver.resolve(&service.host, service.port);
                resolved
                    .await
                    .map_err(|error| Refusal::NotResolved(error.to_string()))?
            }
        };
        Ok(Peer {
            address,
            host: &service.host,
            turn,
        })
    }
}

impl Peer<'_> {
    /// What TLS calls the server.
    pub(super) fn name(&self) -> Cow<'_, str> {
        match &self.turn {
            None => Cow::Borrowed(self.host),
            Some(turn) => match turn.name() {
                Some(name) => Cow::Borrowed(name),
                None => Cow::Owned(self.address.ip().to_string()),
            },
        }
    }

    /// The peer did not take the session.
    pub(super) fn failed(&self, fault: &Fault) {
        let outcome = match fault {
            Fault::ConnectTimeout | Fault::Timeout => Outcome::Timeout,
            // The configuration is to blame.
            Fault::Unusable => return,
            _ => Outcome::TcpFailure,
        };
        if let Some(turn) = &self.turn {
            turn.report(outcome);
        }
    }

    /// The peer took the session after `latency`.
    pub(super) fn took(&self, latency: Duration) {
        if let Some(turn) = &self.turn {
            turn.answered(Outcome::Connected, latency);
        }
    }

    /// What counts the session as open at its peer.
    pub(super) fn into_open(self) -> Option<Open> {
        self.turn.and_then(Turn::into_open)
    }
}

/// What consistent hashing may ask about a session: its client's address, and nothing else.
struct Asked(IpAddr);

impl HashSource for Asked {
    fn consumer(&self) -> Option<Cow<'_, str>> {
        None
    }

    fn ip(&self) -> Option<Cow<'_, str>> {
        Some(self.0.to_string().into())
    }

    fn header(&self, _name: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn cookie(&self, _name: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn path(&self) -> Option<Cow<'_, str>> {
        None
    }

    fn query_arg(&self, _name: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn uri_capture(&self, _name: &str) -> Option<Cow<'_, str>> {
        None
    }
}
