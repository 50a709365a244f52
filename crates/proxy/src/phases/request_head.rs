//! The head of the request as the upstream receives it.

use http::header::{CONNECTION, TE, UPGRADE, VIA};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_encode_byte;

use super::Flight;
use super::forwarded::{header, write_address, write_for};
use super::rewrite::via_version;
use crate::http1::{Framing, encode};

/// Whether the client asks to change to the WebSocket protocol.
pub(super) fn wants_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// A header that is for the next hop only, as the client sent it.
pub(super) type HopHeader = (HeaderName, HeaderValue);

/// The headers that the client's `Connection` names: they are for the next hop only.
pub(super) fn hop_headers(headers: &HeaderMap) -> Vec<HopHeader> {
    let plain =
        |named: &&HeaderValue| !matches!(named.as_bytes(), b"keep-alive" | b"close" | b"upgrade");
    headers
        .get_all(CONNECTION)
        .iter()
        .filter(plain)
        .filter_map(|named| named.to_str().ok())
        .flat_map(|named| named.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name: &HeaderName| name != UPGRADE)
        .filter_map(|name| headers.get(&name).cloned().map(|value| (name, value)))
        .collect()
}

/// Removes the headers of the hop, except those that plugins have set since: no client may take
/// away what a plugin tells the upstream.
pub(super) fn drop_hop_headers(headers: &mut HeaderMap, hop: &[HopHeader]) {
    for (name, value) in hop {
        if headers.get(name) == Some(value) {
            headers.remove(name);
        }
    }
}

/// What an attempt decides about the head.
pub(super) struct Facts<'a> {
    pub(super) host: &'a str,
    pub(super) websocket: bool,
    pub(super) trailers: bool,
    pub(super) framing: Framing,
}

/// Writes the head. Headers that the gateway decides on replace what the client or a plugin set.
pub(super) fn write(flight: &Flight<'_>, facts: &Facts<'_>, out: &mut Vec<u8>) {
    let exchange = &flight.exchange;
    let headers = &exchange.headers;
    let spelling = &flight.received.spelling;
    let forwarded = &flight.forwarded;
    let added = &flight.core.settings.headers;

    out.extend_from_slice(exchange.method.as_str().as_bytes());
    out.push(b' ');
    write_target(&exchange.upstream.path, out);
    if let Some(query) = &exchange.query {
        out.push(b'?');
        write_target(query, out);
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if facts.trailers {
        out.extend_from_slice(b"TE: trailers\r\n");
    }
    out.extend_from_slice(b"Via: ");
    if let Some(via) = headers.get(VIA) {
        out.extend_from_slice(via.as_bytes());
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(via_version(exchange.version).as_bytes());
    out.push(b' ');
    out.extend_from_slice(flight.core.server.as_bytes());
    out.extend_from_slice(b"\r\nHost: ");
    write_target(facts.host, out);
    if facts.websocket {
        out.extend_from_slice(b"\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade");
    } else {
        out.extend_from_slice(b"\r\nConnection: keep-alive");
    }
    out.extend_from_slice(b"\r\nX-Forwarded-For: ");
    write_for(
        header(headers, spelling.underscores, "x-forwarded-for"),
        flight.client,
        exchange.client.ip,
        out,
    );
    out.extend_from_slice(b"\r\n");
    let proto = match &forwarded.proto {
        Some(proto) => proto.as_bytes(),
        None if exchange.client.tls => b"https",
        None => b"http",
    };
    for (name, value) in [
        ("X-Forwarded-Proto", proto),
        ("X-Forwarded-Host", &forwarded.host),
        ("X-Forwarded-Port", &forwarded.port),
        ("X-Forwarded-Path", &forwarded.path),
        (
            "X-Forwarded-Prefix",
            forwarded.prefix.as_deref().unwrap_or_default(),
        ),
    ] {
        // What a trusted proxy left empty is not told.
        if !value.is_empty() {
            encode::line(name, value, out);
        }
    }
    out.extend_from_slice(b"X-Real-IP: ");
    write_address(flight.client, exchange.client.ip, out);
    out.extend_from_slice(b"\r\n");
    if added.request_id_upstream {
        encode::line("X-Kong-Request-Id", exchange.request_id.as_bytes(), out);
    }
    encode::framing(facts.framing, out);
    encode::lines(
        headers,
        spelling,
        |name| is_decided(name, added.request_id_upstream),
        out,
    );
    out.extend_from_slice(b"\r\n");
}

/// Writes a part of the request line or the host. Plugins can set them to any text; what would end
/// the line is escaped.
fn write_target(text: &str, out: &mut Vec<u8>) {
    let ends = |byte: u8| byte <= b' ' || byte == 0x7f;
    if !text.bytes().any(ends) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for byte in text.bytes() {
        if ends(byte) {
            out.extend_from_slice(percent_encode_byte(byte).as_bytes());
        } else {
            out.push(byte);
        }
    }
}

/// Whether the client takes trailers.
pub(super) fn wants_trailers(headers: &HeaderMap) -> bool {
    headers.get(TE).is_some_and(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    })
}

/// Headers that are not taken over: written above, or for one hop only.
fn is_decided(name: &str, request_id: bool) -> bool {
    match name {
        "host" | "connection" | "te" | "via" | "upgrade" | "x-forwarded-for"
        | "x-forwarded-proto" | "x-forwarded-host" | "x-forwarded-port" | "x-forwarded-path"
        | "x-forwarded-prefix" | "x-real-ip" | "content-length" | "transfer-encoding"
        | "expect" | "keep-alive" | "proxy" | "proxy-connection" => true,
        "x-kong-request-id" => request_id,
        _ => false,
    }
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
        let named = HeaderValue::from_static("x-consumer-id, x-set, x-hop");
        headers.insert("connection", HeaderValue::from_static("close"));
        headers.append("connection", named);
        headers.insert("x-set", HeaderValue::from_static("client"));
        headers.insert("x-hop", HeaderValue::from_static("client"));
        let hop = hop_headers(&headers);
        headers.insert("x-consumer-id", HeaderValue::from_static("plugin"));
        headers.insert("x-set", HeaderValue::from_static("plugin"));
        drop_hop_headers(&mut headers, &hop);
        assert_eq!(headers["x-consumer-id"], "plugin");
        assert_eq!(headers["x-set"], "plugin");
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
