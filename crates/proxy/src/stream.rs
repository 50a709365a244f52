//! TCP, TLS and UDP sessions: what comes to `stream_listen`.
//!
//! A session begins with the configuration that serves at that moment and ends with it.
//!
//! - `settings`: what a node decides about its sessions.
//! - `listener`: the sockets that sessions come to.
//! - `streams`: what the sessions of one worker share.
//! - `hello`: a ClientHello, read ahead of the decision whether TLS ends here.
//! - `tcp`: a session over TCP, in clear or over TLS, from its first byte to its last.
//! - `udp`: the datagrams of one client and the answers to them; `datagrams`, the socket they come
//!   to; `queue`, where they wait for their session.
//! - `gate`: the route of a session, and whether its plugins let it pass.
//! - `peers`: the addresses that a session's service is tried at.
//! - `connect`: the connection to the service.
//! - `relay`: bytes both ways.
//! - `account`: what logs are told of a session; `logged`: the plugins that log it; `counts`: how many there were.
//! - `refusal`: why a session ends before it began.

mod account;
mod connect;
mod counts;
mod datagrams;
mod gate;
mod hello;
pub(crate) mod listener;
mod log;
mod logged;
mod peers;
mod queue;
mod refusal;
mod relay;
mod settings;
mod streams;
mod tcp;
mod udp;

pub use counts::{SessionsEnded, StreamCounted, StreamCounts};
pub use log::{StreamLog, StreamRecord};
pub use settings::{StreamLimits, StreamListen, StreamSettings, Transport};

pub(crate) use streams::{Streams, start};
