//! Towards upstreams: names, connections, and one request at a time on each.

pub(crate) mod connect;
pub(crate) mod fault;
pub(crate) mod pool;
pub(crate) mod resolver;

pub(crate) use connect::Peer;
pub(crate) use fault::Fault;
pub(crate) use pool::Pool;
pub(crate) use resolver::Resolver;
