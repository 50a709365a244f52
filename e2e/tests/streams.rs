//! TCP, TLS and UDP streams through a DB-less node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use e2e::{Node, Role, ports, wait};
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The ports of `stream_listen`.
#[derive(Clone, Copy)]
struct Ports {
    tcp: u16,
    tls: u16,
    udp: u16,
    proxied: u16,
}

async fn start(config: impl FnOnce(Ports) -> Value) -> (Node, Ports) {
    let ports = Ports {
        tcp: ports::free(),
        tls: ports::free(),
        udp: ports::free(),
        proxied: ports::free(),
    };
    let listen = format!(
        "127.0.0.1:{} reuseport backlog=1024, 127.0.0.1:{} ssl reuseport, \
         127.0.0.1:{} udp reuseport, 127.0.0.1:{} proxy_protocol",
        ports.tcp, ports.tls, ports.udp, ports.proxied
    );
    let settings = [
        ("stream_listen", listen.as_str()),
        ("trusted_ips", "127.0.0.0/8"),
        ("proxy_stream_access_log", "logs/stream.log basic"),
    ];
    let node = Node::start(Role::Dbless, &settings, &[]);
    node.up().await;
    node.change("POST", "/config", config(ports)).await;
    node.ready().await;
    (node, ports)
}

/// A service of its own for one route.
fn routed(name: &str, service: Value, route: Value) -> Value {
    let mut service = service;
    let mut route = route;
    route["name"] = name.into();
    service["name"] = name.into();
    service["routes"] = json!([route]);
    service
}

fn at(protocol: &str, address: SocketAddr) -> Value {
    json!({"protocol": protocol, "host": address.ip().to_string(), "port": address.port()})
}

fn on(port: u16, protocol: &str) -> Value {
    json!({"protocols": [protocol], "destinations": [{"port": port}]})
}

/// Sends back everything; the end of the client's bytes is answered by `bye` and its own end.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream));
        }
    });
    address
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut part = [0; 4096];
    while let Ok(read) = stream.read(&mut part).await {
        if read == 0 {
            let _ = stream.write_all(b"bye").await;
            let _ = stream.shutdown().await;
            return;
        }
        if stream.write_all(&part[..read]).await.is_err() {
            return;
        }
    }
}

/// Answers every datagram by itself.
async fn udp_echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
    let address = socket.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut part = [0; 65536];
        while let Ok((length, from)) = socket.recv_from(&mut part).await {
            let _ = socket.send_to(&part[..length], from).await;
        }
    });
    address
}

/// A certificate for a name, and its key.
type Pair = rcgen::CertifiedKey<rcgen::KeyPair>;

fn pair(name: &str) -> Pair {
    rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("make a key")
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The same as [`echo`], over TLS that it ends itself.
async fn tls_echo(with: &Pair) -> SocketAddr {
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![with.cert.der().clone()],
            PrivatePkcs8KeyDer::from(with.signing_key.serialize_der()).into(),
        )
        .expect("a certificate and its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    converse(stream).await;
                }
            });
        }
    });
    address
}

async fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("connect to the node")
}

async fn connect_tls(
    port: u16,
    name: &str,
    trusted: &Pair,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(trusted.cert.der().clone())
        .expect("a trust anchor");
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    TlsConnector::from(Arc::new(config))
        .connect(name, connect(port).await)
        .await
}

/// Sends `text`, and fails unless it comes back.
async fn echoes(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), text: &str) {
    stream.write_all(text.as_bytes()).await.expect("send");
    stream.flush().await.expect("send");
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).await.expect("an echo");
    assert_eq!(back, text.as_bytes());
}

/// Whether the node closes the connection without a word.
async fn is_closed(mut stream: TcpStream) -> bool {
    matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_))
}

/// Fails unless a session reaches its service.
async fn greets(port: u16) {
    echoes(&mut connect(port).await, "hello").await;
}

async fn logged(node: &Node, wanted: &str) {
    wait::until(&format!("{wanted} in the log of streams"), || async {
        let path = node.prefix().join("logs/stream.log");
        let log = std::fs::read_to_string(path).unwrap_or_default();
        match log.contains(wanted) {
            true => Ok(()),
            false => Err(log),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_stream_reaches_its_service() {
    let (ended, passed) = (pair("ended.test"), pair("passed.test"));
    let (tcp, udp, tls) = (echo().await, udp_echo().await, tls_echo(&passed).await);
    let (node, ports) = start(|ports| {
        json!({
            "_format_version": "3.0",
            "services": [
                routed("tcp", at("tcp", tcp), on(ports.tcp, "tcp")),
                routed("udp", at("udp", udp), on(ports.udp, "udp")),
                routed("tls", at("tcp", tcp), json!({"protocols": ["tls"], "snis": ["ended.test"]})),
                routed("pass", at("tcp", tls), json!({
                    "protocols": ["tls_passthrough"], "snis": ["passed.test"],
                })),
                routed("proxied", at("tcp", tcp), json!({
                    "protocols": ["tcp"], "sources": [{"ip": "192.0.2.0/24"}],
                })),
            ],
            "certificates": [{
                "cert": ended.cert.pem(), "key": ended.signing_key.serialize_pem(), "snis": [{"name": "ended.test"}],
            }],
        })
    })
    .await;

    // Half-closed, the client still hears what the service has to say.
    let mut client = connect(ports.tcp).await;
    echoes(&mut client, "in clear").await;
    client.shutdown().await.expect("close one way");
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.expect("the rest");
    assert_eq!(rest, "bye");
    logged(&node, " TCP 200 11 8 ").await;

    // Each handshake fails unless the certificate is the one that is trusted.
    let mut client = connect_tls(ports.tls, "ended.test", &ended).await;
    echoes(client.as_mut().expect("TLS ended by the node"), "ended").await;
    let mut client = connect_tls(ports.tls, "passed.test", &passed).await;
    echoes(client.as_mut().expect("TLS passed through"), "passed").await;
    assert!(connect_tls(ports.tls, "other.test", &ended).await.is_err());

    let client = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
    client.connect(("127.0.0.1", ports.udp)).await.expect("aim");
    for text in ["one", "two"] {
        client.send(text.as_bytes()).await.expect("send");
        let mut back = [0; 64];
        let length = client.recv(&mut back).await.expect("an echo");
        assert_eq!(&back[..length], text.as_bytes());
    }

    let line = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec();
    let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    binary.extend_from_slice(&[192, 0, 2, 2, 198, 51, 100, 1, 0xdc, 0x04, 1, 0xbb]);
    for header in [line, binary] {
        let mut client = connect(ports.proxied).await;
        client.write_all(&header).await.expect("send");
        echoes(&mut client, "proxied").await;
    }
    logged(&node, "192.0.2.1 [").await;
    logged(&node, "192.0.2.2 [").await;
    let mut stranger = connect(ports.proxied).await;
    let elsewhere = b"PROXY TCP4 203.0.113.1 198.51.100.1 1 2\r\n";
    stranger.write_all(elsewhere).await.expect("send");
    assert!(is_closed(stranger).await);
    logged(&node, " TCP 500 0 0 ").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ip_restriction_keeps_clients_from_a_stream() {
    let tcp = echo().await;
    let (node, ports) = start(|ports| {
        let restricted = |name, deny: &str, port| {
            let mut service = routed(name, at("tcp", tcp), on(port, "tcp"));
            service["plugins"] = json!([{"name": "ip-restriction", "config": {"deny": [deny]}}]);
            service
        };
        json!({
            "_format_version": "3.0",
            "services": [
                restricted("open", "10.0.0.0/8", ports.tcp),
                restricted("shut", "192.0.2.0/24", ports.proxied),
            ],
        })
    })
    .await;
    greets(ports.tcp).await;
    for (client, shut) in [("192.0.2.9", true), ("192.0.3.9", false)] {
        let mut stream = connect(ports.proxied).await;
        let header = format!("PROXY TCP4 {client} 198.51.100.1 1 2\r\n");
        stream.write_all(header.as_bytes()).await.expect("send");
        match shut {
            true => assert!(is_closed(stream).await),
            false => echoes(&mut stream, "let in").await,
        }
    }
    logged(&node, " TCP 403 0 0 ").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_swaps_and_pass_over_dead_targets() {
    let dead = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        listener.local_addr().expect("an address").to_string()
    };
    let live = echo().await.to_string();
    let config = move |ports: Ports, targets: &[&str]| {
        let pool = json!({"protocol": "tcp", "host": "pool", "port": 1});
        let targets: Vec<Value> = targets.iter().map(|to| json!({"target": to})).collect();
        json!({
            "_format_version": "3.0",
            "services": [routed("pool", pool, on(ports.tcp, "tcp"))],
            "upstreams": [{"name": "pool", "targets": targets}],
        })
    };
    let (mut node, ports) = start(|ports| config(ports, &[&dead, &live])).await;
    for _ in 0..6 {
        greets(ports.tcp).await;
    }
    let mut before = connect(ports.tcp).await;
    echoes(&mut before, "before").await;
    node.change("POST", "/config", config(ports, &[&dead]))
        .await;
    wait::until("the new configuration", || async {
        let closed = is_closed(connect(ports.tcp).await);
        match tokio::time::timeout(Duration::from_millis(200), closed).await {
            Ok(true) => Ok(()),
            _ => Err("the old one serves"),
        }
    })
    .await;
    echoes(&mut before, "after").await;
    logged(&node, " TCP 502 0 0 ").await;

    // Told to stop, the node waits for the session.
    node.signal(rustix::process::Signal::QUIT);
    wait::until("the listener to close", || async {
        match TcpStream::connect(("127.0.0.1", ports.tcp)).await {
            Ok(_) => Err("it still accepts"),
            Err(_) => Ok(()),
        }
    })
    .await;
    echoes(&mut before, "to the end").await;
    drop(before);
    assert!(node.exit().await.success());
}

/// Sends a datagram until it comes back: one may get lost on its way.
async fn datagram_echoes(client: &UdpSocket, text: &str) {
    wait::until("the datagram to come back", || async {
        client.send(text.as_bytes()).await.expect("send");
        let mut back = [0; 64];
        let answer = client.recv(&mut back);
        match tokio::time::timeout(Duration::from_secs(1), answer).await {
            Ok(Ok(length)) if &back[..length] == text.as_bytes() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_takes_over_sessions_to_come() {
    let (tcp, udp) = (echo().await, udp_echo().await);
    let (mut node, ports) = start(|ports| {
        json!({
            "_format_version": "3.0",
            "services": [
                routed("tcp", at("tcp", tcp), on(ports.tcp, "tcp")),
                routed("udp", at("udp", udp), on(ports.udp, "udp")),
            ],
        })
    })
    .await;
    let mut before = connect(ports.tcp).await;
    echoes(&mut before, "before").await;
    let client = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
    client.connect(("127.0.0.1", ports.udp)).await.expect("aim");
    datagram_echoes(&client, "before").await;

    let mut first = node.hand_over().await.expect("the process before");
    // The one session stays, the other begins anew.
    echoes(&mut before, "after").await;
    datagram_echoes(&client, "after").await;
    greets(ports.tcp).await;
    drop(before);
    wait::until("the process before to end", || {
        let status = first.try_wait().expect("ask for the exit status");
        async move { status.ok_or("it still runs") }
    })
    .await;
    datagram_echoes(&client, "from the next process alone").await;
    greets(ports.tcp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_told_to_logging_plugins() {
    let tcp = echo().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("sessions");
    let file = path.clone();
    let (_node, ports) = start(move |ports| {
        let mut service = routed("told", at("tcp", tcp), on(ports.tcp, "tcp"));
        service["plugins"] = json!([{
            "name": "file-log", "protocols": ["tcp"], "config": {"path": file},
        }]);
        json!({"_format_version": "3.0", "services": [service]})
    })
    .await;
    greets(ports.tcp).await;
    let told = || async {
        let log = std::fs::read_to_string(&path).unwrap_or_default();
        match log.lines().next() {
            Some(line) if log.ends_with('\n') => Ok(line.to_owned()),
            _ => Err(log),
        }
    };
    let line = wait::until("a record of the session", told).await;
    let record: Value = serde_json::from_str(&line).expect("a record in JSON");
    assert_eq!(record["session"]["received"], 5);
    assert_eq!(record["session"]["server_port"], ports.tcp);
    assert_eq!(record["upstream"]["sent"], 5);
    assert_eq!(record["service"]["name"], "told");
}
