//! A compiled snapshot, read-only: router, plugin chains, balancers and certificates.
//!
//! - [`Runtime::compile`] turns a whole [`keelgate_entities::Config`] into a [`Runtime`], or names
//!   the entity that does not compile; nothing is half-built.
//! - [`chain`]: which plugins a request walks through, decided when the snapshot is compiled.
//! - [`certificates`]: which certificate answers for a TLS server name.
//! - [`Shared`] holds the runtime that serves; [`Reader`] is one core's cheap view of it.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod certificates;
pub mod chain;
mod compile;
mod error;
mod people;
mod plugins;
mod reclaim;
mod runtime;
pub mod scheduling;
mod secrets;
mod service;
mod shared;
mod streams;
mod upstream;
mod upstream_tls;

pub use certificates::Certificates;
pub use chain::{Chain, Link};
pub use compile::Env;
pub use error::CompileError;
pub use plugins::Plugins;
pub use runtime::{Routed, Runtime};
pub use secrets::Secrets;
pub use service::{Origin, ServiceEntry, UpstreamTls, authority};
pub use shared::{Held, Reader, Shared};
pub use upstream::UpstreamEntry;
pub use upstream_tls::TlsProfile;
