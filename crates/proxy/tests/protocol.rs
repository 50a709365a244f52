//! The proxy over real sockets, between a scripted client and a scripted upstream.
#![allow(clippy::unwrap_used)]

#[path = "protocol/cases.rs"]
mod cases;
#[path = "protocol/frames.rs"]
mod frames;
#[path = "protocol/strict.rs"]
mod strict;
#[path = "protocol/support.rs"]
mod support;

#[path = "protocol/aborts.rs"]
mod aborts;
#[path = "protocol/access_log.rs"]
mod access_log;
#[path = "protocol/added_headers.rs"]
mod added_headers;
#[path = "protocol/ambiguity.rs"]
mod ambiguity;
#[path = "protocol/balancing.rs"]
mod balancing;
#[path = "protocol/bodies.rs"]
mod bodies;
#[path = "protocol/certificates.rs"]
mod certificates;
#[path = "protocol/errors.rs"]
mod errors;
#[path = "protocol/forwarding.rs"]
mod forwarding;
#[path = "protocol/framing.rs"]
mod framing;
#[path = "protocol/grpc_web.rs"]
mod grpc_web;
#[path = "protocol/hashing.rs"]
mod hashing;
#[path = "protocol/http2.rs"]
mod http2;
#[path = "protocol/http2_head.rs"]
mod http2_head;
#[path = "protocol/http2_upstream.rs"]
mod http2_upstream;
#[path = "protocol/http2_windows.rs"]
mod http2_windows;
#[path = "protocol/injection.rs"]
mod injection;
#[path = "protocol/keepalive.rs"]
mod keepalive;
#[path = "protocol/lifecycle.rs"]
mod lifecycle;
#[path = "protocol/limits.rs"]
mod limits;
#[path = "protocol/name_server.rs"]
mod name_server;
#[path = "protocol/names.rs"]
mod names;
#[path = "protocol/plain.rs"]
mod plain;
#[path = "protocol/plugins.rs"]
mod plugins;
#[path = "protocol/probes.rs"]
mod probes;
#[path = "protocol/proxied.rs"]
mod proxied;
#[path = "protocol/read_ahead.rs"]
mod read_ahead;
#[path = "protocol/retries.rs"]
mod retries;
#[path = "protocol/stream.rs"]
mod stream;
#[path = "protocol/stream_balancing.rs"]
mod stream_balancing;
#[path = "protocol/stream_logs.rs"]
mod stream_logs;
#[path = "protocol/stream_tls.rs"]
mod stream_tls;
#[path = "protocol/stream_udp.rs"]
mod stream_udp;
#[path = "protocol/timeouts.rs"]
mod timeouts;
#[path = "protocol/tls.rs"]
mod tls;
#[path = "protocol/upstream_tls.rs"]
mod upstream_tls;
#[path = "protocol/websocket.rs"]
mod websocket;
