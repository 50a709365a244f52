//! What a client tells, and what it is told.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use keelgate_snapshot::{EMPTY_CONFIG_HASH, Identity};

use crate::Rejection;

/// Something that happened between this data plane and its control planes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An attempt begins.
    Dialing {
        /// The control plane.
        address: String,
    },
    /// An attempt ended before there was a connection.
    DialFailed {
        /// The control plane.
        address: String,
        /// How far it came.
        phase: Phase,
        /// Why it ended.
        error: String,
        /// How long the control plane asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// The upgrade is done; nothing was received yet.
    Connected {
        /// The control plane.
        address: String,
    },
    /// The connection stands, and no document came within the time for it. The connection is
    /// kept: a document may still come.
    Stalled {
        /// The control plane.
        address: String,
        /// The time that passed since the upgrade.
        after: Duration,
    },
    /// A snapshot document, decompressed and not verified.
    Document(Bytes),
    /// How to come from the last snapshot of this connection to the next, not verified.
    Delta(Bytes),
    /// The connection ended; another attempt follows.
    Disconnected {
        /// The control plane.
        address: String,
        /// Why it ended.
        reason: String,
    },
}

/// How far an attempt came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Finding the addresses of the host.
    Resolve,
    /// Connecting by TCP.
    Connect,
    /// The TLS handshake, with the certificates of both ends.
    Tls,
    /// The upgrade to a websocket.
    Upgrade,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Upgrade => "upgrade",
        })
    }
}

/// What this node runs, for the control plane to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Kong's hash of the running configuration, as its document says.
    pub config_hash: String,
    /// Identity of the running snapshot.
    pub identity: Option<Identity>,
    /// Where it came from.
    pub source: Option<String>,
    /// The last document that was refused. A control plane of this software is told once.
    pub rejection: Option<Rejection>,
    /// Counts how often the whole configuration was wanted, because a delta could not be used. A
    /// control plane of this software sends it when this grows.
    pub wanted: u64,
}

impl Default for Applied {
    /// Nothing is running.
    fn default() -> Self {
        Self {
            config_hash: EMPTY_CONFIG_HASH.to_owned(),
            identity: None,
            source: None,
            rejection: None,
            wanted: 0,
        }
    }
}
