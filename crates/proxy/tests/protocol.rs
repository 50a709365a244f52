//! The proxy over real sockets, between a scripted client and a scripted upstream.
#![allow(clippy::unwrap_used)]

#[path = "protocol/support.rs"]
mod support;

#[path = "protocol/balancing.rs"]
mod balancing;
#[path = "protocol/bodies.rs"]
mod bodies;
#[path = "protocol/errors.rs"]
mod errors;
#[path = "protocol/http2.rs"]
mod http2;
#[path = "protocol/lifecycle.rs"]
mod lifecycle;
#[path = "protocol/plain.rs"]
mod plain;
#[path = "protocol/plugins.rs"]
mod plugins;
#[path = "protocol/retries.rs"]
mod retries;
#[path = "protocol/tls.rs"]
mod tls;
#[path = "protocol/websocket.rs"]
mod websocket;
