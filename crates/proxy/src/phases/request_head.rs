//! The head of the request as the upstream receives it.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, MAX_FORWARDS};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use keelgate_plugins::HeaderMap;
use keelgate_router::path;
use percent_encoding::percent_encode_byte;
use smallvec::SmallVec;

use super::Flight;
use super::forwarded::{write_address, write_for};
use super::rewrite::via_version;
use crate::http1::{Framing, encode, hop};
use crate::upstream::Fault;

/// Whether the client asks to change to the WebSocket protocol.
pub(super) fn wants_websocket(headers: &HeaderMap) -> bool {
    headers
        .get_bytes("upgrade")
        .is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
}

/// A header that is for the next hop only, with its values as the client sent them.
pub(super) type HopHeader = (HeaderName, SmallVec<[HeaderValue; 1]>);

/// The headers that the client's `Connection` names: they are for the next hop only.
pub(super) fn hop_headers(headers: &HeaderMap) -> Vec<HopHeader> {
    hop::named(headers)
        .filter(|name| headers.contains_key(name))
        .map(|name| {
            let values = headers.get_all(&name).iter().cloned().collect();
            (name, values)
        })
        .collect()
}

/// Removes the headers of the hop, except what plugins have set or added since: no client may take
/// away what a plugin tells the upstream.
pub(super) fn drop_hop_headers(headers: &mut HeaderMap, hop: &[HopHeader]) {
    for (name, sent) in hop {
        let now: SmallVec<[HeaderValue; 2]> = headers.get_all(name).iter().cloned().collect();
        headers.remove(name);
        for value in now.into_iter().filter(|value| !sent.contains(value)) {
            headers.append(name, value);
        }
    }
}

/// Counts an `OPTIONS` request down that may go through so many gateways only; `false` when this is
/// the last one, which answers it (RFC 9110, 7.6.2).
pub(super) fn may_go_on(method: &Method, headers: &mut HeaderMap) -> bool {
    let Some(left) = headers
        .get(MAX_FORWARDS)
        .filter(|_| method == Method::OPTIONS)
    else {
        return true;
    };
    let left: Option<u32> = left.to_str().ok().and_then(|left| left.parse().ok());
    match left {
        Some(0) => return false,
        Some(left) => {
            headers.insert(MAX_FORWARDS, HeaderValue::from(left - 1));
        }
        None => {}
    }
    true
}

/// What an attempt decides about the head.
pub(super) struct Facts<'a> {
    pub(super) host: &'a str,
    pub(super) tls: bool,
    pub(super) websocket: bool,
    pub(super) trailers: bool,
    pub(super) framing: Framing,
}

/// Where the head's fields go: onto the wire, or into a map.
trait Fields {
    /// Adds a field whose value `write` appends.
    fn add(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>));
}

/// The fields as lines of HTTP/1.
struct Wire<'o>(&'o mut Vec<u8>);

impl Fields for Wire<'_> {
    fn add(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b": ");
        write(self.0);
        self.0.extend_from_slice(b"\r\n");
    }
}

impl Fields for http::HeaderMap {
    fn add(&mut self, name: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        let mut value = Vec::with_capacity(32);
        write(&mut value);
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_maybe_shared(Bytes::from(value)),
        ) {
            self.append(name, value);
        }
    }
}

/// Writes the head in HTTP/1. Headers that the gateway decides on replace what the client or a
/// plugin set.
pub(super) fn write(flight: &Flight<'_>, facts: &Facts<'_>, out: &mut Vec<u8>) {
    let exchange = &flight.exchange;
    out.extend_from_slice(exchange.method.as_str().as_bytes());
    out.push(b' ');
    write_target(&exchange.upstream.path, out);
    if let Some(query) = &exchange.query {
        out.push(b'?');
        write_target(query, out);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    tell_hop(flight, facts, &mut Wire(out));
    out.extend_from_slice(b"Host: ");
    write_target(facts.host, out);
    if facts.websocket {
        out.extend_from_slice(b"\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n");
    } else {
        out.extend_from_slice(b"\r\nConnection: keep-alive\r\n");
    }
    tell_origin(flight, &mut Wire(out));
    encode::framing(facts.framing, out);
    let request_id = flight.core.settings.headers.request_id_upstream;
    encode::lines(&exchange.headers, |name| is_decided(name, request_id), out);
    out.extend_from_slice(b"\r\n");
}

/// The same head in HTTP/2.
pub(super) fn build(flight: &Flight<'_>, facts: &Facts<'_>) -> Result<Request<()>, Fault> {
    let exchange = &flight.exchange;
    let unsayable = |error: http::Error| Fault::Unsayable(error.to_string());
    let mut target = Vec::with_capacity(exchange.upstream.path.len());
    escape(&exchange.upstream.path, is_unsayable, &mut target);
    if let Some(query) = &exchange.query {
        target.push(b'?');
        escape(query, is_unsayable, &mut target);
    }
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(if facts.tls {
        Scheme::HTTPS
    } else {
        Scheme::HTTP
    });
    uri.authority = Some(
        facts
            .host
            .parse()
            .map_err(|error: http::uri::InvalidUri| unsayable(error.into()))?,
    );
    uri.path_and_query = Some(
        PathAndQuery::from_maybe_shared(Bytes::from(target))
            .map_err(|error| unsayable(error.into()))?,
    );
    let mut request = Request::new(());
    *request.method_mut() = exchange.method.clone();
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() =
        Uri::from_parts(uri).map_err(|error| unsayable(http::Error::from(error)))?;

    let headers = request.headers_mut();
    headers.reserve(exchange.headers.len() + 10);
    tell_hop(flight, facts, headers);
    tell_origin(flight, headers);
    // A stream tells its end itself; a length is passed on where the client told one.
    if let Framing::Length(length) = facts.framing
        && flight.received.framing != Framing::Chunked
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let request_id = flight.core.settings.headers.request_id_upstream;
    for (name, value) in &exchange.headers {
        if !is_decided(name.as_str().as_bytes(), request_id) {
            headers.append(name.clone(), value.clone());
        }
    }
    Ok(request)
}

/// What is for the next hop.
fn tell_hop(flight: &Flight<'_>, facts: &Facts<'_>, fields: &mut impl Fields) {
    let exchange = &flight.exchange;
    if facts.trailers {
        fields.add("TE", |out| out.extend_from_slice(b"trailers"));
    }
    fields.add("Via", |out| {
        if let Some(via) = exchange.headers.get_bytes("via") {
            out.extend_from_slice(via);
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(via_version(exchange.version).as_bytes());
        out.push(b' ');
        out.extend_from_slice(flight.core.server.as_bytes());
    });
}

/// Where the request came from.
fn tell_origin(flight: &Flight<'_>, fields: &mut impl Fields) {
    let exchange = &flight.exchange;
    let forwarded = &flight.forwarded;
    let underscores = flight.received.underscores;
    fields.add("X-Forwarded-For", |out| {
        write_for(
            &exchange.headers,
            underscores,
            flight.client,
            exchange.client.ip,
            out,
        );
    });
    let proto = match &forwarded.proto {
        Some(proto) => proto.as_bytes(),
        None if exchange.client.tls => b"https",
        None => b"http",
    };
    let path = match &forwarded.path {
        Some(path) => path,
        None => path::split_target(&flight.received.target).0.as_bytes(),
    };
    for (name, value) in [
        ("X-Forwarded-Proto", proto),
        ("X-Forwarded-Host", &forwarded.host),
        ("X-Forwarded-Port", &forwarded.port),
        ("X-Forwarded-Path", path),
        (
            "X-Forwarded-Prefix",
            forwarded.prefix.as_deref().unwrap_or_default(),
        ),
    ] {
        // What a trusted proxy left empty is not told.
        if !value.is_empty() {
            fields.add(name, |out| out.extend_from_slice(value));
        }
    }
    fields.add("X-Real-IP", |out| {
        write_address(flight.client, exchange.client.ip, out);
    });
    if flight.core.settings.headers.request_id_upstream {
        fields.add("X-Kong-Request-Id", |out| {
            out.extend_from_slice(exchange.request_id.as_bytes());
        });
    }
}

/// Writes a part of the request line or the host. Plugins can set them to any text; what would end
/// the line is escaped.
fn write_target(text: &str, out: &mut Vec<u8>) {
    escape(text, |byte| byte <= b' ' || byte == 0x7f, out);
}

/// What HTTP/2 libraries do not take in a path or a query.
fn is_unsayable(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f || matches!(byte, b'#' | b'<' | b'>' | b'`')
}

fn escape(text: &str, escaped: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    if !text.bytes().any(&escaped) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for byte in text.bytes() {
        if escaped(byte) {
            out.extend_from_slice(percent_encode_byte(byte).as_bytes());
        } else {
            out.push(byte);
        }
    }
}

/// Whether the client takes trailers.
pub(super) fn wants_trailers(headers: &HeaderMap) -> bool {
    headers.get_bytes("te").is_some_and(|value| {
        value
            .split(|byte| *byte == b',')
            .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    })
}

/// Headers that are not taken over: written above, or for one hop only. The length of a name, which
/// may be in letters of either case, tells most of them apart.
fn is_decided(name: &[u8], request_id: bool) -> bool {
    let decided: &[&str] = match name.len() {
        2 => &["te"],
        3 => &["via"],
        4 => &["host"],
        5 => &["proxy"],
        6 => &["expect"],
        7 => &["upgrade"],
        9 => &["x-real-ip"],
        10 => &["connection", "keep-alive"],
        14 => &["content-length", "http2-settings"],
        15 => &["x-forwarded-for"],
        16 => &[
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-path",
            "proxy-connection",
        ],
        17 if request_id => &[
            "transfer-encoding",
            "x-forwarded-proto",
            "x-kong-request-id",
        ],
        17 => &["transfer-encoding", "x-forwarded-proto"],
        18 => &["x-forwarded-prefix"],
        _ => &[],
    };
    decided
        .iter()
        .any(|decided| name.eq_ignore_ascii_case(decided.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_for_the_next_hop_go_no_further() {
        let mut headers = HeaderMap::new();
        headers.insert(
            "connection",
            HeaderValue::from_static("close, X-Hop, upgrade"),
        );
        headers.insert("x-hop", HeaderValue::from_static("1"));
        headers.insert("upgrade", HeaderValue::from_static("websocket"));
        headers.insert("x-end", HeaderValue::from_static("1"));
        let hop = hop_headers(&headers);
        drop_hop_headers(&mut headers, &hop);
        assert!(!headers.contains_key("x-hop"));
        assert!(headers.contains_key("x-end") && headers.contains_key("upgrade"));
    }

    #[test]
    fn a_client_cannot_take_away_what_a_plugin_sets() {
        let mut headers = HeaderMap::new();
        let named = HeaderValue::from_static("x-consumer-id, x-set, x-added, x-hop");
        headers.insert("connection", HeaderValue::from_static("close"));
        headers.append("connection", named);
        headers.insert("x-set", HeaderValue::from_static("client"));
        headers.insert("x-added", HeaderValue::from_static("client"));
        headers.insert("x-hop", HeaderValue::from_static("client"));
        headers.append("x-hop", HeaderValue::from_static("client too"));
        let hop = hop_headers(&headers);
        headers.insert("x-consumer-id", HeaderValue::from_static("plugin"));
        headers.insert("x-set", HeaderValue::from_static("plugin"));
        headers.append("x-added", HeaderValue::from_static("plugin"));
        drop_hop_headers(&mut headers, &hop);
        assert_eq!(headers["x-consumer-id"], "plugin");
        assert_eq!(headers["x-set"], "plugin");
        assert!(headers.get_all("x-added").iter().eq(["plugin"]));
        assert!(!headers.contains_key("x-hop"));
    }

    #[test]
    fn no_text_ends_the_request_line() {
        let mut out = Vec::new();
        write_target("/a b\r\nX: y%20\u{e9}", &mut out);
        assert_eq!(out, "/a%20b%0D%0AX:%20y%20\u{e9}".as_bytes());
    }

    #[test]
    fn trailers_are_asked_for_only_when_the_client_does() {
        let asks = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("te", HeaderValue::from_static(value));
            wants_trailers(&headers)
        };
        assert!(asks("Trailers") && asks("gzip, trailers"));
        assert!(!asks("gzip") && !asks("trailers;q=1"));
    }
}
