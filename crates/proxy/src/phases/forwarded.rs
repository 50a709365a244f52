//! What upstreams are told about the request as the client sent it (`X-Forwarded-*`).

use std::net::IpAddr;

use http::header::HOST;
use http::{HeaderMap, HeaderValue};

/// Values of the forwarding headers.
#[derive(Debug, Default)]
pub(super) struct Forwarded {
    pub(super) proto: Option<HeaderValue>,
    pub(super) host: Vec<u8>,
    pub(super) port: Vec<u8>,
    pub(super) path: Vec<u8>,
    pub(super) prefix: Option<Vec<u8>>,
}

/// A request header under its usual name or, where some name has underscores, under the name with
/// underscores, which counts as the same and goes first.
pub(super) fn header<'h>(
    headers: &'h HeaderMap,
    underscores: bool,
    name: &'static str,
) -> Option<&'h HeaderValue> {
    underscores
        .then(|| headers.get(name.replace('-', "_")))
        .flatten()
        .or_else(|| headers.get(name))
}

/// The request's `Host`, if it is text; names may be more than ASCII.
pub(super) fn host(headers: &HeaderMap) -> Option<&str> {
    std::str::from_utf8(headers.get(HOST)?.as_bytes()).ok()
}

/// Appends the value of `X-Forwarded-For`: what came in, and the peer; or the client.
pub(super) fn write_for(
    incoming: Option<&HeaderValue>,
    peer: IpAddr,
    client: IpAddr,
    out: &mut Vec<u8>,
) {
    use std::io::Write;
    // Writing to a Vec cannot fail.
    let _ = match incoming {
        Some(incoming) => {
            out.extend_from_slice(incoming.as_bytes());
            write!(out, ", {peer}")
        }
        None => write!(out, "{client}"),
    };
}
