//! How requests are proxied.

use crate::section::section;
use crate::values::{
    Connections, ErrorType, HeaderBuffers, HeaderToken, IoEngine, NginxTime, OnOff, RouterFlavor,
    Seconds, Size, TrustedPeer,
};

section! {
    /// How requests are proxied.
    pub struct Proxy in "PROXY" {
        /// How connections of clients and upstreams are read and written: `epoll`, each
        /// by its own system calls; `io_uring`, all of a worker together, for which the
        /// kernel must be Linux 6.1 or later and allow it; `auto`, io_uring where it is
        /// allowed, else epoll.
        proxy_io_engine: IoEngine = "epoll" for Proxying;
        /// The language of routes.
        router_flavor: RouterFlavor = "traditional_compatible" for Every;
        /// Peers whose X-Forwarded-* headers are believed: addresses, CIDR blocks,
        /// `unix:`. All others are taken for the client itself.
        trusted_ips: Vec<TrustedPeer> = "" for Proxying;
        /// The header in which a trusted peer names the client, or `proxy_protocol`.
        real_ip_header: String = "X-Real-IP" for Proxying;
        /// Whether, of several addresses in that header, the last that is not trusted
        /// is the client's, instead of the very last.
        real_ip_recursive: OnOff = "off" for Proxying;
        /// Headers that the gateway adds to its answers: `server_tokens` (Server,
        /// Via), `latency_tokens` (X-Kong-Proxy-Latency and the like),
        /// `X-Kong-Upstream-Status`, `X-Kong-Request-Id`, single ones by name, or `off`.
        headers: Vec<HeaderToken> = "server_tokens, latency_tokens, x-kong-request-id" for Every;
        /// Headers that the gateway adds to requests for upstreams:
        /// `x-kong-request-id` or `off`.
        headers_upstream: Vec<HeaderToken> = "x-kong-request-id" for Proxying;
        /// Whether a request with Kong-Debug: 1 is told which route and service it hit.
        allow_debug_header: bool = "off" for Proxying;
        /// The media type of the gateway's own errors when the client accepts any.
        error_default_type: ErrorType = "text/plain" for Proxying;
        /// Path of a template for HTML errors; `%s` stands for the message, a second
        /// one for the request's id.
        error_template_html: Option<std::path::PathBuf> = "" for Proxying;
        /// The same for JSON errors.
        error_template_json: Option<std::path::PathBuf> = "" for Proxying;
        /// The same for XML errors.
        error_template_xml: Option<std::path::PathBuf> = "" for Proxying;
        /// The same for plain-text errors.
        error_template_plain: Option<std::path::PathBuf> = "" for Proxying;
        /// How many idle connections to each upstream address are kept; 0 keeps none.
        upstream_keepalive_pool_size: u32 = "512" for Proxying;
        /// How many requests one connection to an upstream may carry; 0 for no limit.
        upstream_keepalive_max_requests: u32 = "10000" for Proxying;
        /// Seconds after which an idle connection to an upstream is closed; 0 never.
        upstream_keepalive_idle_timeout: Seconds = "60" for Proxying;
        /// The most bytes a request body may have; 0 for no limit.
        nginx_http_client_max_body_size: Size = "0" for Proxying;
        /// How many connections of clients each worker serves at once. When it serves as
        /// many, further ones wait in the queue of the listener (`backlog`) until one
        /// ends; that is counted. `auto`: 16384.
        nginx_events_worker_connections: Connections = "auto" for Proxying;
        /// How many requests one connection of a client may carry.
        nginx_http_keepalive_requests: u32 = "10000" for Proxying;
        /// How long an idle connection of a client is kept.
        nginx_http_keepalive_timeout: NginxTime = "75s" for Proxying;
        /// How long a client may take to send the head of a request.
        nginx_http_client_header_timeout: NginxTime = "60s" for Proxying;
        /// How long a client may pause while it sends a request body.
        nginx_http_client_body_timeout: NginxTime = "60s" for Proxying;
        /// How long a client may pause while it takes an answer.
        nginx_http_send_timeout: NginxTime = "60s" for Proxying;
        /// How large the head of a request may be: a number of buffers and the size
        /// of each, which no single header line exceeds.
        nginx_http_large_client_header_buffers: HeaderBuffers = "4 8k" for Proxying;
        /// Time for what comes before the bytes of a stream's session: a PROXY protocol
        /// header, the beginning of TLS.
        nginx_stream_preread_timeout: NginxTime = "30s" for Proxying;
        /// The longest beginning of TLS that a stream's session may have.
        nginx_stream_preread_buffer_size: Size = "16k" for Proxying;
        /// Time for the rest of the TLS handshake of a stream's session.
        nginx_stream_ssl_handshake_timeout: NginxTime = "60s" for Proxying;
        /// How many headers of a request plugins see.
        lua_max_req_headers: u32 = "100" for Proxying,
            without_effect "all of them are seen; docs/limits.md says how many there may be";
        /// How many headers of an answer plugins see.
        lua_max_resp_headers: u32 = "100" for Proxying,
            without_effect "all of them are seen; docs/limits.md says how many there may be";
        /// How many query arguments plugins see.
        lua_max_uri_args: u32 = "100" for Proxying,
            without_effect "all of them are seen; docs/limits.md says how many there may be";
        /// How many form fields plugins see.
        lua_max_post_args: u32 = "100" for Proxying,
            without_effect "all of them are seen; docs/limits.md says how many there may be";
        /// Whether requests may ask for a report of where their time went.
        request_debug: bool = "on" for Proxying;
        /// The token that such requests from elsewhere than this machine must carry.
        request_debug_token: Option<crate::values::Secret> = "" for Proxying;
    }
}

/// Which headers the gateway adds to its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResponseHeaders {
    /// `Server`, on answers that the gateway makes itself.
    pub server: bool,
    /// `Via`, on proxied answers.
    pub via: bool,
    /// `X-Kong-Proxy-Latency`.
    pub proxy_latency: bool,
    /// `X-Kong-Response-Latency`.
    pub response_latency: bool,
    /// `X-Kong-Admin-Latency`.
    pub admin_latency: bool,
    /// `X-Kong-Upstream-Latency`.
    pub upstream_latency: bool,
    /// `X-Kong-Upstream-Status`.
    pub upstream_status: bool,
    /// `X-Kong-Request-Id`.
    pub request_id: bool,
}

impl Proxy {
    /// What the `headers` setting asks for.
    #[must_use]
    pub fn response_headers(&self) -> ResponseHeaders {
        let mut on = ResponseHeaders::default();
        if self.headers.first() == Some(&HeaderToken::Off) {
            return on;
        }
        for token in &self.headers {
            match token {
                HeaderToken::Off => {}
                HeaderToken::ServerTokens => {
                    on.server = true;
                    on.via = true;
                }
                HeaderToken::LatencyTokens => {
                    on.proxy_latency = true;
                    on.response_latency = true;
                    on.admin_latency = true;
                    on.upstream_latency = true;
                }
                HeaderToken::Server => on.server = true,
                HeaderToken::Via => on.via = true,
                HeaderToken::ProxyLatency => on.proxy_latency = true,
                HeaderToken::ResponseLatency => on.response_latency = true,
                HeaderToken::AdminLatency => on.admin_latency = true,
                HeaderToken::UpstreamLatency => on.upstream_latency = true,
                HeaderToken::UpstreamStatus => on.upstream_status = true,
                HeaderToken::RequestId => on.request_id = true,
            }
        }
        on
    }

    /// Whether upstreams are told the request's id.
    #[must_use]
    pub fn upstream_request_id(&self) -> bool {
        self.headers_upstream.first() == Some(&HeaderToken::RequestId)
    }
}
