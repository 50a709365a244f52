//! What a node decides about its proxy.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::HeaderName;
use ipnet::IpNet;
pub use keelgate_balancer::Record as DnsRecord;
use rustls::server::ProducesTickets;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use crate::access_log::AccessLog;
use crate::counts::Counts;
use crate::error_page::ErrorTemplates;
use crate::stream::StreamSettings;

/// One address that clients connect to (an entry of `proxy_listen`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address; port 0 takes a free one.
    pub address: SocketAddr,
    /// Whether clients speak TLS.
    pub tls: bool,
    /// Whether clients may speak HTTP/2 (over TLS by ALPN; in clear with prior knowledge).
    pub http2: bool,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Longest queue of connections that wait to be accepted.
    pub backlog: u32,
}

impl Listen {
    /// HTTP in clear at `address`.
    pub fn http(address: SocketAddr) -> Self {
        Self {
            address,
            tls: false,
            http2: false,
            proxy_protocol: false,
            backlog: 16_384,
        }
    }

    /// HTTP/1 and HTTP/2 over TLS at `address`.
    pub fn https(address: SocketAddr) -> Self {
        Self {
            tls: true,
            http2: true,
            ..Self::http(address)
        }
    }
}

/// A port that clients see in place of one that is listened on (an entry of `port_maps`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortMap {
    /// The port that clients connect to.
    pub outside: u16,
    /// The port that is listened on.
    pub inside: u16,
}

/// Who may ask where the time of a request went.
#[derive(Clone)]
pub struct RequestDebug {
    /// What clients that are not on this machine must know.
    pub token: String,
}

impl RequestDebug {
    pub(crate) fn is_token(&self, text: &[u8]) -> bool {
        verify_slices_are_equal(self.token.as_bytes(), text).is_ok()
    }
}

/// Which request header names the client when the connection comes from a trusted proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RealIp {
    /// A header; `X-Forwarded-For` style lists are read from the right.
    Header(HeaderName),
    /// The PROXY protocol header of the connection.
    ProxyProtocol,
}

/// Headers that the gateway adds (`headers`, `headers_upstream`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddedHeaders {
    /// `Server` on the gateway's own answers, and on those of upstreams that send none.
    pub server: bool,
    /// `Via` to the client.
    pub via: bool,
    /// `X-Kong-Proxy-Latency`.
    pub proxy_latency: bool,
    /// `X-Kong-Upstream-Latency`.
    pub upstream_latency: bool,
    /// `X-Kong-Response-Latency`.
    pub response_latency: bool,
    /// `X-Kong-Upstream-Status`.
    pub upstream_status: bool,
    /// `X-Kong-Request-Id` to the client.
    pub request_id: bool,
    /// `X-Kong-Request-Id` to the upstream.
    pub request_id_upstream: bool,
}

impl Default for AddedHeaders {
    fn default() -> Self {
        Self {
            server: true,
            via: true,
            proxy_latency: true,
            upstream_latency: true,
            response_latency: true,
            upstream_status: false,
            request_id: true,
            request_id_upstream: true,
        }
    }
}

/// How clients resume TLS sessions.
#[derive(Clone)]
pub enum Resumption {
    /// With tickets that hold the session, encrypted by this.
    Tickets(Arc<dyn ProducesTickets>),
    /// From memory: so many sessions are remembered.
    Memory(usize),
}

/// TLS towards clients.
#[derive(Clone)]
pub struct Tls {
    /// Versions that are spoken; empty for 1.2 and 1.3.
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// Cipher suites that are spoken, the most wanted first; empty for all safe ones.
    pub ciphers: Vec<SupportedCipherSuite>,
    /// Whether that order counts instead of the client's.
    pub own_order: bool,
    /// How sessions are resumed.
    pub resumption: Resumption,
    /// What clients of HTTP are asked for a certificate by; none to ask for none. Sessions of clients
    /// that are asked are not resumed: a ticket would outlive the trust in its certificate.
    pub client_verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Certificates for names that the configuration has none for, with keys of several types;
    /// empty for the one that the runtime was compiled with.
    pub certificates: Vec<Arc<CertifiedKey>>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            versions: Vec::new(),
            ciphers: Vec::new(),
            own_order: false,
            resumption: Resumption::Memory(256),
            client_verifier: None,
            certificates: Vec::new(),
        }
    }
}

/// Limits on clients.
#[derive(Clone, Debug)]
pub struct ClientLimits {
    /// Connections that one worker serves at once; 0 for no limit. Further ones wait in the queue
    /// of their listener.
    pub connections: u32,
    /// Longest line of a request head, in bytes.
    pub header_line: usize,
    /// Longest request head, in bytes.
    pub header_total: usize,
    /// Longest request body, in bytes (`client_max_body_size`); none for no limit.
    pub body: Option<u64>,
    /// Longest request body that is held in memory for a plugin, in bytes.
    pub held_body: u64,
    /// Time to receive a request head.
    pub header_timeout: Duration,
    /// Time between two reads of a request body.
    pub body_timeout: Duration,
    /// Time between two writes of a response.
    pub send_timeout: Duration,
    /// Time that an idle connection is kept.
    pub keepalive_timeout: Duration,
    /// Requests on one connection; the last one is answered with `Connection: close`.
    pub keepalive_requests: u32,
    /// Streams at once on one HTTP/2 connection.
    pub http2_streams: u32,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            header_line: 8 * 1024,
            header_total: 32 * 1024,
            body: None,
            held_body: 8 * 1024 * 1024,
            header_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(75),
            keepalive_requests: 10_000,
            http2_streams: 128,
        }
    }
}

/// Idle connections to upstreams.
#[derive(Clone, Debug)]
pub struct Keepalive {
    /// Idle connections per upstream address and core; 0 keeps none.
    pub pool_size: usize,
    /// Requests on one connection; 0 for no limit.
    pub max_requests: u32,
    /// Time that an idle connection is kept; zero for no limit.
    pub idle_timeout: Duration,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self {
            pool_size: 512,
            max_requests: 10_000,
            idle_timeout: Duration::from_secs(60),
        }
    }
}

/// Name resolution.
#[derive(Clone, Debug)]
pub struct Dns {
    /// Servers to ask; none means those of the system (`dns_resolver`).
    pub servers: Vec<SocketAddr>,
    /// The file of fixed names (`dns_hostsfile`).
    pub hosts_file: PathBuf,
    /// The kinds of record that are asked for, until one is found (`dns_order`).
    pub order: Vec<DnsRecord>,
    /// Whether the kind that was found last is asked for before the others (`LAST` in `dns_order`).
    pub last_first: bool,
    /// How long an answer counts, whatever it says itself (`dns_valid_ttl`).
    pub valid_ttl: Option<Duration>,
    /// How long an answer that has run out serves while a new one is sought, or is not to be had
    /// (`dns_stale_ttl`).
    pub stale_ttl: Duration,
    /// How long it counts that there is no such name (`dns_not_found_ttl`).
    pub not_found_ttl: Duration,
    /// How long it takes until name servers that failed are asked again (`dns_error_ttl`).
    pub error_ttl: Duration,
    /// Names remembered at most (`dns_cache_size`).
    pub cache_size: usize,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            hosts_file: PathBuf::from("/etc/hosts"),
            order: vec![DnsRecord::Srv, DnsRecord::A],
            last_first: true,
            valid_ttl: None,
            stale_ttl: Duration::from_secs(3600),
            not_found_ttl: Duration::from_secs(30),
            error_ttl: Duration::from_secs(1),
            cache_size: 10_000,
        }
    }
}

/// How connections are read and written (`proxy_io_engine`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IoEngine {
    /// By io_uring where the kernel lets it be used, else by epoll.
    Auto,
    /// Each by its own system calls.
    #[default]
    Epoll,
    /// All of a worker together.
    IoUring,
}

/// Everything that a node decides about its proxy.
#[derive(Clone)]
pub struct Settings {
    /// Where clients connect.
    pub listen: Vec<Listen>,
    /// Ports that something before the gateway maps.
    pub port_maps: Vec<PortMap>,
    /// Worker threads; 0 for one per available core.
    pub workers: usize,
    /// How connections are read and written.
    pub io_engine: IoEngine,
    /// What the gateway calls itself in `Server` and `Via`.
    pub name: String,
    /// Networks whose forwarding headers are believed (`trusted_ips`).
    pub trusted_ips: Vec<IpNet>,
    /// `real_ip_header`.
    pub real_ip: RealIp,
    /// `real_ip_recursive`.
    pub real_ip_recursive: bool,
    /// `headers` and `headers_upstream`.
    pub headers: AddedHeaders,
    /// Whether a request with `Kong-Debug` is told its route and service.
    pub allow_debug_header: bool,
    /// Whether requests with `X-Kong-Request-Debug` are told where their time went, and which.
    pub request_debug: Option<RequestDebug>,
    /// Content type of error pages for clients that do not say what they accept.
    pub error_default_type: String,
    /// Pages in place of the usual ones.
    pub error_templates: ErrorTemplates,
    /// TLS towards clients.
    pub tls: Tls,
    /// Limits on clients.
    pub client: ClientLimits,
    /// Idle connections to upstreams.
    pub keepalive: Keepalive,
    /// Name resolution.
    pub dns: Dns,
    /// Told about every request; none for no access log.
    pub access_log: Option<Arc<dyn AccessLog>>,
    /// TCP, TLS and UDP sessions.
    pub stream: StreamSettings,
    /// Where connections and requests are counted. Proxies that follow one another share it.
    pub counts: Arc<Counts>,
}

impl Settings {
    /// An address of this machine as clients know it.
    pub(crate) fn seen_from_outside(&self, mut local: SocketAddr) -> SocketAddr {
        let map = self.port_maps.iter().find(|map| map.inside == local.port());
        if let Some(map) = map {
            local.set_port(map.outside);
        }
        local
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            port_maps: Vec::new(),
            workers: 0,
            io_engine: IoEngine::default(),
            name: concat!("keelgate/", env!("CARGO_PKG_VERSION")).to_owned(),
            trusted_ips: Vec::new(),
            real_ip: RealIp::Header(HeaderName::from_static("x-real-ip")),
            real_ip_recursive: false,
            headers: AddedHeaders::default(),
            allow_debug_header: false,
            request_debug: None,
            error_default_type: "text/plain".to_owned(),
            error_templates: ErrorTemplates::default(),
            tls: Tls::default(),
            client: ClientLimits::default(),
            keepalive: Keepalive::default(),
            dns: Dns::default(),
            access_log: None,
            stream: StreamSettings::default(),
            counts: Arc::default(),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("listen", &self.listen)
            .field("stream_listen", &self.stream.listen)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}
