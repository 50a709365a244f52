//! UDP sessions, by the client's address.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, channel};

use keelgate_proxy::Transport;
use serde_json::{Value, json};

use crate::stream::{Guard, Streams, routed, service};
use crate::support::{PATIENCE, ROUTE};

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let limit = Some(PATIENCE);
    socket.set_read_timeout(limit).unwrap();
    socket
}

/// An address where nobody takes datagrams.
fn nobody() -> SocketAddr {
    socket().local_addr().unwrap()
}

/// Answers every datagram with `name` before it; what it got is told as well.
fn named(name: &'static str) -> (SocketAddr, Receiver<String>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut part = [0; 65536];
        while let Ok((length, from)) = socket.recv_from(&mut part) {
            let text = String::from_utf8_lossy(&part[..length]).into_owned();
            let _ = socket.send_to(format!("{name} {text}").as_bytes(), from);
            let _ = tell.send(text);
        }
    });
    (address, told)
}

struct Client(UdpSocket);

impl Client {
    fn of(streams: &Streams) -> Self {
        let socket = socket();
        socket.connect(streams.address()).unwrap();
        Self(socket)
    }

    fn send(&self, text: &str) {
        self.0.send(text.as_bytes()).unwrap();
    }

    fn ask(&self, text: &str) -> String {
        self.send(text);
        let mut part = [0; 65536];
        let length = self.0.recv(&mut part).unwrap();
        String::from_utf8(part[..length].to_vec()).unwrap()
    }
}

fn to(address: SocketAddr, read_timeout: u32) -> Value {
    let mut service = service("udp", address);
    service["read_timeout"] = read_timeout.into();
    routed(&["udp"], service)
}

#[test]
fn every_client_gets_its_own_answers() {
    let (address, _told) = named("a");
    let streams = Streams::start(to(address, 60_000), Transport::Udp);
    let (one, two) = (Client::of(&streams), Client::of(&streams));
    for round in 0..3 {
        assert_eq!(one.ask(&format!("one{round}")), format!("a one{round}"));
        assert_eq!(two.ask(&format!("two{round}")), format!("a two{round}"));
    }
    let long = "x".repeat(20_000);
    assert_eq!(one.ask(&long), format!("a {long}"));
}

#[test]
fn a_silent_session_ends_and_is_told() {
    let (address, _told) = named("a");
    // Longer than any answer takes.
    let streams = Streams::start(to(address, 2_000), Transport::Udp);
    let client = Client::of(&streams);
    assert_eq!(client.ask("x"), "a x");
    let record = streams.record();
    assert_eq!(
        (
            record.status,
            record.sent,
            record.received,
            record.transport
        ),
        (200, 3, 1, Transport::Udp)
    );
    // The client may come back.
    assert_eq!(client.ask("y"), "a y");
}

#[test]
fn an_address_that_refuses_is_passed_over() {
    let (address, _told) = named("b");
    let upstream = "00000000-0000-4000-8000-000000000031";
    let mut config = to(address, 60_000);
    config["services"][0]["host"] = "pool".into();
    config["upstreams"] = json!([{"id": upstream, "name": "pool"}]);
    config["targets"] = json!([
        {"id": "00000000-0000-4000-8000-000000000041", "upstream": {"id": upstream},
         "target": nobody().to_string()},
        {"id": "00000000-0000-4000-8000-000000000042", "upstream": {"id": upstream},
         "target": address.to_string()},
    ]);
    let streams = Streams::start(config, Transport::Udp);
    for _ in 0..6 {
        assert_eq!(Client::of(&streams).ask("x"), "b x");
    }
}

#[test]
fn a_session_that_cannot_be_served_is_told() {
    let (address, told) = named("a");
    let mut config = to(address, 60_000);
    config["routes"][0]["sources"] = json!([{"ip": "10.0.0.0/8"}]);
    let streams = Streams::start(config, Transport::Udp);
    let status = || {
        Client::of(&streams).send("x");
        streams.record().status
    };
    assert_eq!(status(), 500);

    let mut refused = to(nobody(), 60_000);
    refused["services"][0]["retries"] = 1.into();
    streams.gateway.swap(refused);
    assert_eq!(status(), 502);

    // What is to go encrypted does not go in clear.
    let mut tls = to(address, 60_000);
    tls["services"][0]["protocol"] = "tls".into();
    streams.gateway.swap(tls);
    assert_eq!(status(), 502);
    assert!(told.try_recv().is_err());
}

#[test]
fn a_plugin_keeps_datagrams_from_the_service() {
    let (address, told) = named("a");
    let mut config = to(address, 60_000);
    config["plugins"] = json!([{
        "id": "00000000-0000-4000-8000-000000000053", "name": "guard",
        "protocols": ["udp"], "route": {"id": ROUTE},
    }]);
    let streams = Streams::with(config, Transport::Udp, |_| {}, Guard::compile);
    Client::of(&streams).send("x");
    assert_eq!(streams.record().status, 403);
    assert!(told.try_recv().is_err());
}

#[test]
fn clients_beyond_the_limit_are_not_heard() {
    let (address, told) = named("a");
    let streams = Streams::with(
        to(address, 60_000),
        Transport::Udp,
        |settings| {
            settings.workers = 1;
            settings.stream.limits.udp_sessions = 1;
        },
        |_| None,
    );
    let first = Client::of(&streams);
    assert_eq!(first.ask("one"), "a one");
    Client::of(&streams).send("lost");
    assert_eq!(first.ask("two"), "a two");
    let heard: Vec<String> = told.iter().take(2).collect();
    assert_eq!(heard, ["one", "two"]);
}

#[test]
fn a_session_lives_on_with_the_configuration_that_it_began_with() {
    let ((before, _b), (after, _a)) = (named("before"), named("after"));
    let streams = Streams::start(to(before, 60_000), Transport::Udp);
    let client = Client::of(&streams);
    assert_eq!(client.ask("x"), "before x");
    streams.gateway.swap(to(after, 60_000));
    assert_eq!(client.ask("y"), "before y");
    assert_eq!(Client::of(&streams).ask("z"), "after z");
}
