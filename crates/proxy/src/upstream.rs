//! Towards upstreams: connections, and requests on them, whatever the HTTP version.

pub(crate) mod call;
pub(crate) mod connect;
pub(crate) mod fault;
mod http1;
mod http2;
pub(crate) mod links;
pub(crate) mod pool;
mod turns;

pub(crate) use call::{Ahead, Call, RequestHead, ResponseHead};
pub(crate) use connect::Peer;
pub(crate) use fault::Fault;
pub(crate) use links::Links;
pub(crate) use pool::Pool;
pub(crate) use turns::{Turn, Turns};
