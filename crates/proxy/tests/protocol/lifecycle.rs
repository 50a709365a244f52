//! Swaps, drains and starts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use keelgate_proxy::{Drained, Listen, Proxy, Settings};

use crate::support::{Gateway, config, echo, tcp, upstream};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

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
    let (arrived, arrival) = channel();
    let (go, wait) = channel::<()>();
    let (arrived, wait) = (std::sync::Mutex::new(arrived), std::sync::Mutex::new(wait));
    let (address, _) = upstream(move |mut client, _| {
        client.request().unwrap();
        arrived.lock().unwrap().send(()).unwrap();
        wait.lock().unwrap().recv().unwrap();
        client.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
        client.is_closed();
    });
    let Gateway { handle, .. } = Gateway::start(config(address));
    let proxy = handle.addresses()[0];
    let mut idle = crate::support::Client::new(tcp(proxy));
    let mut client = crate::support::Client::new(tcp(proxy));
    client.send(GET);
    arrival.recv().unwrap();
    let draining = std::thread::spawn(move || handle.drain(Duration::from_secs(20)));
    // The idle connection is closed at once, the busy one answered first.
    assert!(idle.is_closed());
    go.send(()).unwrap();
    let response = client.response(false);
    assert_eq!(response.text(), "done");
    assert_eq!(response.header("Connection"), Some("close"));
    drop(client);
    assert_eq!(draining.join().unwrap(), Drained { cut_off: 0 });
    assert!(std::net::TcpStream::connect(proxy).is_err());
}

#[test]
fn a_drain_ends_at_its_deadline() {
    let (arrived, arrival) = channel();
    let arrived = std::sync::Mutex::new(arrived);
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
