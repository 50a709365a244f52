//! What the router is told about a request.

use std::net::SocketAddr;

use keelgate_entities::kinds::Protocol;

/// The facts of one request that routes are matched against.
///
/// Header access is a trait so that the router knows no HTTP library.
pub struct Facts<'a> {
    /// Protocol of the request: `http` or `https`, `grpc` or `grpcs`.
    pub protocol: Protocol,
    /// Method, as received.
    pub method: &'a str,
    /// `Host` as received, with its port.
    pub authority: &'a str,
    /// Host without its port ([`crate::host::split_port`]), as received: matching is
    /// case-sensitive, as in Kong.
    pub host: &'a str,
    /// Port given with the host; otherwise the port that the request came in on.
    pub port: u16,
    /// Path without the query, normalised ([`crate::path::normalise`]).
    pub path: &'a str,
    /// Query without the question mark, if there is one.
    pub query: Option<&'a str>,
    /// Header values by lower-case name.
    pub headers: &'a dyn Headers,
    /// TLS server name, if the connection is TLS and the client sent one.
    pub sni: Option<&'a str>,
    /// The client, after trusted proxies were resolved.
    pub source: SocketAddr,
    /// The local address of the connection.
    pub destination: SocketAddr,
}

/// Access to request headers.
pub trait Headers {
    /// Calls `visit` with every value of the header, as received without surrounding blanks, until
    /// it returns `true`; returns whether it did. `name` is in lower case.
    fn any(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}
