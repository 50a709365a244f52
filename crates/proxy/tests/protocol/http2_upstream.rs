//! Upstreams that speak HTTP/2 badly, or have enough of a connection.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, INTERNAL_ERROR, PING, Peer,
    REFUSED_STREAM, SETTINGS, block, frame, ok,
};
use crate::support::{Gateway, config, upstream};

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
pub(crate) const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n";
pub(crate) const BODY: &[u8] = b"whole body";

const MAX_CONCURRENT_STREAMS: u16 = 3;

fn grpc(address: SocketAddr) -> Value {
    let mut config = config(address);
    config["services"][0]["protocol"] = "grpc".into();
    config
}

/// A gateway before an upstream that plays `script` on each of its connections, told their number.
fn gateway(script: impl Fn(Peer, usize) + Send + Sync + 'static) -> Gateway {
    let (address, _) = upstream(move |client, number| script(Peer::greet(client, &[]), number));
    Gateway::start(grpc(address))
}

/// Serves requests with one body until the client is done.
fn serve(mut server: Peer) {
    while let Some(stream) = server.request() {
        server.answer(stream, BODY);
    }
}

/// Plays `script` for the first request, and serves further ones.
pub(crate) fn first(script: impl Fn(&mut Peer, u32) + Send + Sync + 'static) -> Gateway {
    gateway(move |mut server, number| match number {
        0 => {
            let stream = server.request().unwrap();
            script(&mut server, stream);
            serve(server);
        }
        _ => serve(server),
    })
}

/// What a script has seen, told to the test.
pub(crate) fn told() -> (impl Fn(String) + Send + Sync, Receiver<String>) {
    let (told, seen) = channel();
    let told = Mutex::new(told);
    (move |text| told.lock().unwrap().send(text).unwrap(), seen)
}

pub(crate) fn assert_served(gateway: &Gateway) {
    let response = gateway.ask(GET);
    assert_eq!((response.status, &*response.body), (200, BODY));
}

#[test]
fn a_refused_request_is_sent_again_with_what_was_passed_of_its_body() {
    let (tell, seen) = told();
    let gateway = gateway(move |mut server, _| {
        let stream = server.request().unwrap();
        tell("asked".into());
        assert_eq!(server.next().unwrap().payload, b"hello");
        server.reset(stream, REFUSED_STREAM);
        let stream = server.request().unwrap();
        tell("asked again".into());
        let body = server.body(stream).unwrap();
        server.answer(stream, &body);
        server.drain();
    });
    let mut client = gateway.connect();
    client.send(POST);
    assert_eq!(seen.recv().unwrap(), "asked");
    client.send("hello");
    assert_eq!(seen.recv().unwrap(), "asked again");
    client.send("world");
    let response = client.response(false);
    assert_eq!(
        (response.status, &*response.body),
        (200, &b"helloworld"[..])
    );
}

#[test]
fn an_upstream_that_refuses_everything_is_asked_as_often_as_retries_allow() {
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&asked);
    let (address, _) = upstream(move |client, _| {
        let mut server = Peer::greet(client, &[]);
        let stream = server.request().unwrap();
        server.answer(stream, BODY);
        while let Some(stream) = server.request() {
            counted.fetch_add(1, Ordering::SeqCst);
            server.reset(stream, REFUSED_STREAM);
        }
    });
    let mut config = grpc(address);
    config["services"][0]["retries"] = 2.into();
    let gateway = Gateway::with(config, |settings| settings.workers = 1, |_| None);
    assert_served(&gateway);
    assert_eq!(gateway.ask(GET).status, 502);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[test]
fn a_request_that_an_upstream_did_not_look_at_before_it_went_away_is_sent_again() {
    let gateway = first(|server, _| server.go_away(0, 0));
    let mut client = gateway.connect();
    client.send(POST);
    client.send("helloworld");
    let response = client.response(false);
    assert_eq!((response.status, &*response.body), (200, BODY));
}

#[test]
fn a_response_goes_on_when_its_upstream_takes_nothing_new() {
    let (tell, seen) = told();
    let gateway = gateway(move |mut server, number| {
        tell(number.to_string());
        let Some(stream) = server.request() else {
            return;
        };
        server.head(stream, &[]);
        server.send(DATA, 0, stream, b"whole ");
        server.go_away(stream, 0);
        server.send(DATA, END_STREAM, stream, b"body");
        assert!(server.request().is_none(), "nothing new is sent");
    });
    for number in ["0", "1"] {
        assert_served(&gateway);
        assert_eq!(seen.recv().unwrap(), number);
    }
}

#[test]
fn a_request_that_failed_at_an_upstream_is_not_sent_again() {
    let gateway = first(|server, stream| server.reset(stream, INTERNAL_ERROR));
    assert_eq!(gateway.ask(GET).status, 502);
}

#[test]
fn a_response_that_is_given_up_is_cut_short() {
    for script in [
        (|server, stream| server.reset(stream, INTERNAL_ERROR)) as fn(&mut Peer, u32),
        |server, stream| server.reset(stream, 0),
        |server, _| server.go_away(0, INTERNAL_ERROR),
    ] {
        let gateway = first(move |server, stream| {
            server.head(stream, &[(b"content-length", b"10")]);
            server.send(DATA, 0, stream, b"whole");
            script(server, stream);
        });
        let mut client = gateway.connect();
        client.send(GET);
        // The end may overtake the head.
        if let Some(head) = client.until("\r\n\r\n")
            && head.starts_with("HTTP/1.1 200")
        {
            assert!(client.exactly(10).is_none());
        }
        assert_served(&gateway);
    }
}

#[test]
fn a_body_of_another_length_than_was_told_does_not_pass_as_whole() {
    for (length, body) in [(&b"5"[..], BODY), (b"20", BODY), (b"x", BODY)] {
        let gateway = first(move |server, stream| {
            server.head(stream, &[(b"content-length", length)]);
            server.send(DATA, END_STREAM, stream, body);
        });
        let response = {
            let mut client = gateway.connect();
            client.send(GET);
            client
                .until("\r\n\r\n")
                .filter(|head| head.starts_with("HTTP/1.1 200"))
                .map(|_| client.exactly(length.len().max(BODY.len()) + 100))
        };
        assert!(
            matches!(response, None | Some(None)),
            "{}",
            length.escape_ascii()
        );
    }
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let filling = vec![b'x'; 16_000];
    let fields: Vec<_> = (0..10).map(|_| (&b"x"[..], &*filling)).collect();
    let long = ok(&fields);
    let gateway = first(move |server, stream| {
        let mut parts = long.chunks(16_000);
        server.send(HEADERS, END_STREAM, stream, parts.next().unwrap());
        for part in parts {
            server.send(CONTINUATION, 0, stream, part);
        }
        server.send(CONTINUATION, END_HEADERS, stream, &[]);
    });
    assert_eq!(gateway.ask(GET).status, 502);
    assert_served(&gateway);
}

#[test]
fn a_head_without_end_is_cut_off() {
    let (tell, seen) = told();
    let gateway = first(move |server, stream| {
        server.send(HEADERS, END_STREAM, stream, &ok(&[]));
        let field = frame(CONTINUATION, 0, stream, &block(&[(b"x", b"y")]));
        while server.write(&field) {}
        tell("cut off".into());
    });
    assert_eq!(gateway.ask(GET).status, 502);
    assert_eq!(seen.recv().unwrap(), "cut off");
    assert_served(&gateway);
}

#[test]
fn heads_without_end_before_the_response_are_refused() {
    let gateway = first(|server, stream| {
        // `:status` is the name with index 8.
        for _ in 0..100 {
            server.send(HEADERS, END_HEADERS, stream, b"\x08\x03103");
        }
        server.answer(stream, BODY);
    });
    let mut client = gateway.connect();
    client.send(GET);
    let mut before = 0;
    while client.response(false).status == 103 {
        before += 1;
    }
    assert_eq!(before, 16);
    assert_served(&gateway);
}

#[test]
fn frames_that_make_no_sense_end_the_connection() {
    /// A frame for the stream of a request.
    type Make = fn(u32) -> Vec<u8>;
    let makers: [(&str, Make); 9] = [
        ("data before a head", |stream| frame(DATA, 0, stream, b"x")),
        ("a stream that nobody asked for", |stream| {
            frame(HEADERS, END_HEADERS, stream + 2, &ok(&[]))
        }),
        ("a stream of its own", |_| {
            frame(HEADERS, END_HEADERS, 2, &ok(&[]))
        }),
        ("a push", |stream| {
            frame(5, END_HEADERS, stream, b"\0\0\0\x02\x82")
        }),
        ("a block that cannot be read", |stream| {
            frame(HEADERS, END_HEADERS, stream, &[0xff; 20])
        }),
        ("a head without a status", |stream| {
            frame(HEADERS, END_HEADERS, stream, &block(&[(b"x", b"y")]))
        }),
        ("settings of a wrong length", |_| {
            frame(SETTINGS, 0, 0, b"abc")
        }),
        ("a frame that is too long", |stream| {
            frame(DATA, 0, stream, &[0; 100_000])
        }),
        ("HTTP/1", |_| {
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec()
        }),
    ];
    for (what, make) in makers {
        let gateway = first(move |server, stream| {
            server.write(&make(stream));
        });
        assert_eq!(gateway.ask(GET).status, 502, "{what}");
        assert_served(&gateway);
    }
}

#[test]
fn changes_of_the_head_of_http2_that_http1_knows_do_not_pass() {
    for (name, value) in [
        (&b"transfer-encoding"[..], &b"chunked"[..]),
        (b"connection", b"close"),
        (b"x", b"a\r\nx-injected: b"),
        (b"x\r\nx-injected", b"b"),
        (b"Upper", b"b"),
    ] {
        let gateway = first(move |server, stream| {
            server.head(stream, &[(name, value)]);
            server.send(DATA, END_STREAM, stream, BODY);
        });
        let response = gateway.ask(GET);
        assert_eq!(response.status, 502, "{}", name.escape_ascii());
        assert!(!response.head.to_ascii_lowercase().contains("x-injected"));
    }
}

#[test]
fn settings_and_pings_in_numbers_are_answered_and_the_response_comes_through() {
    let gateway = first(|server, stream| {
        for _ in 0..5_000 {
            // HEADER_TABLE_SIZE.
            server.send(SETTINGS, 0, 0, b"\0\x01\0\0\x10\0");
            server.send(PING, 0, 0, b"12345678");
        }
        server.answer(stream, BODY);
    });
    assert_served(&gateway);
}

#[test]
fn an_upstream_that_takes_no_streams_is_waited_for_until_its_time_is_over() {
    let (address, _) = upstream(|client, _| {
        Peer::greet(client, &[(MAX_CONCURRENT_STREAMS, 0)]).drain();
    });
    let mut config = grpc(address);
    config["services"][0]["retries"] = 0.into();
    for limit in ["read_timeout", "write_timeout", "connect_timeout"] {
        config["services"][0][limit] = 100.into();
    }
    let gateway = Gateway::start(config);
    for _ in 0..2 {
        assert_eq!(gateway.ask(GET).status, 504);
    }
}
