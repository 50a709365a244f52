//! Heads of HTTP/2 that would be something else in HTTP/1.

use std::io::Write;
use std::net::SocketAddr;

use keelgate_proxy::Listen;

use crate::frames::{
    DATA, END_HEADERS, END_STREAM, Field, GOAWAY, HEADERS, RST_STREAM, SETTINGS, block, frame,
};
use crate::strict;
use crate::support::{Gateway, config};

const METHOD: Field<'_> = (b":method", b"POST");
const SCHEME: Field<'_> = (b":scheme", b"http");
const PATH: Field<'_> = (b":path", b"/p");
const AUTHORITY: Field<'_> = (b":authority", b"h");
const USUAL: [Field<'_>; 4] = [METHOD, SCHEME, PATH, AUTHORITY];

/// Whether a request is answered with 200.
fn is_served(gateway: &Gateway, fields: &[Field<'_>], body: &[u8], trailers: &[Field<'_>]) -> bool {
    let mut client = gateway.connect();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend(frame(HEADERS, END_HEADERS, 1, &block(fields)));
    let end = if trailers.is_empty() { END_STREAM } else { 0 };
    bytes.extend(frame(DATA, end, 1, body));
    if !trailers.is_empty() {
        let flags = END_HEADERS | END_STREAM;
        bytes.extend(frame(HEADERS, flags, 1, &block(trailers)));
    }
    client.stream.write_all(&bytes).unwrap();
    loop {
        let Some(head) = client.exactly(9) else {
            return false;
        };
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let payload = client.exactly(length as usize).unwrap_or_default();
        match head[3] {
            // `:status: 200` is one byte, the first one.
            HEADERS => return payload[0] == 0x88,
            RST_STREAM | GOAWAY => return false,
            _ => {}
        }
    }
}

#[test]
fn heads_that_would_be_something_else_in_http1_are_refused() {
    let (address, seen) = strict::start();
    let gateway = Gateway::with(
        config(address),
        |settings| {
            settings.listen = vec![Listen {
                http2: true,
                ..Listen::http(SocketAddr::from(([127, 0, 0, 1], 0)))
            }];
        },
        |_| None,
    );
    let with = |field: Field<'static>| {
        let mut fields = USUAL.to_vec();
        match fields.iter_mut().find(|(name, _)| *name == field.0) {
            Some(usual) => *usual = field,
            None => fields.push(field),
        }
        fields
    };
    let own = |fields: &[Field<'static>]| fields.to_vec();
    let usual = |more: &[Field<'static>]| [&USUAL[..], more].concat();

    // The test sees what is served at all.
    for fields in [
        usual(&[]),
        with((b"content-length", b"5")),
        with((b"host", b"H")),
        own(&[METHOD, SCHEME, PATH, (b"host", b"h")]),
        with((b"te", b"trailers")),
    ] {
        assert!(is_served(&gateway, &fields, b"hello", &[]), "{fields:?}");
        assert_eq!(seen.recv().unwrap().unwrap().body, b"hello");
    }
    let odd = usual(&[(b"content_length", b"1"), (b"x.dot", b"1"), (b"x_y", b"1")]);
    assert!(is_served(&gateway, &odd, b"hello", &[]));
    let arrived = seen.recv().unwrap().unwrap();
    assert_eq!(arrived.values("x_y").next(), Some("1"));
    assert_eq!(arrived.values("content_length").next(), None);
    assert_eq!(arrived.values("x.dot").next(), None);

    for fields in [
        // Line breaks and NULs.
        with((b"x", b"a\r\nTransfer-Encoding: chunked")),
        with((b"x", b"a\nb: c")),
        with((b"x", b"a\rb")),
        with((b"x", b"a\0b")),
        with((b"x\r\ny", b"a")),
        with((b"x: y\r\nz", b"a")),
        with((b"x y", b"a")),
        with((b"X", b"a")),
        with((b"", b"a")),
        with((b":method", b"GET / HTTP/1.1\r\nX: y")),
        with((b":method", b"GET /trap")),
        with((b":path", b"/p HTTP/1.1\r\nX: y")),
        with((b":path", b"/p\tq")),
        with((b":path", b"/p q")),
        with((b":path", b"/p\0")),
        with((b":authority", b"h\r\nX: y")),
        with((b":authority", b"h i")),
        with((b":authority", b"h/i")),
        with((b":scheme", b"http\r\nX: y")),
        with((b":scheme", b"http://i/trap?")),
        // Framing, and what is for one hop of HTTP/1.
        with((b"transfer-encoding", b"chunked")),
        with((b"connection", b"close")),
        with((b"connection", b"transfer-encoding")),
        with((b"keep-alive", b"5")),
        with((b"proxy-connection", b"close")),
        with((b"upgrade", b"h2c")),
        with((b"te", b"gzip")),
        with((b"content-length", b"4")),
        with((b"content-length", b"6")),
        with((b"content-length", b"0")),
        with((b"content-length", b"+5")),
        with((b"content-length", b"5, 5")),
        usual(&[(b"content-length", b"5"), (b"content-length", b"5")]),
        // Who is asked for what.
        with((b":method", b"post")),
        with((b":method", b"CONNECT")),
        with((b":method", b"TRACE")),
        with((b":path", b"")),
        with((b":path", b"p")),
        with((b":path", b"*")),
        with((b":path", b"http://i/p")),
        with((b":authority", b"user@h")),
        with((b":authority", b"")),
        with((b"host", b"i")),
        own(&[METHOD, SCHEME, PATH]),
        own(&[METHOD, SCHEME, PATH, (b"host", b"h"), (b"host", b"h")]),
        own(&[METHOD, SCHEME, PATH, (b"host", b"h/i")]),
        // Pseudo-headers that are missing, repeated, unknown, or out of place.
        own(&[SCHEME, PATH, AUTHORITY]),
        own(&[METHOD, PATH, AUTHORITY]),
        own(&[METHOD, SCHEME, AUTHORITY]),
        usual(&[PATH]),
        usual(&[METHOD]),
        usual(&[AUTHORITY]),
        with((b":status", b"200")),
        with((b":protocol", b"websocket")),
        with((b":foo", b"bar")),
        own(&[METHOD, SCHEME, AUTHORITY, (b"x", b"y"), PATH]),
    ] {
        let shown = || {
            fields
                .iter()
                .map(|(name, value)| format!("{}={}", name.escape_ascii(), value.escape_ascii()))
                .collect::<Vec<_>>()
        };
        assert!(
            !is_served(&gateway, &fields, b"hello", &[]),
            "{:?}",
            shown()
        );
        assert!(seen.try_recv().is_err(), "{:?}", shown());
    }

    for trailers in [
        &[(&b"connection"[..], &b"close"[..])],
        &[(&b"x"[..], &b"a\r\nb"[..])],
    ] {
        assert!(
            !is_served(&gateway, &USUAL, b"hello", trailers),
            "{trailers:?}"
        );
        assert!(seen.try_recv().is_err());
    }
}
