//! The addresses that a session's service is tried at.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use keelgate_balancer::{Balancer, HashSource, Host, Open, Outcome, PeerIndex, Pick};
use keelgate_runtime::{Origin, Runtime, ServiceEntry, UpstreamEntry};
use smallvec::SmallVec;

use super::refusal::Refusal;
use crate::core::Core;
use crate::phases::balance::{FIRST_ANSWER, now};
use crate::upstream::Fault;

/// The addresses that a session's service is tried at, one after the other.
pub(super) struct Peers<'r> {
    core: &'r Core,
    entry: &'r ServiceEntry,
    upstream: Option<&'r UpstreamEntry>,
    balancer: Option<Arc<Balancer>>,
    client: IpAddr,
    tried: SmallVec<[PeerIndex; 4]>,
}

/// An address for one attempt.
pub(super) struct Peer<'r> {
    pub(super) address: SocketAddr,
    /// What TLS calls the server.
    pub(super) name: Cow<'r, str>,
    picked: Option<Picked>,
}

struct Picked {
    balancer: Arc<Balancer>,
    peer: PeerIndex,
    /// Counts the session as open while the peer is held.
    open: Option<Open>,
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
            upstream: match entry.origin {
                Origin::Upstream(index) => runtime.upstream(index).map(|entry| &**entry),
                _ => None,
            },
            entry,
            balancer: None,
            client,
            tried: SmallVec::new(),
        }
    }

    /// The address for the next attempt.
    pub(super) async fn next(&mut self) -> Result<Peer<'r>, Refusal> {
        if let Some(upstream) = self.upstream {
            return self.balanced(upstream).await;
        }
        let service = &self.entry.service;
        let address = match self.entry.origin {
            Origin::Address(ip) => SocketAddr::new(ip, service.port),
            _ => {
                let resolved = self.core.resolver.resolve(&service.host, service.port);
                resolved
                    .await
                    .map_err(|error| Refusal::NotResolved(error.to_string()))?
            }
        };
        Ok(Peer {
            address,
            name: Cow::Borrowed(&service.host),
            picked: None,
        })
    }

    async fn balanced(&mut self, upstream: &'r UpstreamEntry) -> Result<Peer<'r>, Refusal> {
        let mut balancer = self.balancer.take().unwrap_or_else(|| upstream.balancer());
        let peer = loop {
            let hashed = balancer.hash(&Asked(self.client), fastrand::u128(..));
            let picked = balancer.pick(&Pick {
                hash: hashed.map(|hashed| hashed.hash),
                tried: &self.tried,
                random: fastrand::u64(..),
                now: now(),
            });
            match picked {
                Some(picked) => break picked,
                None if !balancer.is_pending() => return Err(Refusal::NoPeer),
                None => {}
            }
            // The names of a new upstream are on their way.
            let later = upstream.balancer_after(&balancer);
            balancer = tokio::time::timeout(FIRST_ANSWER, later)
                .await
                .map_err(|_| Refusal::NoPeer)?;
            self.tried.clear();
        };
        self.tried.push(peer);
        let view = balancer
            .peer(peer)
            .expect("a balancer knows what it picked");
        let name = match (&upstream.upstream.host_header, view.name) {
            (Some(name), _) => Cow::Borrowed(name.as_str()),
            (None, Some(name)) => Cow::Owned(name.to_owned()),
            (None, None) => Cow::Owned(match &view.target_address.host {
                Host::Name(name) => name.to_string(),
                Host::Ip(ip) => ip.to_string(),
            }),
        };
        let address = view.address;
        self.balancer = Some(Arc::clone(&balancer));
        Ok(Peer {
            address,
            name,
            picked: Some(Picked {
                open: balancer.open(peer),
                balancer,
                peer,
            }),
        })
    }
}

impl Peer<'_> {
    /// The peer did not take the session.
    pub(super) fn failed(&self, fault: &Fault) {
        self.report(match fault {
            Fault::ConnectTimeout | Fault::Timeout => Outcome::Timeout,
            // The configuration is to blame.
            Fault::Unusable => return,
            _ => Outcome::TcpFailure,
        });
    }

    /// The peer took the session after `latency`.
    pub(super) fn took(&self, latency: Duration) {
        self.report(Outcome::Connected);
        if let Some(open) = self.picked.as_ref().and_then(|picked| picked.open.as_ref()) {
            open.answered(latency, now());
        }
    }

    /// What counts the session as open at its peer.
    pub(super) fn into_open(self) -> Option<Open> {
        self.picked.and_then(|picked| picked.open)
    }

    fn report(&self, outcome: Outcome) {
        if let Some(picked) = &self.picked
            && let Some(health) = picked.balancer.report(picked.peer, outcome)
        {
            tracing::warn!(
                address = %self.address,
                health = health.as_str(),
                ?outcome,
                "the health of a target has changed"
            );
        }
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
