//! What upstreams are told about the request as the client sent it (`X-Forwarded-*`).

use std::borrow::Cow;
use std::io::Write;
use std::net::IpAddr;

use http::{HeaderName, HeaderValue};
use keelgate_plugins::HeaderMap;
use smallvec::SmallVec;

use crate::downstream::Client;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PATH: HeaderName = HeaderName::from_static("x-forwarded-path");
pub(super) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Values of the forwarding headers.
#[derive(Debug, Default)]
pub(super) struct Forwarded<'r> {
    pub(super) proto: Option<HeaderValue>,
    pub(super) host: SmallVec<[u8; 32]>,
    pub(super) port: Cow<'r, [u8]>,
    /// What a trusted proxy said; else the request's own.
    pub(super) path: Option<Vec<u8>>,
    pub(super) prefix: Option<SmallVec<[u8; 24]>>,
}

/// A request header under its usual name or, where some name has underscores, under the name with
/// underscores, which counts as the same and goes first.
pub(super) fn header<'h>(
    headers: &'h HeaderMap,
    underscores: bool,
    name: &HeaderName,
) -> Option<&'h HeaderValue> {
    underscores
        .then(|| headers.get(name.as_str().replace('-', "_")))
        .flatten()
        .or_else(|| headers.get(name))
}

/// The request's `Host`, if it is text; names may be more than ASCII.
pub(super) fn host(headers: &HeaderMap) -> Option<&str> {
    std::str::from_utf8(headers.get_bytes("host")?).ok()
}

/// Appends the value of `X-Forwarded-For`: every line that came in, and the peer; or the client. A proxy
/// before this one may have told its client on a line of its own.
pub(super) fn write_for(
    headers: &HeaderMap,
    underscores: bool,
    client: &Client,
    address: IpAddr,
    out: &mut Vec<u8>,
) {
    let disguised = underscores.then(|| headers.get_all("x_forwarded_for"));
    let lines = disguised.iter().flat_map(|lines| lines.bytes());
    let mut told = false;
    for line in lines.chain(headers.get_all(X_FORWARDED_FOR).bytes()) {
        out.extend_from_slice(line);
        out.extend_from_slice(b", ");
        told = true;
    }
    if told {
        out.extend_from_slice(client.peer_text.as_bytes());
    } else {
        write_address(client, address, out);
    }
}

/// Appends the client's address, which in most cases is the peer's.
pub(super) fn write_address(client: &Client, address: IpAddr, out: &mut Vec<u8>) {
    if address == client.peer.ip() {
        out.extend_from_slice(client.peer_text.as_bytes());
    } else {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{address}");
    }
}
