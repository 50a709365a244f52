//! Windows of HTTP/2 that either side opens in a wrong way, or does not heed.

use std::io::ErrorKind;
use std::sync::{Arc, Barrier};

use crate::frames::{
    DATA, END_HEADERS, FLOW_CONTROL_ERROR, Field, GOAWAY, HEADERS, PROTOCOL_ERROR, Peer,
    RST_STREAM, WINDOW_UPDATE, block, frame,
};
use crate::http2::over_http2;
use crate::http2_upstream::{BODY, GET, POST, assert_served, first, told};
use crate::support::{Gateway, PATIENCE, config, echo, upstream};

/// What a window may be opened by; twice that is too far.
const MOST: &[u8] = &[0x7f, 0xff, 0xff, 0xff];
const NOTHING: &[u8] = &[0; 4];

#[test]
fn an_upstream_that_opens_a_window_by_nothing_loses_its_connection() {
    for of_stream in [false, true] {
        let (tell, seen) = told();
        let gateway = first(move |server, stream| {
            let stream = if of_stream { stream } else { 0 };
            server.send(WINDOW_UPDATE, 0, stream, NOTHING);
            tell(format!("{:?}", server.code()));
        });
        assert_eq!(gateway.ask(GET).status, 502);
        let expected = format!("{:?}", (GOAWAY, PROTOCOL_ERROR));
        assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), expected);
        assert_served(&gateway);
    }
}

#[test]
fn an_upstream_that_opens_the_window_of_its_connection_too_far_loses_it() {
    let (tell, seen) = told();
    let gateway = first(move |server, _| {
        for _ in 0..2 {
            server.send(WINDOW_UPDATE, 0, 0, MOST);
        }
        tell(format!("{:?}", server.code()));
    });
    assert_eq!(gateway.ask(GET).status, 502);
    let expected = format!("{:?}", (GOAWAY, FLOW_CONTROL_ERROR));
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), expected);
    assert_served(&gateway);
}

#[test]
fn an_upstream_that_opens_the_window_of_a_stream_too_far_loses_the_stream() {
    let (tell, seen) = told();
    let gateway = first(move |server, stream| {
        for _ in 0..2 {
            server.send(WINDOW_UPDATE, 0, stream, MOST);
        }
        tell(format!("{:?}", server.code()));
    });
    let mut client = gateway.connect();
    client.send(POST);
    // Half of the body: the rest would have to go through that window.
    client.send("hello");
    assert_eq!(client.response(false).status, 502);
    let expected = format!("{:?}", (RST_STREAM, FLOW_CONTROL_ERROR));
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), expected);
    assert_served(&gateway);
}

#[test]
fn a_window_that_nothing_goes_through_any_more_does_not_matter() {
    let gateway = first(|server, stream| {
        for _ in 0..2 {
            server.send(WINDOW_UPDATE, 0, stream, MOST);
        }
        server.answer(stream, BODY);
    });
    assert_served(&gateway);
}

#[test]
fn an_upstream_that_sends_more_than_the_window_of_a_stream_loses_the_stream() {
    let (tell, seen) = told();
    let gateway = first(move |server, stream| {
        server.head(stream, &[(b"content-length", b"1000000000")]);
        let _flood = server.flood(frame(DATA, 0, stream, &[0; 16_384]));
        tell(format!("{:?}", server.code()));
        server.drain();
        tell("cut off".into());
    });
    let mut client = gateway.connect();
    client.send(GET);
    let expected = format!("{:?}", (RST_STREAM, FLOW_CONTROL_ERROR));
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), expected);
    // What came before is not taken for the whole.
    assert!(client.response(false).cut);
    // Whoever asks next is not held up by what goes on there.
    assert_served(&gateway);
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), "cut off");
}

/// A client that has sent the head of a request as stream 1.
fn asked(gateway: &Gateway) -> Peer {
    let fields: [Field<'_>; 4] = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/"),
        (b":authority", b"h"),
    ];
    let mut client = Peer::dial(gateway.connect());
    client.send(HEADERS, END_HEADERS, 1, &block(&fields));
    client
}

#[test]
fn a_client_that_opens_a_window_by_nothing_loses_its_connection() {
    let gateway = over_http2(config(echo()));
    for stream in [0, 1] {
        let mut client = asked(&gateway);
        client.send(WINDOW_UPDATE, 0, stream, NOTHING);
        assert_eq!(client.code(), (GOAWAY, PROTOCOL_ERROR));
        client.drain();
    }
}

#[test]
fn a_client_that_opens_a_window_too_far_loses_what_it_belongs_to() {
    let gateway = over_http2(config(echo()));
    for (stream, ended) in [(0, GOAWAY), (1, RST_STREAM)] {
        let mut client = asked(&gateway);
        for _ in 0..2 {
            client.send(WINDOW_UPDATE, 0, stream, MOST);
        }
        assert_eq!(client.code(), (ended, FLOW_CONTROL_ERROR));
    }
}

#[test]
fn a_client_that_sends_more_than_the_window_of_a_stream_loses_the_stream() {
    let (tell, seen) = told();
    let over = Arc::new(Barrier::new(2));
    let reads_on = Arc::clone(&over);
    let (address, _) = upstream(move |mut client, _| {
        client.until("\r\n\r\n").unwrap();
        tell("asked".into());
        reads_on.wait();
        let end = std::io::copy(&mut client.stream, &mut std::io::sink());
        tell(match end.map_err(|error| error.kind()) {
            Ok(_) | Err(ErrorKind::ConnectionReset) => "ended".into(),
            Err(kind) => kind.to_string(),
        });
    });
    let mut config = config(address);
    config["routes"][0]["request_buffering"] = false.into();
    let gateway = over_http2(config);
    let mut client = asked(&gateway);
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), "asked");
    let flood = client.flood(frame(DATA, 0, 1, &[0; 16_384]));
    assert_eq!(client.code(), (RST_STREAM, FLOW_CONTROL_ERROR));
    drop(flood);
    over.wait();
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), "ended");
}
