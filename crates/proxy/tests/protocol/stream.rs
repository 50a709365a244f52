//! TCP sessions: routed, relayed, limited and told to the log.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keelgate_plugins::stream::{Refusal, Session};
use keelgate_plugins::{Phases, Plugin, StreamPlugin};
use keelgate_proxy::{
    Drained, PortMap, SessionsEnded, Settings, StreamCounts, StreamListen, StreamLog, StreamRecord,
    StreamSettings, Transport,
};
use serde_json::{Value, json};

use crate::support::{Client, Gateway, PATIENCE, ROUTE, SERVICE, tcp, upstream};

/// Hands every record to the test.
struct Told(Mutex<Sender<StreamRecord>>);

impl StreamLog for Told {
    fn record(&self, record: &StreamRecord) {
        let _ = self.0.lock().unwrap().send(record.clone());
    }
}

/// A gateway with one listener of streams, and what it tells its log.
pub(crate) struct Streams {
    pub(crate) gateway: Gateway,
    pub(crate) told: Receiver<StreamRecord>,
}

impl Streams {
    pub(crate) fn start(config: Value, transport: Transport) -> Self {
        Self::with(config, transport, |_| {}, |_| None)
    }

    pub(crate) fn with(
        config: Value,
        transport: Transport,
        change: impl FnOnce(&mut Settings),
        plugins: crate::support::Factory,
    ) -> Self {
        let (sender, told) = channel();
        let gateway = Gateway::with(
            config,
            |settings| {
                let address = SocketAddr::from(([127, 0, 0, 1], 0));
                settings.listen = Vec::new();
                settings.stream = StreamSettings {
                    listen: vec![StreamListen::new(address, transport)],
                    log: Some(Arc::new(Told(Mutex::new(sender)))),
                    ..StreamSettings::default()
                };
                change(settings);
            },
            plugins,
        );
        Self { gateway, told }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.gateway.handle.stream_addresses()[0]
    }

    pub(crate) fn connect(&self) -> Client<TcpStream> {
        Client::new(tcp(self.address()))
    }

    pub(crate) fn record(&self) -> StreamRecord {
        self.told.recv_timeout(PATIENCE).unwrap()
    }
}

/// A service of streams at `address`.
pub(crate) fn service(protocol: &str, address: SocketAddr) -> Value {
    json!({
        "id": SERVICE, "name": "s", "protocol": protocol,
        "host": address.ip().to_string(), "port": address.port(),
    })
}

/// One route of `protocols` for every client of this machine.
pub(crate) fn routed(protocols: &[&str], service: Value) -> Value {
    json!({
        "services": [service],
        "routes": [{
            "id": ROUTE, "name": "r", "protocols": protocols,
            "sources": [{"ip": "127.0.0.0/8"}], "service": {"id": SERVICE},
        }],
    })
}

fn to(address: SocketAddr) -> Value {
    routed(&["tcp"], service("tcp", address))
}

/// Sends back what it gets, piece by piece, until its client closes.
pub(crate) fn echo() -> SocketAddr {
    upstream(|client, _| {
        let mut stream = client.stream;
        let mut part = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut part) {
            if stream.write_all(&part[..read]).is_err() {
                return;
            }
        }
    })
    .0
}

/// Says its name, and nothing more until its client closes.
pub(crate) fn named(name: &'static str) -> SocketAddr {
    upstream(move |mut client, _| {
        client.send(name);
        client.is_closed();
    })
    .0
}

#[test]
fn bytes_go_both_ways_and_the_log_counts_them() {
    let streams = Streams::start(to(echo()), Transport::Tcp);
    let mut client = streams.connect();
    client.send("ping");
    assert_eq!(client.exactly(4).unwrap(), b"ping");
    client.send("pong!");
    assert_eq!(client.exactly(5).unwrap(), b"pong!");
    drop(client);
    let record = streams.record();
    assert_eq!(
        (record.status, record.sent, record.received),
        (200, 9, 9),
        "{record:?}"
    );
    assert_eq!(record.client.to_string(), "127.0.0.1");
}

#[test]
fn a_client_that_has_said_everything_still_listens() {
    let (address, _) = upstream(|mut client, _| {
        let mut heard = String::new();
        client.stream.read_to_string(&mut heard).unwrap();
        client.send(&format!("heard {heard}"));
    });
    let streams = Streams::start(to(address), Transport::Tcp);
    let mut client = streams.connect();
    client.send("all of it");
    client.stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "heard all of it");
}

#[test]
fn a_service_that_has_said_everything_still_listens() {
    let (heard, hear) = channel();
    let heard = Mutex::new(heard);
    let (address, _) = upstream(move |mut client, _| {
        client.send("go on");
        client.stream.shutdown(Shutdown::Write).unwrap();
        let mut all = String::new();
        client.stream.read_to_string(&mut all).unwrap();
        heard.lock().unwrap().send(all).unwrap();
    });
    let streams = Streams::start(to(address), Transport::Tcp);
    let mut client = streams.connect();
    assert_eq!(client.exactly(5).unwrap(), b"go on");
    assert!(client.is_closed());
    client.send("and on");
    drop(client);
    assert_eq!(hear.recv().unwrap(), "and on");
}

#[test]
fn a_slow_reader_gets_every_byte_in_order() {
    let streams = Streams::start(to(echo()), Transport::Tcp);
    let mut client = streams.connect();
    let sent: Vec<u8> = (0..8_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut writer = client.stream.try_clone().unwrap();
    let copy = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&copy).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    // Small reads keep the gateway's buffers full.
    let mut part = [0; 1500];
    loop {
        match client.stream.read(&mut part).unwrap() {
            0 => break,
            read => received.extend_from_slice(&part[..read]),
        }
    }
    writing.join().unwrap();
    assert!(received == sent, "{} of {}", received.len(), sent.len());
}

#[test]
fn a_session_without_route_or_service_is_closed() {
    let mut config = to(echo());
    config["routes"][0]["sources"] = json!([{"ip": "10.0.0.0/8"}]);
    let streams = Streams::start(config.clone(), Transport::Tcp);
    assert!(streams.connect().is_closed());
    assert_eq!(streams.record().status, 500);

    config["routes"][0]["sources"] = json!([{"ip": "127.0.0.1"}]);
    config["routes"][0]["service"] = Value::Null;
    streams.gateway.swap(config);
    assert!(streams.connect().is_closed());
    assert_eq!(streams.record().status, 503);
}

#[test]
fn the_port_that_clients_see_is_the_destination() {
    let port = crate::support::nobody().port();
    let mut config = to(named("seen"));
    config["routes"][0]["destinations"] = json!([{"port": 443}]);
    let outside = |outside| {
        let change = move |settings: &mut Settings| {
            settings.stream.listen[0].address.set_port(port);
            settings.port_maps = vec![PortMap {
                outside,
                inside: port,
            }];
        };
        let streams = Streams::with(config.clone(), Transport::Tcp, change, |_| None);
        let found = streams.connect().exactly(4);
        streams.gateway.handle.drain(Duration::ZERO);
        found
    };
    assert_eq!(outside(443).as_deref(), Some(&b"seen"[..]));
    assert_eq!(outside(80), None);
}

#[test]
fn sessions_are_counted_by_what_became_of_them() {
    let counts = Arc::new(StreamCounts::default());
    let own = Arc::clone(&counts);
    let change = |settings: &mut Settings| settings.stream.counts = own;
    let streams = Streams::with(to(echo()), Transport::Tcp, change, |_| None);
    let mut client = streams.connect();
    client.send("hello");
    assert_eq!(client.exactly(5).unwrap(), b"hello");
    assert_eq!(counts.sum().open[&Transport::Tcp], 1);
    drop(client);
    streams.record();
    streams.gateway.swap(json!({}));
    assert!(streams.connect().is_closed());
    streams.record();
    let counted = counts.sum();
    assert_eq!(counted.open[&Transport::Tcp], 0);
    let passed = SessionsEnded {
        sessions: 1,
        sent: 5,
        received: 5,
    };
    let refused = SessionsEnded {
        sessions: 1,
        ..SessionsEnded::default()
    };
    let ended = [(200, passed), (500, refused)];
    let ended = ended.map(|(status, ended)| ((Transport::Tcp, status), ended));
    assert_eq!(counted.ended, ended.into());
}

#[test]
fn routes_are_told_apart_by_their_destination() {
    let streams = Streams::start(to(named("any")), Transport::Tcp);
    let port = streams.address().port();
    let other = "00000000-0000-4000-8000-000000000051";
    let mut config = to(named("any"));
    let mut service = service("tcp", named("port"));
    service["id"] = other.into();
    service["name"] = "o".into();
    config["services"].as_array_mut().unwrap().push(service);
    config["routes"].as_array_mut().unwrap().push(json!({
        "id": "00000000-0000-4000-8000-000000000052", "protocols": ["tcp"],
        "sources": [{"ip": "127.0.0.0/8"}], "destinations": [{"port": port}],
        "service": {"id": other},
    }));
    streams.gateway.swap(config);
    assert_eq!(streams.connect().exactly(4).unwrap(), b"port");
}

/// Refuses everybody.
pub(crate) struct Guard;

impl Guard {
    pub(crate) fn compile(_: &keelgate_entities::kinds::Plugin) -> Option<Arc<dyn Plugin>> {
        Some(Arc::new(Self))
    }
}

impl Plugin for Guard {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            ..Phases::default()
        }
    }

    fn stream(&self) -> Option<&dyn StreamPlugin> {
        Some(self)
    }
}

impl StreamPlugin for Guard {
    fn preread(&self, session: &Session<'_>) -> Result<(), Refusal> {
        Err(Refusal {
            status: 403,
            message: format!("not you, {}", session.client.ip),
        })
    }
}

#[test]
fn a_plugin_keeps_a_session_from_the_service() {
    let (address, count) = upstream(|_, _| {});
    let mut config = to(address);
    config["plugins"] = json!([{
        "id": "00000000-0000-4000-8000-000000000053", "name": "guard",
        "protocols": ["tcp"], "route": {"id": ROUTE},
    }]);
    let streams = Streams::with(config, Transport::Tcp, |_| {}, Guard::compile);
    assert!(streams.connect().is_closed());
    assert_eq!(streams.record().status, 403);
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 0);
}

/// Whether a client that begins with `header` is let through a route for 192.0.2.0/24.
fn passes(header: &[u8], trusted: &str) -> (bool, StreamRecord) {
    let mut config = to(named("in"));
    config["routes"][0]["sources"] = json!([{"ip": "192.0.2.0/24", "port": 56324}]);
    let streams = Streams::with(
        config,
        Transport::Tcp,
        |settings| {
            settings.stream.listen[0].proxy_protocol = true;
            settings.trusted_ips = vec![trusted.parse().unwrap()];
        },
        |_| None,
    );
    let mut client = streams.connect();
    client.stream.write_all(header).unwrap();
    let passed = !client.is_closed();
    drop(client);
    (passed, streams.record())
}

#[test]
fn a_trusted_proxy_tells_the_client_in_either_version() {
    let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";
    let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    binary.extend_from_slice(&[192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 1, 0xbb]);
    for header in [&line[..], &binary] {
        let (passed, record) = passes(header, "127.0.0.0/8");
        assert!(passed);
        assert_eq!(record.client.to_string(), "192.0.2.1");
        let (passed, record) = passes(header, "10.0.0.0/8");
        assert!(!passed, "a stranger was believed");
        assert_eq!(record.client.to_string(), "127.0.0.1");
    }
    let (passed, record) = passes(b"hello, who is there?", "127.0.0.0/8");
    assert_eq!((passed, record.status), (false, 400));
}

#[test]
fn a_session_in_which_nothing_moves_ends() {
    let mut quiet = service("tcp", named("hi"));
    quiet["read_timeout"] = 50.into();
    let streams = Streams::start(routed(&["tcp"], quiet), Transport::Tcp);
    let mut client = streams.connect();
    assert_eq!(client.exactly(2).unwrap(), b"hi");
    assert!(client.is_closed());
    assert_eq!(streams.record().status, 200);
}

#[test]
fn a_session_lives_on_with_the_configuration_that_it_began_with() {
    let streams = Streams::start(to(echo()), Transport::Tcp);
    let mut before = streams.connect();
    before.send("one");
    assert_eq!(before.exactly(3).unwrap(), b"one");
    streams.gateway.swap(to(named("new")));
    assert_eq!(streams.connect().exactly(3).unwrap(), b"new");
    before.send("two");
    assert_eq!(before.exactly(3).unwrap(), b"two");
}

#[test]
fn a_drain_waits_for_sessions() {
    let Streams { gateway, told } = Streams::start(to(echo()), Transport::Tcp);
    let address = gateway.handle.stream_addresses()[0];
    let mut client = Client::new(tcp(address));
    client.send("x");
    assert_eq!(client.exactly(1).unwrap(), b"x");
    let handle = gateway.handle;
    let draining = std::thread::spawn(move || handle.drain(PATIENCE));
    while TcpStream::connect(address).is_ok() {
        std::thread::yield_now();
    }
    client.send("still here");
    assert_eq!(client.exactly(10).unwrap(), b"still here");
    drop(client);
    assert_eq!(draining.join().unwrap(), Drained { cut_off: 0 });
    assert_eq!(told.iter().map(|record| record.sent).sum::<u64>(), 11);
}

#[test]
fn a_drain_cuts_off_in_the_end() {
    let Streams { gateway, told } = Streams::start(to(echo()), Transport::Tcp);
    let mut client = Client::new(tcp(gateway.handle.stream_addresses()[0]));
    client.send("x");
    assert_eq!(client.exactly(1).unwrap(), b"x");
    let drained = gateway.handle.drain(Duration::ZERO);
    assert_eq!(drained, Drained { cut_off: 1 });
    assert!(client.is_closed());
    // Those that were cut off are told as well.
    assert_eq!(told.iter().map(|record| record.sent).sum::<u64>(), 1);
}

#[test]
fn clients_beyond_the_limit_are_turned_away() {
    let streams = Streams::with(
        to(echo()),
        Transport::Tcp,
        |settings| {
            settings.workers = 1;
            settings.stream.limits.sessions = 1;
        },
        |_| None,
    );
    let mut first = streams.connect();
    first.send("x");
    assert_eq!(first.exactly(1).unwrap(), b"x");
    assert!(streams.connect().is_closed());
    assert_eq!(streams.record().status, 503);
    drop(first);
    assert_eq!(streams.record().status, 200);
    let mut next = streams.connect();
    next.send("y");
    assert_eq!(next.exactly(1).unwrap(), b"y");
}
