//! What is measured.

use std::sync::Arc;

use bytes::Bytes;

use crate::connection::Transport;
use crate::identity::Identity;
use crate::peers::{Kind, Peer};
use crate::policy::Policy;
use crate::request::Request;

/// Requests that are under way at once.
const SENDERS: usize = 64;

/// Streams at once on a connection of HTTP/2.
const STREAMS: usize = 8;

/// One row of the table, for each peer.
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// Whether the peers' port for TLS is used.
    pub(crate) tls: bool,
    pub(crate) transport: Transport,
    pub(crate) requests: Arc<[Request]>,
    pub(crate) senders: usize,
    /// Whether each request has a connection of its own.
    pub(crate) connect: bool,
    /// Requests per second while latency is measured: well below what two shared cores carry.
    pub(crate) rate: f64,
    pub(crate) policy: Policy,
}

impl Scenario {
    pub(crate) fn new(name: &str, requests: Vec<Request>, policy: Policy) -> Self {
        Self {
            name: name.to_owned(),
            tls: false,
            transport: Transport::Clear,
            requests: requests.into(),
            senders: SENDERS,
            connect: false,
            rate: 4_000.0,
            policy,
        }
    }

    fn over(mut self, transport: Transport) -> Self {
        self.tls = true;
        self.transport = transport;
        self
    }

    /// With a connection for every request.
    fn connecting(mut self) -> Self {
        self.connect = true;
        self.senders = 16;
        self.rate = 400.0;
        self
    }

    /// Whether a peer can do it. A relay tells nothing where more than one connection leads through
    /// it, or something is to be looked at.
    pub(crate) fn suits(&self, peer: &Peer) -> bool {
        match peer.kind {
            Kind::Gateway => true,
            Kind::Proxy => self.policy.plugins.is_empty(),
            Kind::Relay => {
                let looks = self.policy.routes > 1 || !self.policy.plugins.is_empty();
                !looks && !self.connect && !matches!(self.transport, Transport::Http2(..))
            }
        }
    }
}

/// Names of the scenarios that the goals are about.
pub(crate) const PLAIN: &str = "GET 1 KiB";
pub(crate) const TLS: &str = "GET 1 KiB, TLS 1.3";
pub(crate) const LIMITED_WITH_KEYS: &str = "Kong's: rate-limiting, key-auth; 1 route, TLS";

/// Everything that is measured.
pub(crate) fn all(identity: &Identity) -> anyhow::Result<Vec<Scenario>> {
    let one = || Policy::plain(1);
    let small = || one().requests();
    let tls = || Transport::Tls(identity.client(false));
    let mut all = vec![
        Scenario::new(PLAIN, small()?, one()),
        Scenario::new("GET 64 KiB", vec![Request::get("/65536", &[])?], one()),
        Scenario::new(
            "POST 4 KiB",
            vec![Request::post("/post", Bytes::from(vec![b'x'; 4096]))?],
            one(),
        ),
        Scenario::new(
            "GET 1 KiB, 100 routes",
            Policy::plain(100).requests()?,
            Policy::plain(100),
        ),
        Scenario::new(TLS, small()?, one()).over(tls()),
        Scenario::new("GET 1 KiB, HTTP/2", small()?, one())
            .over(Transport::Http2(identity.http2_client(), STREAMS)),
        Scenario::new("TLS 1.3 handshake and GET 1 KiB", small()?, one())
            .over(tls())
            .connecting(),
        Scenario::new("TLS 1.3 resumption and GET 1 KiB", small()?, one())
            .over(Transport::Tls(identity.client(true)))
            .connecting(),
    ];
    for (plugins, count) in [0, 1, 2, 3]
        .into_iter()
        .flat_map(|plugins| [(plugins, 1), (plugins, 100)])
    {
        let policy = Policy::plain(count);
        let (name, policy) = match plugins {
            0 => ("no plugin", policy),
            1 => ("rate-limiting", policy.with_rate_limiting()),
            2 => (
                "rate-limiting, key-auth",
                policy
                    .with_rate_limiting()
                    .with("key-auth", &serde_json::json!({}))
                    .for_consumers(count),
            ),
            _ => (
                "rate-limiting, basic-auth",
                policy
                    .with_rate_limiting()
                    .with("basic-auth", &serde_json::json!({}))
                    .for_consumers(count),
            ),
        };
        let routes = if count == 1 { "1 route" } else { "100 routes" };
        let name = format!("Kong's: {name}; {routes}, TLS");
        all.push(Scenario::new(&name, policy.requests()?, policy).over(tls()));
    }
    Ok(all)
}
