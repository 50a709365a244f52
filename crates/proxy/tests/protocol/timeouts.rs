//! Clients that are slow, idle, or done: what they are given ends, and how.
//!
//! A limit of these tests is short, so each test has its own gateway in which only what it is about can
//! reach it.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use keelgate_proxy::{Listen, Settings};
use serde_json::Value;

use crate::frames::{
    DATA, END_HEADERS, END_STREAM, Field, Frame, GOAWAY, HEADERS, Peer, RST_STREAM, block,
};
use crate::http2_upstream::told;
use crate::support::{Client, Gateway, PATIENCE, config, echo, upstream};

const SHORT: Duration = Duration::from_millis(50);
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn with(config: Value, change: impl FnOnce(&mut Settings)) -> Gateway {
    Gateway::with(
        config,
        |settings| {
            settings.listen = vec![Listen {
                http2: true,
                ..Listen::http(([127, 0, 0, 1], 0).into())
            }];
            change(settings);
        },
        |_| None,
    )
}

fn fields(method: &'static [u8]) -> [Field<'static>; 4] {
    [
        (b":method", method),
        (b":scheme", b"http"),
        (b":path", b"/"),
        (b":authority", b"h"),
    ]
}

fn ask(client: &mut Peer, stream: u32) {
    let get = block(&fields(b"GET"));
    client.send(HEADERS, END_HEADERS | END_STREAM, stream, &get);
}

/// An upstream that sends without an end, and tells when nobody takes it any more.
fn endless(tell: impl Fn(String) + Send + Sync + 'static) -> Value {
    let (address, _) = upstream(move |mut client, _| {
        client.request().unwrap();
        client.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
        while client.stream.write_all(chunk.as_bytes()).is_ok() {}
        tell("cut off".into());
    });
    config(address)
}

#[test]
fn half_a_head_is_answered_with_408() {
    let gateway = with(config(echo()), |settings| {
        settings.client.header_timeout = SHORT;
    });
    for half in ["G", "GET / HTTP/1.1\r\nHost: "] {
        // On a machine that is busy it may come too late to be read at all; that is tried again.
        let answered = |_| {
            let mut client = gateway.connect();
            client.stream.write_all(half.as_bytes()).ok()?;
            let head = client.until("\r\n\r\n")?;
            Some((client, head))
        };
        let (mut client, head) = (0..1000).find_map(answered).expect("an answer");
        assert!(head.starts_with("HTTP/1.1 408 Request Time-out"), "{head}");
        assert!(head.contains("Connection: close"));
        while client.exactly(1).is_some() {}
    }
}

#[test]
fn half_a_body_is_answered_with_408() {
    let gateway = with(config(echo()), |settings| {
        settings.client.body_timeout = SHORT;
    });
    for framing in ["Content-Length: 9", "Transfer-Encoding: chunked"] {
        let mut client = gateway.connect();
        client.send(&format!(
            "POST / HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n3\r\n"
        ));
        assert_eq!(client.response(false).status, 408, "{framing}");
        assert!(client.is_closed());
    }
}

#[test]
fn half_the_body_of_a_stream_is_answered_with_408() {
    let gateway = with(config(echo()), |settings| {
        settings.client.body_timeout = SHORT;
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let status = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(gateway.address()).await;
        let (sender, connection) = h2::client::handshake(stream.unwrap()).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::post("http://h.test/").body(()).unwrap();
        let mut sender = sender.ready().await.unwrap();
        let (response, mut body) = sender.send_request(request, false).unwrap();
        body.send_data(bytes::Bytes::from_static(b"half"), false)
            .unwrap();
        response.await.unwrap().status()
    });
    assert_eq!(status, 408);
}

#[test]
fn a_client_that_does_not_begin_is_not_waited_for() {
    let address = ([127, 0, 0, 1], 0).into();
    let proxied = |listen| Listen {
        proxy_protocol: true,
        ..listen
    };
    // Nobody knows whether that is to become HTTP/2.
    let unclear = Listen {
        http2: true,
        ..Listen::http(address)
    };
    for (listen, start) in [
        (Listen::http(address), ""),
        (unclear, "P"),
        (Listen::https(address), ""),
        (Listen::https(address), "\u{16}\u{3}\u{1}"),
        (proxied(Listen::http(address)), ""),
        (proxied(Listen::http(address)), "PROXY TCP4 192.0.2.1 "),
        (proxied(Listen::https(address)), ""),
    ] {
        let gateway = with(config(echo()), |settings| {
            settings.listen = vec![listen.clone()];
            settings.client.header_timeout = SHORT;
        });
        let mut client = gateway.connect();
        client.send(start);
        assert!(client.is_closed(), "{listen:?} {start:?}");
    }
}

#[test]
fn an_idle_connection_is_closed() {
    let gateway = with(config(echo()), |settings| {
        settings.client.keepalive_timeout = SHORT;
    });
    let mut client = gateway.connect();
    client.send(GET);
    assert_eq!(client.response(false).status, 200);
    assert!(client.is_closed());
}

#[test]
fn a_connection_ends_with_its_last_request() {
    for requests in [1, 2] {
        let gateway = with(config(echo()), |settings| {
            settings.client.keepalive_requests = requests;
        });
        let mut client = gateway.connect();
        for left in (0..requests).rev() {
            client.send(GET);
            let response = client.response(false);
            let expected = if left == 0 { "close" } else { "keep-alive" };
            assert_eq!(response.header("Connection"), Some(expected), "{requests}");
        }
        assert!(client.is_closed());

        let mut client = Peer::dial(gateway.connect());
        for stream in 0..requests {
            ask(&mut client, 2 * stream + 1);
        }
        let (mut answered, mut said) = (0, false);
        while let Some(Frame { kind, flags, .. }) = client.next() {
            answered += u32::from(kind == DATA && flags & END_STREAM != 0);
            said |= kind == GOAWAY;
        }
        assert_eq!((answered, said), (requests, true));
    }
}

#[test]
fn a_client_that_takes_nothing_ends_the_call() {
    let (tell, upstream_told) = told();
    let gateway = with(endless(tell), |settings| {
        settings.client.send_timeout = SHORT
    });
    let mut client: Client<TcpStream> = gateway.connect();
    client.send(GET);
    assert_eq!(upstream_told.recv_timeout(PATIENCE).unwrap(), "cut off");
    assert!(client.response(false).cut);
}

#[test]
fn a_stream_whose_window_stays_closed_ends_alone() {
    let (tell, upstream_told) = told();
    let gateway = with(endless(tell), |settings| {
        settings.client.send_timeout = SHORT
    });
    let mut client = Peer::dial(gateway.connect());
    ask(&mut client, 1);
    assert_eq!(upstream_told.recv_timeout(PATIENCE).unwrap(), "cut off");
    assert_eq!(client.code().0, RST_STREAM);
    ask(&mut client, 3);
    let next = client.next().unwrap();
    assert_eq!((next.kind, next.stream), (HEADERS, 3));
}
