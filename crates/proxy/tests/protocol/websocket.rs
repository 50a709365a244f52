//! Tunnels after 101.

use std::io::{Read, Write};
use std::sync::Arc;

use keelgate_proxy::Listen;

use crate::http2_upstream::told;
use crate::support::{Client, Gateway, PATIENCE, config, tcp, upstream};
use crate::tls::{connect, pair, tls_upstream_playing};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n\
                       Upgrade: WebSocket\r\nSec-WebSocket-Key: x\r\n\r\n";

#[test]
fn bytes_go_both_ways_after_101() {
    let (address, _) = upstream(|mut client, _| {
        let head = client.until("\r\n\r\n").unwrap();
        assert!(head.contains("Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"));
        client.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello");
        while let Some(piece) = client.exactly(4) {
            client.send(&String::from_utf8(piece).unwrap());
        }
    });
    let gateway = Gateway::start(config(address));
    let mut client = gateway.connect();
    client.send(UPGRADE);
    let head = client.until("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 101 Switching Protocols"),
        "{head}"
    );
    assert!(head.contains("Connection: upgrade") && head.contains("Upgrade: websocket"));
    assert_eq!(client.exactly(5).unwrap(), b"hello");
    for _ in 0..3 {
        client.send("ping");
        assert_eq!(client.exactly(4).unwrap(), b"ping");
    }
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(client.is_closed());
}

#[test]
fn a_refused_upgrade_is_an_ordinary_answer() {
    let (address, _) = upstream(|mut client, _| {
        while client.request().is_some() {
            client.send("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
        }
    });
    let gateway = Gateway::start(config(address));
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send(UPGRADE);
        assert_eq!(client.response(false).text(), "no");
    }
}

#[test]
fn an_upgrade_that_nobody_asked_for_is_refused() {
    let (address, _) = upstream(|mut client, _| {
        client.request().unwrap();
        client.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
    });
    let gateway = Gateway::start(config(address));
    assert_eq!(gateway.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").status, 502);
}

const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                      Connection: Upgrade\r\n\r\n";

/// Agrees, says something at once, and then says what it hears.
fn repeat<S: Read + Write>(mut client: Client<S>) {
    if client.until("\r\n\r\n").is_none() {
        return;
    }
    client.send(&format!("{AGREED}hello"));
    while let Some(piece) = client.exactly(4) {
        client.send(&String::from_utf8(piece).unwrap());
    }
}

/// Asks, together with the first bytes of what follows, and talks.
fn talk<S: Read + Write>(mut client: Client<S>) {
    client.send(&format!("{UPGRADE}ping"));
    let head = client.until("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert_eq!(client.exactly(9).unwrap(), b"helloping");
    for _ in 0..3 {
        client.send("pong");
        assert_eq!(client.exactly(4).unwrap(), b"pong");
    }
}

#[test]
fn a_tunnel_may_be_encrypted_on_either_side() {
    let (own, of_gateway) = (pair("localhost"), pair("a.test"));
    let plain = config(upstream(|client, _| repeat(client)).0);
    let mut encrypted = config(tls_upstream_playing(&own, None, repeat));
    encrypted["services"][0]["protocol"] = "https".into();
    encrypted["services"][0]["tls_verify"] = false.into();
    for config in [plain, encrypted] {
        let (cert, key) = (&of_gateway.cert, &of_gateway.key);
        let key = keelgate_runtime::certificates::certified_key(cert, key).unwrap();
        let gateway = Gateway::with(
            config,
            |settings| {
                let any = ([127, 0, 0, 1], 0).into();
                settings.listen = vec![Listen::http(any), Listen::https(any)];
                settings.tls.certificates = vec![Arc::new(key)];
            },
            |_| None,
        );
        let [in_clear, over_tls] = gateway.handle.addresses() else {
            panic!("two addresses");
        };
        talk(Client::new(tcp(*in_clear)));
        talk(connect(*over_tls, "a.test", &of_gateway));
    }
}

#[test]
fn a_tunnel_in_which_nothing_moves_ends() {
    let (tell, ended) = told();
    let (address, _) = upstream(move |mut client, _| {
        if client.until("\r\n\r\n").is_some() {
            client.send(AGREED);
            assert!(client.is_closed());
            tell("ended".into());
        }
    });
    let mut config = config(address);
    config["services"][0]["read_timeout"] = 50.into();
    let gateway = Gateway::start(config);
    // The upstream may be late to agree, on a machine that is busy.
    let mut client = loop {
        let mut client = gateway.connect();
        client.send(UPGRADE);
        let head = client.until("\r\n\r\n").unwrap();
        if head.starts_with("HTTP/1.1 101") {
            break client;
        }
    };
    assert!(client.is_closed());
    assert_eq!(ended.recv_timeout(PATIENCE).unwrap(), "ended");
}
