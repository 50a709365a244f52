//! Why a session ends before it began. The client is told nothing: its connection is closed.

use std::io;
use std::net::SocketAddr;

use keelgate_plugins::stream::Refusal as Refused;

use super::hello::HelloError;
use crate::upstream::Fault;

/// Why a session ends before it began.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The PROXY protocol header cannot be read.
    #[error("its PROXY protocol header cannot be read: {0}")]
    Header(io::Error),
    /// The ClientHello cannot be read.
    #[error("its ClientHello cannot be read: {0}")]
    Hello(#[from] HelloError),
    /// What must come first did not come in time.
    #[error("it did not say in time what it wants")]
    Silent,
    /// The TLS handshake with the client failed.
    #[error("the TLS handshake failed: {0}")]
    Handshake(io::Error),
    /// No route matches.
    #[error("no Route found with those values")]
    NoRoute,
    /// A plugin guards the route and cannot guard sessions.
    #[error("a plugin that guards the route cannot act on streams")]
    Closed,
    /// The route has no service that sessions can go to.
    #[error("no Service found with those values")]
    NoService,
    /// The service is to be called over TLS, which datagrams cannot be.
    #[error("the service speaks TLS, and the session is one of datagrams")]
    NotOverUdp,
    /// A plugin refuses.
    #[error("a plugin refuses it: {0}")]
    Plugin(#[from] Refused),
    /// The name of the service cannot be resolved.
    #[error("name resolution failed: {0}")]
    NotResolved(String),
    /// No target can be chosen.
    #[error("failure to get a peer from the ring-balancer")]
    NoPeer,
    /// The service cannot be reached.
    #[error("{address} cannot be reached: {fault}")]
    Unreachable { address: SocketAddr, fault: Fault },
    /// The worker has as many sessions as it may have.
    #[error("the worker has as many sessions as it may have")]
    Full,
}

impl Refusal {
    /// What the log is told.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Header(_) | Self::Hello(_) | Self::Silent | Self::Handshake(_) => 400,
            Self::NoRoute | Self::Closed => 500,
            Self::NoService | Self::NotResolved(_) | Self::NoPeer | Self::Full => 503,
            Self::Plugin(refused) => refused.status,
            Self::NotOverUdp | Self::Unreachable { .. } => 502,
        }
    }

    /// Whether the client alone is the cause: anybody can have such lines written, so they are not
    /// among those that an operator must see.
    pub(super) fn is_of_client(&self) -> bool {
        matches!(
            self,
            Self::Header(_) | Self::Hello(_) | Self::Silent | Self::Handshake(_) | Self::Plugin(_)
        )
    }
}
