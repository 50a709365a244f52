//! Fields after a body.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::head::is_plain_name;
use super::{Malformed, encode};

/// Fields after one body at most.
const MAX_FIELDS: usize = 64;

/// Reads the lines after the last chunk, the empty one among them; none where there is no field
/// that may be passed on.
pub(crate) fn parse(lines: &[u8]) -> Result<Option<HeaderMap>, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let parsed = httparse::parse_headers(lines, &mut fields).map_err(|_| Malformed::Chunk)?;
    let httparse::Status::Complete((_, fields)) = parsed else {
        return Err(Malformed::Chunk);
    };
    if fields.is_empty() {
        return Ok(None);
    }
    let mut trailers = HeaderMap::with_capacity(fields.len());
    // Other names are left out of heads too.
    for field in fields.iter().filter(|field| is_plain_name(field.name)) {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed::Chunk)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| Malformed::Chunk)?;
        trailers.append(name, value);
    }
    keep_allowed(&mut trailers);
    Ok((!trailers.is_empty()).then_some(trailers))
}

/// Takes away what may not stand after a body (RFC 9110, 6.5.1): whoever merges it into the head
/// would frame, route, authenticate or read the message in another way than those before.
pub(crate) fn keep_allowed(trailers: &mut HeaderMap) {
    let forbidden: Vec<HeaderName> = trailers
        .keys()
        // Many servers take an underscore for a dash.
        .filter(|name| is_forbidden(&name.as_str().replace('_', "-")))
        .cloned()
        .collect();
    for name in forbidden {
        trailers.remove(name);
    }
}

/// Writes the end of a chunked body: the last chunk and the fields after it.
pub(crate) fn write_end(trailers: Option<&HeaderMap>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        encode::line(name.as_str(), value.as_bytes(), out);
    }
    out.extend_from_slice(b"\r\n");
}

/// Framing, routing, conditions, authentication, cookies, what tells how a body is to be read, and
/// what only a gateway may tell its upstream.
fn is_forbidden(name: &str) -> bool {
    const OF_GATEWAYS: [&str; 8] = [
        "x-forwarded-",
        "x-real-",
        "x-kong-",
        "x-consumer-",
        "x-credential-",
        "x-anonymous-",
        "x-authenticated-",
        "if-",
    ];
    OF_GATEWAYS.iter().any(|start| name.starts_with(start))
        || matches!(
            name,
            "age"
                | "authorization"
                | "cache-control"
                | "connection"
                | "content-encoding"
                | "content-length"
                | "content-location"
                | "content-range"
                | "content-type"
                | "cookie"
                | "date"
                | "expect"
                | "expires"
                | "forwarded"
                | "host"
                | "keep-alive"
                | "location"
                | "max-forwards"
                | "pragma"
                | "proxy-authenticate"
                | "proxy-authorization"
                | "proxy-connection"
                | "range"
                | "retry-after"
                | "set-cookie"
                | "te"
                | "trailer"
                | "transfer-encoding"
                | "upgrade"
                | "vary"
                | "via"
                | "warning"
                | "www-authenticate"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_would_change_the_message_are_left_out() {
        let lines = b"X-Sum: 1\r\nContent-Length: 5\r\nX_Consumer-Id: me\r\nX-Sum: 2\r\n\r\n";
        let trailers = parse(lines).unwrap().unwrap();
        assert_eq!(trailers.len(), 2);
        assert!(trailers.get_all("x-sum").iter().eq(["1", "2"]));
        assert!(parse(b"Host: h\r\nX.Dot: 1\r\n\r\n").unwrap().is_none());
        assert_eq!(parse(b"X : 1\r\n\r\n"), Err(Malformed::Chunk));
        assert_eq!(parse(b"X: 1\r\n folded\r\n\r\n"), Err(Malformed::Chunk));
        assert!(parse(b"\r\n").unwrap().is_none());
        assert_eq!(parse(b"no field\r\n\r\n"), Err(Malformed::Chunk));
    }

    #[test]
    fn the_end_carries_the_fields() {
        let mut out = Vec::new();
        write_end(None, &mut out);
        assert_eq!(out, encode::LAST_CHUNK);
        let trailers = parse(b"X-Sum: 1\r\n\r\n").unwrap();
        out.clear();
        write_end(trailers.as_ref(), &mut out);
        assert_eq!(out, b"0\r\nx-sum: 1\r\n\r\n");
    }
}
