//! Request facts to route. Pure: no I/O, no clock.
//!
//! - [`facts`]: what the router is told about a request.
//! - [`Router`]: compiled routes; [`Router::find`] gives the best [`Match`].
//! - [`StreamRouter`]: the same for TCP, TLS and UDP sessions.
//! - [`path`]: the path that is matched and forwarded: normalisation, joining, escaping.
//! - [`admission`]: whether the matched route accepts the request's protocol.
//! - [`host`]: `Host` values and host patterns.
//!
//! How it is fast: every route becomes one or more *rules* in order of rank, so that comparing two
//! rules is comparing two numbers. Rules lie in buckets by host pattern, and in a bucket by the
//! literal beginning of their paths. A request visits only the buckets and path keys that it can
//! match, and leaves each list at its first hit or at the best rank found so far. Expressions are
//! filed the same way, under what they demand of host and path.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod captures;
mod error;
mod expression;
mod header;
mod index;
mod network;
mod pattern;
mod priority;
mod request;
mod router;
mod rule;
mod sni;
mod stream;

pub mod admission;
pub mod facts;
pub mod host;
pub mod path;

pub use admission::{Admission, admit};
pub use captures::Captures;
pub use error::CompileError;
pub use facts::{Facts, Headers};
pub use router::{Match, Router};
pub use stream::{StreamFacts, StreamRouter};

#[cfg(test)]
mod tests;
