//! Swaps, drains and starts.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keelgate_proxy::{Counts, Drain, Drained, Listen, Proxy, Settings};

use crate::support::{Gateway, PATIENCE, config, echo, tcp, upstream};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// An upstream that answers when it is told to.
struct Waiting {
    address: SocketAddr,
    arrival: Receiver<()>,
    go: Sender<()>,
}

impl Waiting {
    fn start(body: &'static str) -> Self {
        let (arrived, arrival) = channel();
        let (go, wait) = channel::<()>();
        let (arrived, wait) = (Mutex::new(arrived), Mutex::new(wait));
        let (address, _) = upstream(move |mut client, _| {
            client.request().unwrap();
            arrived.lock().unwrap().send(()).unwrap();
            wait.lock().unwrap().recv().unwrap();
            let length = body.len();
            client.send(&format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
            ));
            client.is_closed();
        });
        Self {
            address,
            arrival,
            go,
        }
    }
}

#[test]
fn swapping_under_load_drops_nothing() {
    let (one, two) = (echo(), echo());
    let gateway = Gateway::start(config(one));
    let stop = AtomicBool::new(false);
    let served = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = gateway.connect();
                while !stop.load(Ordering::Relaxed) {
                    client.send(GET);
                    let response = client.response(false);
                    assert_eq!((response.status, response.cut), (200, false));
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..60 {
            gateway.swap(config(if round % 2 == 0 { two } else { one }));
            // Requests run between the swaps.
            let before = served.load(Ordering::Relaxed);
            while served.load(Ordering::Relaxed) < before + 4 {
                std::thread::yield_now();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn draining_finishes_what_is_in_flight() {
    let upstream = Waiting::start("done");
    let Gateway { handle, .. } = Gateway::start(config(upstream.address));
    let proxy = handle.addresses()[0];
    let mut idle = crate::support::Client::new(tcp(proxy));
    let mut client = crate::support::Client::new(tcp(proxy));
    client.send(GET);
    upstream.arrival.recv().unwrap();
    let draining = std::thread::spawn(move || handle.drain(PATIENCE));
    // The idle connection is closed at once, the busy one answered first.
    assert!(idle.is_closed());
    upstream.go.send(()).unwrap();
    let response = client.response(false);
    assert_eq!(response.text(), "done");
    assert_eq!(response.header("Connection"), Some("close"));
    drop(client);
    assert_eq!(draining.join().unwrap(), Drained { cut_off: 0 });
    assert!(std::net::TcpStream::connect(proxy).is_err());
}

#[test]
fn a_successor_takes_over_the_sockets_and_what_waits_in_them() {
    let gateway = Gateway::start(config(echo()));
    let address = gateway.address();
    let mut kept = gateway.connect();
    kept.send(GET);
    assert_eq!(kept.response(false).status, 200);
    let settings = |workers| Settings {
        listen: vec![Listen::http(([127, 0, 0, 1], 0).into())],
        workers,
        ..Settings::default()
    };
    // More workers than sockets, and fewer.
    let second = gateway.handle.successor(settings(3)).unwrap();
    let third = second.successor(settings(1)).unwrap();
    assert_eq!(
        (second.addresses()[0], third.addresses()[0]),
        (address, address)
    );
    let (gone, second_gone) = std::thread::scope(|scope| {
        let first = gateway.handle;
        let long = PATIENCE;
        let drain = Drain {
            limit: long,
            patience: long,
            is_succeeded: true,
        };
        let draining = scope.spawn(move || first.drain_as(drain));
        let second = scope.spawn(move || second.drain_as(drain));
        // Once it has begun, an idle connection may bring one more request, and is told that it was the last.
        loop {
            kept.send(GET);
            let response = kept.response(false);
            assert_eq!(response.status, 200);
            if response.header("Connection") == Some("close") {
                break;
            }
        }
        assert!(kept.is_closed());
        (draining.join().unwrap(), second.join().unwrap())
    });
    assert_eq!((gone.cut_off, second_gone.cut_off), (0, 0));
    // Whichever socket the system chooses, one worker accepts from it.
    for _ in 0..40 {
        let mut client = crate::support::Client::new(tcp(address));
        client.send(GET);
        assert_eq!(client.response(false).status, 200);
    }
    drop(third);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_full_worker_lets_further_clients_wait() {
    let counts = Arc::new(Counts::default());
    let gateway = Gateway::with(
        config(echo()),
        |settings| {
            settings.workers = 1;
            settings.client.connections = 2;
            settings.counts = Arc::clone(&counts);
        },
        |_| None,
    );
    let mut clients: Vec<_> = (0..3).map(|_| gateway.connect()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    for client in &mut clients[..2] {
        assert_eq!(client.response(false).status, 200);
    }
    // The third is accepted once one of the two has gone.
    let mut third = clients.pop().unwrap();
    clients.pop();
    assert_eq!(third.response(false).status, 200);
    drop((clients, third));
    let counted = counts.sum();
    assert_eq!((counted.accepted, counted.requests), (3, 3));
    assert!(counted.full > 0);
}

#[test]
fn connections_are_counted_by_what_they_do() {
    let upstream = Waiting::start("");
    let counts = Arc::new(Counts::default());
    let gateway = Gateway::with(
        config(upstream.address),
        |settings| settings.counts = Arc::clone(&counts),
        |_| None,
    );
    let mut busy = gateway.connect();
    busy.send(GET);
    upstream.arrival.recv().unwrap();
    let counted = counts.sum();
    assert_eq!(
        (counted.active, counted.writing, counted.waiting),
        (1, 1, 0)
    );
    upstream.go.send(()).unwrap();
    assert_eq!(busy.response(false).status, 200);
    gateway.handle.drain(PATIENCE);
    let counted = counts.sum();
    assert_eq!(
        (counted.active, counted.writing, counted.waiting),
        (0, 0, 0)
    );
    assert_eq!((counted.accepted, counted.requests), (1, 1));
}

#[test]
fn a_drain_ends_at_its_deadline() {
    let (arrived, arrival) = channel();
    let arrived = Mutex::new(arrived);
    let (address, _) = upstream(move |mut client, _| {
        client.request().unwrap();
        arrived.lock().unwrap().send(()).unwrap();
        client.is_closed();
    });
    let Gateway { handle, .. } = Gateway::start(config(address));
    let mut client = crate::support::Client::new(tcp(handle.addresses()[0]));
    client.send(GET);
    arrival.recv().unwrap();
    assert_eq!(handle.drain(Duration::ZERO), Drained { cut_off: 1 });
    assert!(client.is_closed());
}

#[test]
fn a_client_that_does_not_close_holds_no_drain() {
    let gateway = Gateway::start(config(echo()));
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n");
    assert_eq!(client.response(false).status, 400);
    // Less than the time that it would be given otherwise.
    let drained = gateway.handle.drain(Duration::from_secs(4));
    assert_eq!(drained, Drained { cut_off: 0 });
}

#[test]
fn an_address_in_use_is_told_before_anything_starts() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let gateway = Gateway::start(serde_json::json!({}));
    let settings = Settings {
        listen: vec![Listen::http(address)],
        ..Settings::default()
    };
    let error = Proxy::start(settings, Arc::clone(&gateway.shared)).unwrap_err();
    assert!(error.to_string().contains(&address.to_string()));
}
