//! What a plugin is to TCP, TLS and UDP sessions.

use std::time::{Duration, SystemTime};

use keelgate_entities::kinds::{Protocol, Route, Service};

use crate::exchange::{Client, Try};

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

/// A session that had a route and has come to its end.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'r> {
    /// Who connected.
    pub client: &'r Client,
    /// The route that matched.
    pub route: &'r Route,
    /// The route's service.
    pub service: Option<&'r Service>,
    /// 200 for a session that was proxied; otherwise why it was not, in the words of HTTP.
    pub status: u16,
    /// What went between the client and the gateway, without any encryption.
    pub with_client: Traffic,
    /// What went between the gateway and the upstream, without any encryption.
    pub with_upstream: Traffic,
    /// The connections to upstreams that the session went out on, or was to.
    pub tries: &'r [Try],
    /// When it began.
    pub began_at: SystemTime,
    /// Time until an upstream was chosen.
    pub before_upstream: Option<Duration>,
    /// How long it lasted.
    pub took: Duration,
}

impl Ended<'_> {
    /// When it ended.
    pub fn ended_at(&self) -> SystemTime {
        self.began_at + self.took
    }
}

/// Bytes that the gateway has exchanged with a side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From that side.
    pub received: u64,
    /// To that side.
    pub sent: u64,
}

/// The part of a plugin that sees sessions.
pub trait StreamPlugin: Send + Sync {
    /// After routing, before the upstream is connected.
    ///
    /// # Errors
    /// When the session must end here.
    fn preread(&self, _session: &Session<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    /// Whether it is told of sessions that have ended.
    fn logs(&self) -> bool {
        false
    }

    /// After a session, on the core that served it. Must not block.
    fn log(&self, _ended: &Ended<'_>) {}
}
