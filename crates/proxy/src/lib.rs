//! The data path: listeners, TLS, HTTP, and the phases of a request.
//!
//! - [`Proxy::start`] binds the addresses of [`Settings`] and serves what
//!   [`keelgate_runtime::Shared`] holds; [`Handle::drain`] ends it without dropping requests, and
//!   [`Handle::successor`] or [`Proxy::take_over`] go on with its [`Sockets`].
//! - `worker`, `core`: one thread per core, which shares nothing with the others but the runtime.
//! - `downstream`: clients, over HTTP/1 and HTTP/2.
//! - `phases`: a request's way, one file per phase; knows neither side's I/O.
//! - `upstream`: connections and pools towards upstreams.
//! - `names`: host names to addresses; `upkeep`: what keeps upstreams up to date beside requests.
//! - `stream`: TCP, TLS and UDP sessions, beside the phases.
//! - `http1`: HTTP/1 on the wire, pure, for both sides.
//! - `net`: streams and time limits.
//! - `counts`: connections and requests, for whoever asks.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod access_log;
mod core;
mod counts;
mod downstream;
mod error_page;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod http1;
mod listener;
mod names;
mod net;
mod phases;
mod proxy;
mod settings;
mod sockets;
mod stream;
mod upkeep;
mod upstream;
mod worker;

pub use access_log::{AccessLog, ConnectionFacts, Escape, LogFormat, Record, UnknownVariable};
pub use counts::{Counted, Counts};
pub use error_page::{ErrorTemplate, ErrorTemplates, TooManyPlaces};
pub use listener::ListenError;
pub use names::{HostNames, NotResolved};
pub use proxy::{Bound, Drain, Drained, Handle, Proxy, StartError};
pub use settings::{
    AddedHeaders, ClientLimits, Dns, DnsRecord, IoEngine, Keepalive, Listen, PortMap, RealIp,
    RequestDebug, Resumption, Settings, Tls,
};
pub use sockets::Sockets;
pub use stream::{
    SessionsEnded, StreamCounted, StreamCounts, StreamLimits, StreamListen, StreamLog,
    StreamRecord, StreamSettings, Transport,
};
