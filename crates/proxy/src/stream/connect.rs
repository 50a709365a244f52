//! The connection to a session's service.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use keelgate_balancer::Open;
use keelgate_runtime::{ServiceEntry, UpstreamTls};
use keelgate_socket::Engine;

use super::account::Account;
use super::peers::{Peer, Peers};
use super::refusal::Refusal;
use crate::net::Stream;
use crate::upstream::{self, Fault};

/// A connection to a session's service.
pub(super) struct Connected {
    pub(super) stream: Stream,
    /// Counts the session as open at its peer.
    _open: Option<Open>,
}

/// How the service is spoken to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner<'a> {
    /// The client's bytes are TLS already and go on as they are.
    pub(super) as_is: bool,
    /// What TLS calls the server, if that is not the service's own name.
    pub(super) name: Option<&'a str>,
}

/// Connects to one address after the other, as often as the service allows.
pub(super) async fn connect<'r>(
    entry: &'r ServiceEntry,
    peers: &mut Peers<'r>,
    manner: Manner<'_>,
    account: &Account,
) -> Result<Connected, Refusal> {
    let limit = Duration::from_millis(entry.service.connect_timeout);
    let mut left = entry.service.retries;
    loop {
        let choosing = Instant::now();
        let peer = peers.next().await?;
        account.try_at(peer.address, choosing);
        let began = Instant::now();
        let opened = tokio::time::timeout(limit, open(peers.engine(), entry, &peer, manner));
        let fault = match opened.await.unwrap_or(Err(Fault::ConnectTimeout)) {
            Ok(stream) => {
                peer.took(began.elapsed());
                return Ok(Connected {
                    stream,
                    _open: peer.into_open(),
                });
            }
            Err(fault) => fault,
        };
        peer.failed(&fault);
        let may_be_retried = left > 0 && fault.may_be_retried();
        let address = peer.address;
        let refusal = Refusal::Unreachable { address, fault };
        account.try_failed(refusal.status());
        if !may_be_retried {
            return Err(refusal);
        }
        left -= 1;
        tracing::debug!(%refusal, "trying the next address");
    }
}

async fn open(
    engine: &Engine,
    entry: &ServiceEntry,
    peer: &Peer<'_>,
    manner: Manner<'_>,
) -> Result<Stream, Fault> {
    let name = manner.name.map_or_else(|| peer.name(), Cow::Borrowed);
    let tls = match &entry.tls {
        UpstreamTls::Clear => None,
        UpstreamTls::Profile(_) | UpstreamTls::Unusable if manner.as_is => None,
        UpstreamTls::Profile(profile) => Some((profile, &*name)),
        UpstreamTls::Unusable => return Err(Fault::Unusable),
    };
    let peer = upstream::Peer {
        address: peer.address,
        tls,
        http2: false,
    };
    peer.open(engine).await
}
