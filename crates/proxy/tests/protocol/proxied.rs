//! Load balancers that tell the client by the PROXY protocol.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;

use keelgate_proxy::{Listen, RealIp, Tls};

use crate::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Peer, block};
use crate::support::{Client, Gateway, config, echo, tcp};
use crate::tls::{connect_over, pair};

const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// A gateway behind balancers from these addresses.
fn behind(trusted: &str, listen: Listen, tls: Tls) -> Gateway {
    Gateway::with(
        config(echo()),
        |settings| {
            settings.listen = vec![Listen {
                proxy_protocol: true,
                ..listen
            }];
            settings.tls = tls;
            settings.real_ip = RealIp::ProxyProtocol;
            settings.trusted_ips = vec![trusted.parse().unwrap()];
        },
        |_| None,
    )
}

fn in_clear(trusted: &str) -> Gateway {
    let listen = Listen::http(([127, 0, 0, 1], 0).into());
    behind(trusted, listen, Tls::default())
}

/// Version 2, with a command and a client at this address of IPv4 or IPv6.
fn binary(command: u8, client: &[u8]) -> Vec<u8> {
    let (family, length) = match client.len() {
        4 => (0x11, 12),
        _ => (0x21, 36),
    };
    let mut header = SIGNATURE.to_vec();
    header.extend_from_slice(&[0x20 | command, family, 0, length]);
    header.extend_from_slice(client);
    header.extend_from_slice(client);
    header.extend_from_slice(&[0x10, 0x01, 0x10, 0x02]);
    header
}

fn proxied(gateway: &Gateway, header: &[u8]) -> TcpStream {
    let mut stream = tcp(gateway.address());
    stream.write_all(header).unwrap();
    stream
}

fn client_seen(mut client: Client<impl std::io::Read + std::io::Write>) -> String {
    client.send(GET);
    told_in(&client.response(false).text())
}

fn told_in(seen: &str) -> String {
    let told = seen
        .lines()
        .find_map(|line| line.strip_prefix("X-Real-IP: "));
    told.unwrap().to_owned()
}

#[test]
fn the_client_is_who_the_header_names() {
    let gateway = in_clear("127.0.0.0/8");
    let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    for (header, client) in [
        (LINE.to_vec(), "192.0.2.1"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (binary(1, &[192, 0, 2, 7]), "192.0.2.7"),
        (binary(1, &v6), "2001:db8::9"),
        // The balancer's own: a look at whether the gateway is there.
        (binary(0, &[192, 0, 2, 7]), "127.0.0.1"),
    ] {
        let stream = proxied(&gateway, &header);
        assert_eq!(client_seen(Client::new(stream)), client, "{header:?}");
    }
}

#[test]
fn who_sends_no_header_is_not_served() {
    let gateway = in_clear("127.0.0.0/8");
    let mut bare = gateway.connect();
    bare.send(GET);
    assert!(bare.is_closed());
}

#[test]
fn a_header_is_waited_for_piece_by_piece() {
    let gateway = in_clear("127.0.0.0/8");
    for header in [LINE.to_vec(), binary(1, &[192, 0, 2, 1])] {
        let mut stream = proxied(&gateway, b"");
        stream.set_nodelay(true).unwrap();
        for byte in &header {
            stream.write_all(std::slice::from_ref(byte)).unwrap();
            std::thread::yield_now();
        }
        assert_eq!(client_seen(Client::new(stream)), "192.0.2.1");
    }
}

#[test]
fn a_balancer_that_is_not_trusted_is_taken_for_the_client() {
    let gateway = in_clear("192.0.2.0/24");
    let stream = proxied(&gateway, LINE);
    assert_eq!(client_seen(Client::new(stream)), "127.0.0.1");
}

#[test]
fn the_header_comes_before_tls() {
    let own = pair("a.test");
    let key = keelgate_runtime::certificates::certified_key(&own.cert, &own.key).unwrap();
    let tls = Tls {
        certificates: vec![Arc::new(key)],
        ..Tls::default()
    };
    let listen = Listen::https(([127, 0, 0, 1], 0).into());
    let gateway = behind("127.0.0.0/8", listen, tls);
    for header in [LINE.to_vec(), binary(1, &[192, 0, 2, 1])] {
        let client = connect_over(proxied(&gateway, &header), "a.test", &own);
        assert_eq!(client_seen(client), "192.0.2.1");
    }
}

#[test]
fn the_header_comes_before_http2() {
    let listen = Listen {
        http2: true,
        ..Listen::http(([127, 0, 0, 1], 0).into())
    };
    let gateway = behind("127.0.0.0/8", listen, Tls::default());
    let stream = proxied(&gateway, &binary(1, &[192, 0, 2, 1]));
    let mut client = Peer::dial(Client::new(stream));
    let get = block(&[
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", b"/"),
        (b":authority", b"h"),
    ]);
    client.send(HEADERS, END_HEADERS | END_STREAM, 1, &get);
    let body = loop {
        let frame = client.next().unwrap();
        if frame.kind == DATA {
            break frame.payload;
        }
    };
    assert_eq!(told_in(&String::from_utf8(body).unwrap()), "192.0.2.1");
}
