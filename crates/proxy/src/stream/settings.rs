//! What a node decides about its sessions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::counts::StreamCounts;
use super::log::StreamLog;

/// How clients come to a listener of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// TCP, in clear.
    Tcp,
    /// TLS over TCP; the route decides whether it ends here.
    Tls,
    /// UDP.
    Udp,
}

impl Transport {
    /// What logs call it: that below TLS.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp | Self::Tls => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// One address that sessions come to (an entry of `stream_listen`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamListen {
    /// Address; port 0 takes a free one.
    pub address: SocketAddr,
    /// How clients come.
    pub transport: Transport,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Longest queue of connections that wait to be accepted.
    pub backlog: u32,
}

impl StreamListen {
    /// A listener at `address`.
    pub fn new(address: SocketAddr, transport: Transport) -> Self {
        Self {
            address,
            transport,
            proxy_protocol: false,
            backlog: 16_384,
        }
    }
}

/// Limits on sessions.
#[derive(Clone, Debug)]
pub struct StreamLimits {
    /// Time for what comes before the session's own bytes: a PROXY protocol header, a ClientHello.
    pub preread: Duration,
    /// Longest start of a TLS session that is read to find its ClientHello, in bytes.
    pub hello: usize,
    /// Time for a TLS handshake after its ClientHello.
    pub handshake: Duration,
    /// Sessions over TCP at once per worker; further clients are turned away.
    pub sessions: usize,
    /// Sessions over UDP at once per worker; datagrams of further clients are lost.
    pub udp_sessions: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            preread: Duration::from_secs(30),
            hello: 16 * 1024,
            handshake: Duration::from_secs(60),
            sessions: 16_384,
            udp_sessions: 16_384,
        }
    }
}

/// Everything that a node decides about its sessions.
#[derive(Clone, Default)]
pub struct StreamSettings {
    /// Where clients connect.
    pub listen: Vec<StreamListen>,
    /// Limits on sessions.
    pub limits: StreamLimits,
    /// Told about every session; none for no log.
    pub log: Option<Arc<dyn StreamLog>>,
    /// Where sessions are counted. Proxies that follow one another share it.
    pub counts: Arc<StreamCounts>,
}
