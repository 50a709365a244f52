//! When a request is sent again, and when it is not.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::balancing::balanced;
use crate::support::{Gateway, config, nobody, upstream};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
const PUT: &str = "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";

/// An upstream that closes the first `bad` connections without an answer.
fn closing(bad: usize) -> (SocketAddr, Arc<AtomicUsize>) {
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

const LONG: usize = 300_000;

/// An upstream that answers with the length of what it got; how many requests it had.
fn measuring() -> (SocketAddr, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let (address, _) = upstream(move |mut client, _| {
        while let Some(request) = client.request() {
            count.fetch_add(1, Ordering::SeqCst);
            let text = request.body.len().to_string();
            client.send(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            ));
        }
    });
    (address, requests)
}

#[test]
fn what_did_not_reach_its_target_goes_to_the_next_whatever_it_is() {
    let long = "x".repeat(LONG);
    let gateway = Gateway::start(balanced(&[nobody(), measuring().0], json!({})));
    let start = "POST / HTTP/1.1\r\nHost: h\r\n";
    let chunked =
        format!("{start}Transfer-Encoding: chunked\r\n\r\n{LONG:x}\r\n{long}\r\n0\r\n\r\n");
    let told = format!("{start}Content-Length: {LONG}\r\n\r\n{long}");
    // Each of the two targets is tried first by some.
    for _ in 0..4 {
        assert_eq!(gateway.ask(POST).text(), "2");
        assert_eq!(gateway.ask(&told).text(), LONG.to_string());
        assert_eq!(gateway.ask(&chunked).text(), LONG.to_string());
    }
}

/// An upstream that says nothing on its first connection.
fn silent_first() -> (SocketAddr, Arc<AtomicUsize>) {
    upstream(|mut client, number| {
        while client.request().is_some() {
            if number > 0 {
                client.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        }
    })
}

#[test]
fn silence_is_answered_by_another_attempt_where_that_does_no_harm() {
    let (address, connections) = silent_first();
    let mut config = config(address);
    config["services"][0]["read_timeout"] = 50.into();
    // Later attempts may be late as well, on a machine that is busy.
    config["services"][0]["retries"] = 1000.into();
    let gateway = Gateway::start(config);
    assert_eq!(gateway.ask(GET).status, 200);
    assert!(connections.load(Ordering::SeqCst) >= 2);
}

#[test]
fn silence_after_a_post_is_told_at_once() {
    let (address, connections) = silent_first();
    let mut config = config(address);
    config["services"][0]["read_timeout"] = 50.into();
    let gateway = Gateway::start(config);
    assert_eq!(gateway.ask(POST).status, 504);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

/// An address that takes no more connections: its queue is full.
struct Full {
    address: SocketAddr,
    _listener: Socket,
    _waiting: Vec<Socket>,
}

impl Full {
    fn start() -> Self {
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let listener = socket();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let waiting = (0..8).map(|_| {
            let one = socket();
            one.set_nonblocking(true).unwrap();
            // Some are let in, the others stay outside.
            let _ = one.connect(&address);
            one
        });
        Self {
            _waiting: waiting.collect(),
            address: address.as_socket().unwrap(),
            _listener: listener,
        }
    }
}

#[test]
fn a_target_that_cannot_be_connected_to_in_time_is_passed_over() {
    let full = Full::start();
    let mut alone = config(full.address);
    alone["services"][0]["connect_timeout"] = 50.into();
    alone["services"][0]["retries"] = 1.into();
    assert_eq!(Gateway::start(alone).ask(POST).status, 504);
    let mut both = balanced(&[full.address, measuring().0], json!({}));
    both["services"][0]["connect_timeout"] = 50.into();
    // Connecting to the other may be late as well, on a machine that is busy.
    both["services"][0]["retries"] = 1000.into();
    let gateway = Gateway::start(both);
    for _ in 0..4 {
        assert_eq!(gateway.ask(POST).status, 200);
    }
}

#[test]
fn an_upstream_that_takes_nothing_is_given_up() {
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (address, connections) = upstream(move |mut client, _| {
        client.until("\r\n\r\n").unwrap();
        let _ = wait.lock().unwrap().recv();
    });
    let mut config = config(address);
    config["services"][0]["write_timeout"] = 50.into();
    config["services"][0]["retries"] = 0.into();
    let gateway = Gateway::start(config);
    let mut client = gateway.connect();
    client.send("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n");
    let mut writer = client.stream.try_clone().unwrap();
    let sending = std::thread::spawn(move || {
        let piece = vec![b'x'; 1 << 20];
        while writer.write_all(&piece).is_ok() {}
    });
    assert_eq!(client.response(false).status, 504);
    drop((client, gateway, go));
    sending.join().unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[test]
fn an_answer_is_an_answer_whatever_its_status() {
    for status in [500, 502, 503, 504] {
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let (address, _) = upstream(move |mut client, _| {
            while client.request().is_some() {
                count.fetch_add(1, Ordering::SeqCst);
                client.send(&format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n"));
            }
        });
        let gateway = Gateway::start(config(address));
        assert_eq!(gateway.ask(GET).status, status);
        assert_eq!(requests.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn targets_have_their_share_by_weight() {
    let targets = [measuring(), measuring(), measuring()];
    let mut config = balanced(&targets.each_ref().map(|(address, _)| *address), json!({}));
    for (at, weight) in [100, 300, 0].into_iter().enumerate() {
        config["targets"][at]["weight"] = weight.into();
    }
    let gateway = Gateway::with(config, |settings| settings.workers = 1, |_| None);
    for _ in 0..80 {
        assert_eq!(gateway.ask(GET).status, 200);
    }
    let shares = targets.map(|(_, requests)| requests.load(Ordering::SeqCst));
    assert_eq!(shares, [20, 60, 0]);
}
