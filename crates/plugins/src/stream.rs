//! What a plugin is to TCP, TLS and UDP sessions.

use keelgate_entities::kinds::{Protocol, Route, Service};

use crate::exchange::Client;

/// A session that has been routed and not yet connected to its upstream.
#[derive(Clone, Copy, Debug)]
pub struct Session<'r> {
    /// Who connects.
    pub client: &'r Client,
    /// How the client came: `tcp`, `tls` or `udp`.
    pub protocol: Protocol,
    /// The matched route.
    pub route: &'r Route,
    /// The route's service.
    pub service: Option<&'r Service>,
}

/// A session that a plugin does not let through. The client is told nothing; the log is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("refused with status {status}: {message}")]
pub struct Refusal {
    /// Status, as logs know it.
    pub status: u16,
    /// Why.
    pub message: String,
}

/// The part of a plugin that sees sessions.
pub trait StreamPlugin: Send + Sync {
    /// After routing, before the upstream is connected.
    ///
    /// # Errors
    /// When the session must end here.
    fn preread(&self, session: &Session<'_>) -> Result<(), Refusal>;
}
