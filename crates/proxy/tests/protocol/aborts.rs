//! One side goes away, or breaks the protocol, in the middle of a message.

use std::io::{ErrorKind, Read};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::support::{Gateway, PATIENCE, config, upstream};

/// What the upstream's thread tells the test.
fn told() -> (Mutex<Sender<String>>, impl Fn() -> String) {
    let (tell, told): (_, Receiver<String>) = channel();
    let next = move || told.recv_timeout(PATIENCE).unwrap();
    (Mutex::new(tell), next)
}

#[test]
fn a_client_that_leaves_ends_the_call() {
    let (tell, next) = told();
    let (address, _) = upstream(move |mut client, _| {
        client.request().unwrap();
        tell.lock().unwrap().send("asked".to_owned()).unwrap();
        assert!(client.is_closed());
        tell.lock().unwrap().send("left".to_owned()).unwrap();
    });
    let gateway = Gateway::start(config(address));
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(next(), "asked");
    drop(client);
    assert_eq!(next(), "left");
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_response_ends_the_call() {
    for head in ["Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", "\r\nx"] {
        let (tell, next) = told();
        let (address, _) = upstream(move |mut client, _| {
            client.request().unwrap();
            client.send(&format!("HTTP/1.1 200 OK\r\n{head}"));
            // Nothing more comes, for much longer than a test lasts.
            assert!(client.is_closed());
            tell.lock().unwrap().send("left".to_owned()).unwrap();
        });
        let gateway = Gateway::start(config(address));
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        client.until("x").unwrap();
        drop(client);
        assert_eq!(next(), "left");
    }
}

#[test]
fn a_body_that_its_client_leaves_has_no_end_for_the_upstream() {
    let long = "x".repeat(300_000);
    for (head, body) in [
        ("Content-Length: 400000", long.clone()),
        ("Transfer-Encoding: chunked", format!("493e0\r\n{long}\r\n")),
    ] {
        let (tell, next) = told();
        let (address, _) = upstream(move |mut client, _| {
            client.until("\r\n\r\n").unwrap();
            tell.lock().unwrap().send("asked".to_owned()).unwrap();
            // The end of the chunks, were it to come.
            let end = client.until("\r\n0\r\n\r\n");
            tell.lock().unwrap().send(format!("{end:?}")).unwrap();
        });
        let gateway = Gateway::start(config(address));
        let mut client = gateway.connect();
        client.send(&format!("POST / HTTP/1.1\r\nHost: h\r\n{head}\r\n\r\n"));
        client.send(&body);
        assert_eq!(next(), "asked");
        drop(client);
        assert_eq!(next(), "None");
    }
}

#[test]
fn a_body_that_breaks_on_the_way_has_no_end_for_the_upstream() {
    let (tell, next) = told();
    let (address, _) = upstream(move |mut client, _| {
        client.until("\r\n\r\n").unwrap();
        let end = client.until("\r\n0\r\n\r\n");
        tell.lock().unwrap().send(format!("{end:?}")).unwrap();
    });
    let gateway = Gateway::start(config(address));
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(&format!("493e0\r\n{}\r\n", "x".repeat(300_000)));
    client.send("zz\r\n0\r\n\r\n");
    assert_eq!(client.response(false).status, 400);
    assert!(client.is_closed());
    assert_eq!(next(), "None");
}

#[test]
fn an_old_client_sees_that_a_response_was_cut_short() {
    for body in [
        "Content-Length: 9\r\n\r\nhal",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nhal\r\n",
    ] {
        let (go, wait) = channel::<()>();
        let wait = Mutex::new(wait);
        let (address, _) = upstream(move |mut client, _| {
            client.request().unwrap();
            client.send(&format!("HTTP/1.1 200 OK\r\n{body}"));
            wait.lock().unwrap().recv().unwrap();
        });
        let gateway = Gateway::start(config(address));
        let mut client = gateway.connect();
        client.send("GET / HTTP/1.0\r\n\r\n");
        let head = client.until("\r\n\r\n").unwrap();
        assert_eq!(client.exactly(3).unwrap(), b"hal");
        go.send(()).unwrap();
        let end = client.stream.read(&mut [0; 9]);
        if head.contains("Content-Length: 9") {
            assert!(matches!(end, Ok(0)), "the length tells");
        } else {
            // There is no length and no chunk: the end of the connection is all that tells.
            assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    }
}

#[test]
fn a_protocol_is_not_changed_before_the_request_is_whole() {
    let (address, _) = upstream(|mut client, _| {
        client.until("\r\n\r\n").unwrap();
        client.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
        client.until("never sent");
    });
    let gateway = Gateway::start(config(address));
    let mut client = gateway.connect();
    client.send(
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Content-Length: 300000\r\n\r\n",
    );
    assert_eq!(client.response(false).status, 502);
}

#[test]
fn a_client_that_waits_to_send_is_refused_without_being_invited() {
    let gateway = Gateway::with(
        config(crate::support::nobody()),
        |settings| settings.client.body = Some(10),
        |_| None,
    );
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n");
    assert_eq!(client.response(false).status, 413);
    assert!(client.is_closed());
    // Whoever does not serve the path does not want the body either.
    let gateway = Gateway::start(serde_json::json!({}));
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n");
    assert_eq!(client.response(false).status, 404);
    assert!(client.is_closed());
}
