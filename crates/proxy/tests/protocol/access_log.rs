//! What the access log is told of requests that do not come to their end.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use keelgate_proxy::{AccessLog, Listen, Record};
use serde_json::Value;

use crate::frames::{END_HEADERS, END_STREAM, Field, HEADERS, Peer, RST_STREAM, block};
use crate::http2_upstream::told;
use crate::support::{Gateway, PATIENCE, config, nobody, upstream};

/// What a test looks at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) status: u16,
    pub(crate) body_bytes: u64,
    pub(crate) upstream_status: Option<u16>,
}

struct Recorder(Mutex<Sender<Line>>);

impl AccessLog for Recorder {
    fn record(&self, record: &Record<'_>) {
        let line = Line {
            status: record.status,
            body_bytes: record.body_bytes,
            upstream_status: record.upstream_status,
        };
        self.0.lock().unwrap().send(line).unwrap();
    }
}

/// A gateway, for HTTP/1 and HTTP/2 in clear, and what it logs.
pub(crate) fn recorded(config: Value) -> (Gateway, Receiver<Line>) {
    let (told, lines) = channel();
    let gateway = Gateway::with(
        config,
        |settings| {
            settings.listen = vec![Listen {
                http2: true,
                ..Listen::http(([127, 0, 0, 1], 0).into())
            }];
            settings.access_log = Some(Arc::new(Recorder(Mutex::new(told))));
        },
        |_| None,
    );
    (gateway, lines)
}

fn line(status: u16, body_bytes: u64, upstream_status: Option<u16>) -> Line {
    Line {
        status,
        body_bytes,
        upstream_status,
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const STREAM: [Field<'_>; 4] = [
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":path", b"/"),
    (b":authority", b"h"),
];

#[test]
fn a_client_that_leaves_before_the_answer_is_told_as_499() {
    let (tell, asked) = told();
    let (address, _) = upstream(move |mut client, _| {
        client.request().unwrap();
        tell("asked".into());
        assert!(client.is_closed());
    });
    let (gateway, lines) = recorded(config(address));
    let mut client = gateway.connect();
    client.send(GET);
    asked.recv_timeout(PATIENCE).unwrap();
    drop(client);
    let left = line(499, 0, None);
    assert_eq!(lines.recv_timeout(PATIENCE).unwrap(), left);

    let mut client = Peer::dial(gateway.connect());
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&STREAM));
    asked.recv_timeout(PATIENCE).unwrap();
    client.send(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    assert_eq!(lines.recv_timeout(PATIENCE).unwrap(), left);
}

#[test]
fn a_client_that_leaves_before_its_body_was_sent_is_told_as_499() {
    let (gateway, lines) = recorded(config(nobody()));
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhal");
    drop(client);
    assert_eq!(lines.recv_timeout(PATIENCE).unwrap(), line(499, 0, None));
}

#[test]
fn a_client_that_has_an_answer_and_leaves_is_told_with_its_status() {
    let (address, _) = upstream(|mut client, _| {
        client.request().unwrap();
        client.send("HTTP/1.1 201 Made\r\nContent-Length: 9\r\n\r\n");
        assert!(client.is_closed());
    });
    let (gateway, lines) = recorded(config(address));
    let mut client = gateway.connect();
    client.send(GET);
    client.until("\r\n\r\n").unwrap();
    drop(client);
    let left = line(201, 0, Some(201));
    assert_eq!(lines.recv_timeout(PATIENCE).unwrap(), left);

    let mut client = Peer::dial(gateway.connect());
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&STREAM));
    assert_eq!(client.next().unwrap().kind, HEADERS);
    drop(client);
    assert_eq!(lines.recv_timeout(PATIENCE).unwrap(), left);
}

#[test]
fn an_upstream_that_breaks_off_is_not_told_as_the_clients_fault() {
    let (address, _) = upstream(|mut client, _| {
        client.request().unwrap();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
    });
    let (gateway, lines) = recorded(config(address));
    let broken = line(200, 0, Some(200));
    let response = gateway.ask(GET);
    assert_eq!((response.status, response.cut), (200, true));
    assert_eq!(lines.recv_timeout(PATIENCE).unwrap(), broken);

    let mut client = Peer::dial(gateway.connect());
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &block(&STREAM));
    client.code();
    assert_eq!(lines.recv_timeout(PATIENCE).unwrap(), broken);
}

#[test]
fn an_upstream_that_fails_is_told_with_the_status_it_stands_for() {
    let (gateway, lines) = recorded(config(nobody()));
    let length = gateway.ask(GET).body.len() as u64;
    let failed = line(502, length, Some(502));
    assert_eq!(lines.recv_timeout(PATIENCE).unwrap(), failed);
}
