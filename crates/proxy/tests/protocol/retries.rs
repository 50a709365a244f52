//! When a request is sent again, and when it is not.

use std::sync::atomic::Ordering;

use crate::support::{Gateway, config, upstream};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
const PUT: &str = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";

/// An upstream that closes the first `bad` connections without an answer.
fn closing(
    bad: usize,
) -> (
    std::net::SocketAddr,
    std::sync::Arc<std::sync::atomic::AtomicUsize>,
) {
    upstream(move |mut client, number| {
        let request = client.request().unwrap();
        if number >= bad {
            let text = request.text();
            client.send(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            ));
            client.is_closed();
        }
    })
}

#[test]
fn what_does_no_harm_twice_is_sent_again() {
    for request in [GET, PUT] {
        let (address, connections) = closing(2);
        let gateway = Gateway::start(config(address));
        assert_eq!(gateway.ask(request).status, 200, "{request}");
        assert_eq!(connections.load(Ordering::SeqCst), 3);
    }
}

#[test]
fn a_post_that_was_sent_is_not_sent_again() {
    let (address, connections) = closing(2);
    let gateway = Gateway::start(config(address));
    assert_eq!(gateway.ask(POST).status, 502);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[test]
fn attempts_end_with_the_retries_of_the_service() {
    let (address, connections) = closing(usize::MAX);
    let mut limited = config(address);
    limited["services"][0]["retries"] = 2.into();
    let gateway = Gateway::start(limited);
    assert_eq!(gateway.ask(GET).status, 502);
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[test]
fn a_connection_that_the_upstream_closed_meanwhile_is_not_counted() {
    // Every connection serves one request and is closed with the next one on it.
    let (address, _) = upstream(|mut client, _| {
        client.request().unwrap();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        client.request();
    });
    let mut once = config(address);
    once["services"][0]["retries"] = 0.into();
    let gateway = Gateway::start(once);
    let mut client = gateway.connect();
    for _ in 0..4 {
        client.send(GET);
        assert_eq!(client.response(false).status, 200);
    }
}
