//! One request and its response on their way through the phases.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::{HeaderMap, Places};
use bytes::Bytes;
use http::{Method, StatusCode, Version};
use keelgate_entities::kinds::{Consumer, Protocol, Route, Service};
use keelgate_entities::normal_path;
use rustls::pki_types::CertificateDer;
use uuid::Uuid;

/// One request and its response. The proxy fills it; plugins read and change it.
pub struct Exchange<'r> {
    /// 32 hexadecimal digits, unique; `X-Kong-Request-Id`.
    pub request_id: String,
    /// Who asks.
    pub client: Client,
    /// Method; a plugin may change what is sent upstream.
    pub method: Method,
    /// HTTP version of the request.
    pub version: Version,
    /// `http`, `https`, `grpc` or `grpcs`, as the client reached us (trusted headers considered).
    pub protocol: Protocol,
    /// Host of the request without port, as received.
    pub host: String,
    /// Port of the listener or of a trusted `X-Forwarded-Port`.
    pub port: u16,
    /// Path as received, undecoded, without the query; what is decided by a path is decided by its normal form,
    /// [`Exchange::path`].
    pub raw_path: String,
    /// Query without the question mark; a plugin may change what is sent upstream.
    pub query: Option<String>,
    /// Request headers; a plugin may change what is sent upstream.
    pub headers: HeaderMap,
    /// The whole request body, where a plugin of the chain asked for it
    /// ([`crate::Phases::request_body`]); a plugin may change it.
    pub request_body: Option<Bytes>,
    /// Where the request will go.
    pub upstream: Upstream,
    /// The matched route; none when nothing matched.
    pub route: Option<&'r Route>,
    /// The matched route's service.
    pub service: Option<&'r Service>,
    /// Where logs find the two written out.
    pub written: Places<'r>,
    /// Captures of the route's regular expression: named and numbered (`"1"`, …).
    pub captures: Vec<(String, String)>,
    /// The authenticated consumer.
    pub consumer: Option<&'r Consumer>,
    /// The credential that authenticated, if one did.
    pub credential: Option<Credential>,
    /// The response; meaningful from `header_filter` on.
    pub response: ResponseHead,
    /// The fields after the response's body; there with the last piece of it, in `body_filter`.
    pub trailers: Option<Box<http::HeaderMap>>,
    /// Values that plugins hand to later plugins (`kong.ctx.shared`).
    pub shared: Vec<(String, String)>,
    /// Values that one plugin keeps between its own phases, by plugin name.
    pub kept: Vec<(&'static str, Box<dyn std::any::Any + Send>)>,
    /// Measured times.
    pub times: Times,
    /// What logs tell beside all this; meaningful in `log`.
    pub outcome: Outcome,
}

impl Exchange<'_> {
    /// The path in its normal form, without the query: escapes of harmless characters undone, `.`, `..` and empty
    /// segments resolved. Whoever decides by a path must not be led past by another spelling of it.
    pub fn path(&self) -> Cow<'_, str> {
        normal_path(&self.raw_path)
    }

    /// When the response had come to its end; meaningful in `log`.
    pub fn ended_at(&self) -> SystemTime {
        self.times.received_at + self.outcome.took
    }

    /// Keeps a value of a plugin for its later phases.
    pub fn keep<T: std::any::Any + Send>(&mut self, plugin: &'static str, value: T) {
        self.kept.push((plugin, Box::new(value)));
    }

    /// What a plugin kept in an earlier phase.
    pub fn kept_by<T: std::any::Any>(&self, plugin: &str) -> Option<&T> {
        let mut kept = self.kept.iter().filter(|(name, _)| *name == plugin);
        kept.find_map(|(_, value)| value.downcast_ref())
    }

    /// What a plugin kept in an earlier phase, to be changed.
    pub fn kept_by_mut<T: std::any::Any>(&mut self, plugin: &str) -> Option<&mut T> {
        let mut kept = self.kept.iter_mut().filter(|(name, _)| *name == plugin);
        kept.find_map(|(_, value)| value.downcast_mut())
    }

    /// Takes back what a plugin kept in an earlier phase.
    pub fn take_back<T: std::any::Any>(&mut self, plugin: &str) -> Option<T> {
        let is_kept = |(name, value): &(&'static str, Box<dyn std::any::Any + Send>)| {
            *name == plugin && value.is::<T>()
        };
        let at = self.kept.iter().position(is_kept)?;
        let (_, value) = self.kept.swap_remove(at);
        value.downcast::<T>().ok().map(|value| *value)
    }
}

/// The client of a request.
#[derive(Clone, Debug)]
pub struct Client {
    /// Address of the connection's peer.
    pub peer: SocketAddr,
    /// Address of the client after trusted proxies were resolved; equal to the peer's otherwise.
    pub ip: IpAddr,
    /// Local address of the connection.
    pub local: SocketAddr,
    /// TLS server name, if the client sent one.
    pub sni: Option<String>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// How it is encrypted, where that is known.
    pub session: Option<TlsSession>,
    /// What the client has shown, and the node has verified.
    pub certificate: Option<Arc<ClientCertificate>>,
}

/// The certificate of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate itself, and those that the client has sent with it, in its order.
    pub chain: Vec<CertificateDer<'static>>,
    /// Whom it is for, as RFC 2253 writes names: `CN=client,O=Example`.
    pub subject: String,
    /// Who has signed it, in the same form.
    pub issuer: String,
    /// Its serial number, in hexadecimal digits.
    pub serial: String,
}

/// How a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsSession {
    /// The version of TLS, such as `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, by the name that OpenSSL has for it.
    pub cipher: &'static str,
}

/// What will be sent upstream, and where to.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Protocol towards the upstream.
    pub protocol: Protocol,
    /// Host name, address or upstream name to connect to.
    pub host: String,
    /// Port to connect to.
    pub port: u16,
    /// Path, without the query.
    pub path: String,
    /// `Host` header to send; none means the one that fits the target.
    pub host_header: Option<String>,
}

/// Status and headers of the response.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// Status; a plugin may change it in `header_filter`.
    pub status: StatusCode,
    /// Headers; a plugin may change them in `header_filter`.
    pub headers: HeaderMap,
    /// Who made the response.
    pub made_by: MadeBy,
}

/// Who made a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MadeBy {
    /// The upstream.
    Upstream,
    /// A plugin ended the request.
    Plugin,
    /// The upstream, earlier: a plugin kept its response.
    Cache,
    /// A function that a plugin called in place of the upstream.
    Function,
    /// The gateway, because something failed.
    Gateway,
}

/// The credential that authenticated a request.
#[derive(Clone, Copy, Debug)]
pub struct Credential {
    /// Its id.
    pub id: Uuid,
}

/// What became of a request.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The request's target as it was received: path and query.
    pub target: String,
    /// Bytes of body that the client has said it sends.
    pub received: u64,
    /// Bytes of body that the client was sent.
    pub sent: u64,
    /// The status that the upstream answered, or that its failure stands for.
    pub upstream_status: Option<u16>,
    /// The connections to upstreams that the request went out on, or was to.
    pub tries: Vec<Try>,
    /// Time until the upstream was called.
    pub before_upstream: Option<Duration>,
    /// Time from the request's head until the end of the response.
    pub took: Duration,
}

/// An attempt to call an upstream.
#[derive(Clone, Copy, Debug)]
pub struct Try {
    /// Who was called.
    pub address: SocketAddr,
    /// When.
    pub at: SystemTime,
    /// How long it took to choose the address.
    pub chosen_in: Duration,
    /// The status that the client would have been answered, had no other attempt followed; none
    /// for an attempt that gave a response.
    pub failed: Option<u16>,
}

/// Measured times of a request.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// When the request's head had been read, by the wall clock.
    pub received_at: SystemTime,
    /// The same by the monotonic clock.
    pub started: Instant,
    /// Time spent waiting for the upstream's response head.
    pub upstream: Option<Duration>,
}
