//! Other names of settings.

use crate::registry::find;

/// (name, canonical name, whether Kong deprecates it).
const ALIASES: [(&str, &str, bool); 25] = [
    ("nginx_main_daemon", "nginx_daemon", false),
    ("nginx_main_user", "nginx_user", false),
    (
        "nginx_main_worker_processes",
        "nginx_worker_processes",
        false,
    ),
    (
        "nginx_http_ssl_prefer_server_ciphers",
        "ssl_prefer_server_ciphers",
        false,
    ),
    ("nginx_http_ssl_protocols", "ssl_protocols", false),
    (
        "nginx_http_ssl_session_tickets",
        "ssl_session_tickets",
        false,
    ),
    (
        "nginx_http_ssl_session_timeout",
        "ssl_session_timeout",
        false,
    ),
    (
        "nginx_proxy_client_body_timeout",
        "nginx_http_client_body_timeout",
        false,
    ),
    (
        "nginx_proxy_client_header_timeout",
        "nginx_http_client_header_timeout",
        false,
    ),
    (
        "nginx_proxy_client_max_body_size",
        "nginx_http_client_max_body_size",
        false,
    ),
    (
        "nginx_proxy_keepalive_requests",
        "nginx_http_keepalive_requests",
        false,
    ),
    (
        "nginx_proxy_keepalive_timeout",
        "nginx_http_keepalive_timeout",
        false,
    ),
    (
        "nginx_proxy_large_client_header_buffers",
        "nginx_http_large_client_header_buffers",
        false,
    ),
    ("nginx_proxy_send_timeout", "nginx_http_send_timeout", false),
    (
        "nginx_sproxy_preread_buffer_size",
        "nginx_stream_preread_buffer_size",
        false,
    ),
    (
        "nginx_sproxy_preread_timeout",
        "nginx_stream_preread_timeout",
        false,
    ),
    (
        "nginx_sproxy_ssl_handshake_timeout",
        "nginx_stream_ssl_handshake_timeout",
        false,
    ),
    (
        "nginx_proxy_ssl_client_certificate",
        "nginx_http_ssl_client_certificate",
        false,
    ),
    (
        "nginx_proxy_ssl_verify_client",
        "nginx_http_ssl_verify_client",
        false,
    ),
    ("nginx_proxy_real_ip_header", "real_ip_header", false),
    ("nginx_proxy_real_ip_recursive", "real_ip_recursive", false),
    ("privileged_worker", "dedicated_config_processing", true),
    ("router_consistency", "worker_consistency", true),
    ("opentelemetry_tracing", "tracing_instrumentations", true),
    (
        "opentelemetry_tracing_sampling_rate",
        "tracing_sampling_rate",
        true,
    ),
];

/// The setting's own name for a key, and whether it is a setting at all.
pub(crate) fn canonical(key: &str) -> (&str, bool) {
    match ALIASES.iter().find(|(name, ..)| *name == key) {
        Some((_, canonical, _)) => (canonical, true),
        None => (key, find(key).is_some()),
    }
}

/// What to write instead of a name that Kong deprecates.
pub(crate) fn deprecated(key: &str) -> Option<&'static str> {
    let alias = ALIASES.iter().find(|(name, ..)| *name == key);
    alias.and_then(|(_, current, deprecated)| deprecated.then_some(*current))
}
