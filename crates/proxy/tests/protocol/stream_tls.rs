//! TLS sessions: ended here or passed through, by server name, and towards services.

use std::io::Write;
use std::net::SocketAddr;

use keelgate_proxy::Transport;
use serde_json::{Value, json};

use crate::stream::{Streams, echo, named, routed, service};
use crate::support::SERVICE;
use crate::tls::{Pair, TlsClient, connect, pair, tls_upstream};

fn id(n: u8) -> String {
    format!("00000000-0000-4000-8000-0000000000{n:02}")
}

/// A route of `protocol` for each name, to a service each.
fn by_name(protocol: &str, services: &[(&str, SocketAddr)]) -> Value {
    let mut config = json!({"services": [], "routes": []});
    for (n, (name, address)) in (60..).step_by(2).zip(services) {
        let mut service = service("tcp", *address);
        service["id"] = id(n).into();
        service["name"] = (*name).into();
        config["services"].as_array_mut().unwrap().push(service);
        config["routes"].as_array_mut().unwrap().push(json!({
            "id": id(n + 1), "protocols": [protocol], "snis": [name], "service": {"id": id(n)},
        }));
    }
    config
}

fn with_certificates(mut config: Value, pairs: &[(&str, &Pair)]) -> Value {
    config["certificates"] = json!([]);
    config["snis"] = json!([]);
    for (n, (name, pair)) in (80..).step_by(2).zip(pairs) {
        let certificate = json!({"id": id(n), "cert": pair.cert, "key": pair.key});
        let sni = json!({"id": id(n + 1), "name": name, "certificate": {"id": id(n)}});
        config["certificates"]
            .as_array_mut()
            .unwrap()
            .push(certificate);
        config["snis"].as_array_mut().unwrap().push(sni);
    }
    config
}

fn says(mut client: TlsClient) -> Option<Vec<u8>> {
    client.exactly(1)
}

#[test]
fn tls_ends_here_with_the_certificate_of_the_name() {
    let (a, b) = (pair("a.test"), pair("b.test"));
    let config = by_name("tls", &[("a.test", named("a")), ("b.test", named("b"))]);
    let config = with_certificates(config, &[("a.test", &a), ("b.test", &b)]);
    let streams = Streams::start(config, Transport::Tls);
    let at = streams.address();
    // The handshake fails unless the trusted certificate is the one that answers.
    assert_eq!(says(connect(at, "a.test", &a)).unwrap(), b"a");
    assert_eq!(says(connect(at, "b.test", &b)).unwrap(), b"b");
    let other = pair("c.test");
    let mut stranger = connect(at, "c.test", &other);
    assert!(stranger.stream.write_all(b"x").is_err() || stranger.is_closed());
}

#[test]
fn a_terminated_session_carries_bytes_both_ways() {
    let a = pair("a.test");
    let config = by_name("tls", &[("a.test", echo())]);
    let streams = Streams::start(with_certificates(config, &[("a.test", &a)]), Transport::Tls);
    let mut client = connect(streams.address(), "a.test", &a);
    let text = "0123456789".repeat(20_000);
    let mut sent = 0;
    for piece in text.as_bytes().chunks(8_000) {
        client.stream.write_all(piece).unwrap();
        sent += piece.len();
        assert_eq!(client.exactly(piece.len()).unwrap(), piece, "at {sent}");
    }
    client.stream.conn.send_close_notify();
    client.stream.flush().unwrap();
    assert!(client.is_closed());
    let record = streams.record();
    assert_eq!((record.sent, record.received), (200_000, 200_000));
}

#[test]
fn tls_passes_through_to_the_service_of_the_name() {
    let (a, b) = (pair("a.test"), pair("b.test"));
    let services = [("a.test", tls_upstream(&a)), ("b.test", tls_upstream(&b))];
    let streams = Streams::start(by_name("tls_passthrough", &services), Transport::Tls);
    for (name, trusted) in [("a.test", &a), ("b.test", &b)] {
        let mut client = connect(streams.address(), name, trusted);
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.response(false).status, 200, "{name}");
    }
}

#[test]
fn what_is_not_tls_is_refused_on_a_tls_listener() {
    let streams = Streams::start(by_name("tls", &[("a.test", echo())]), Transport::Tls);
    let mut client = streams.connect();
    client.send("hello\r\n\r\n");
    while !client.is_closed() {
        client.exactly(1);
    }
    assert_eq!(streams.record().status, 400);
}

#[test]
fn a_client_that_says_nothing_is_not_waited_for() {
    let streams = Streams::with(
        by_name("tls", &[("a.test", echo())]),
        Transport::Tls,
        |settings| settings.stream.limits.preread = std::time::Duration::from_millis(20),
        |_| None,
    );
    assert!(streams.connect().is_closed());
    assert_eq!(streams.record().status, 400);
}

#[test]
fn services_are_spoken_to_in_tls_and_verified() {
    let own = pair("localhost");
    let address = tls_upstream(&own);
    let tls = |extra: Value| {
        let mut service = json!({
            "id": SERVICE, "protocol": "tls", "host": "localhost", "port": address.port(),
            "retries": 0,
        });
        service
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        routed(&["tcp"], service)
    };
    let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let streams = Streams::start(tls(json!({"tls_verify": false})), Transport::Tcp);
    let mut client = streams.connect();
    client.send(get);
    assert_eq!(client.response(false).status, 200);
    drop(client);
    assert_eq!(streams.record().status, 200);

    streams.gateway.swap(tls(json!({"tls_verify": true})));
    assert!(streams.connect().is_closed());
    assert_eq!(streams.record().status, 502);

    let mut trusting = tls(json!({"tls_verify": true, "ca_certificates": [id(21)]}));
    trusting["ca_certificates"] = json!([{"id": id(21), "cert": own.cert}]);
    streams.gateway.swap(trusting);
    let mut client = streams.connect();
    client.send(get);
    assert_eq!(client.response(false).status, 200);
}
