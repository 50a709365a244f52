//! Tunnels after 101.

use crate::support::{Gateway, config, upstream};

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
