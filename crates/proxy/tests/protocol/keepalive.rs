//! How long connections to upstreams are kept, and for whom.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use keelgate_proxy::Keepalive;
use serde_json::Value;

use crate::frames::Peer;
use crate::http2_upstream::told;
use crate::support::{Client, Gateway, PATIENCE, config, upstream};
use crate::tls::{pair, tls_upstream_playing};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// An upstream whose answers tell which of its connections they came on, and what tells that one has ended.
struct Numbered {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    ended: Receiver<String>,
}

impl Numbered {
    fn start(http2: bool) -> Self {
        Self::holding(http2, 1)
    }

    /// Answers once as many requests are there at once.
    fn holding(http2: bool, at_once: usize) -> Self {
        let (tell, ended) = told();
        let held = Barrier::new(at_once);
        let (address, connections) = upstream(move |mut client, number| {
            let body = number.to_string();
            // Only the first ones are held.
            let hold = || {
                if number < at_once {
                    held.wait();
                }
            };
            if http2 {
                let mut server = Peer::greet(client, &[]);
                while let Some(stream) = server.request() {
                    server.answer(stream, body.as_bytes());
                }
            } else {
                let mut first = true;
                while client.request().is_some() {
                    if std::mem::take(&mut first) {
                        hold();
                    }
                    let length = body.len();
                    client.send(&format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
                    ));
                }
            }
            tell(body);
        });
        Self {
            address,
            connections,
            ended,
        }
    }

    fn gateway(&self, http2: bool, keepalive: Keepalive) -> Gateway {
        let mut config: Value = config(self.address);
        if http2 {
            config["services"][0]["protocol"] = "grpc".into();
        }
        Gateway::with(
            config,
            |settings| {
                settings.workers = 1;
                settings.keepalive = keepalive;
            },
            |_| None,
        )
    }

    fn count(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn answers(gateway: &Gateway, requests: usize) -> Vec<String> {
    (0..requests).map(|_| gateway.ask(GET).text()).collect()
}

#[test]
fn nothing_is_kept_without_a_pool() {
    for http2 in [false, true] {
        let upstream = Numbered::start(http2);
        let gateway = upstream.gateway(
            http2,
            Keepalive {
                pool_size: 0,
                ..Keepalive::default()
            },
        );
        assert_eq!(answers(&gateway, 3), ["0", "1", "2"]);
        for _ in 0..3 {
            upstream.ended.recv_timeout(PATIENCE).unwrap();
        }
    }
}

#[test]
fn a_pool_keeps_as_many_as_it_has_room_for() {
    let upstream = Numbered::holding(false, 2);
    let gateway = upstream.gateway(
        false,
        Keepalive {
            pool_size: 1,
            ..Keepalive::default()
        },
    );
    let mut clients = [gateway.connect(), gateway.connect()];
    for client in &mut clients {
        client.send(GET);
    }
    for client in &mut clients {
        assert_eq!(client.response(false).status, 200);
    }
    let ended = upstream.ended.recv_timeout(PATIENCE).unwrap();
    let kept = if ended == "0" { "1" } else { "0" };
    assert_eq!(answers(&gateway, 3), [kept; 3]);
    assert_eq!(upstream.count(), 2);
}

#[test]
fn a_connection_serves_as_many_requests_as_one_may() {
    for http2 in [false, true] {
        let upstream = Numbered::start(http2);
        let gateway = upstream.gateway(
            http2,
            Keepalive {
                max_requests: 2,
                ..Keepalive::default()
            },
        );
        assert_eq!(answers(&gateway, 5), ["0", "0", "1", "1", "2"]);
        assert_eq!(upstream.ended.recv_timeout(PATIENCE).unwrap(), "0");
    }
}

#[test]
fn a_connection_that_idles_too_long_is_closed() {
    for http2 in [false, true] {
        let upstream = Numbered::start(http2);
        let gateway = upstream.gateway(
            http2,
            Keepalive {
                idle_timeout: Duration::from_millis(50),
                ..Keepalive::default()
            },
        );
        assert_eq!(answers(&gateway, 1), ["0"]);
        assert_eq!(upstream.ended.recv_timeout(PATIENCE).unwrap(), "0");
        assert_eq!(answers(&gateway, 1), ["1"]);
    }
}

#[test]
fn a_connection_to_one_server_name_serves_no_other() {
    let own = pair("a.test");
    let count = Arc::new(AtomicUsize::new(0));
    let connections = Arc::clone(&count);
    let address = tls_upstream_playing(&own, None, move |mut client: Client<_>| {
        let number = connections.fetch_add(1, Ordering::SeqCst);
        while client.request().is_some() {
            client.send(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}"
            ));
        }
    });
    let mut config = config(address);
    config["services"][0]["protocol"] = "https".into();
    config["services"][0]["tls_verify"] = false.into();
    config["routes"][0]["preserve_host"] = true.into();
    let gateway = Gateway::with(config, |settings| settings.workers = 1, |_| None);
    let served = ["a.test", "b.test", "a.test", "b.test"].map(|host| {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        gateway.ask(&request).text()
    });
    assert_eq!(served, ["0", "1", "0", "1"]);
    assert_eq!(count.load(Ordering::SeqCst), 2);
}
