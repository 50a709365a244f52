//! From one process of a node to the next, and from settings to settings, without losing a request.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use e2e::{Cluster, Node, Role, Strict, Traffic, Upstream, wait};
use futures_util::{SinkExt, StreamExt};
use rustix::process::Signal;
use rustls::client::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{HandshakeKind, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

fn configuration(upstream: &Upstream, header: &str) -> Value {
    json!({
        "_format_version": "3.0",
        "services": [{"name": "echo", "url": upstream.url(), "routes": [{
            "name": "echo", "paths": ["/"], "strip_path": false,
        }]}],
        "plugins": [{"name": "response-transformer", "config": {"add": {"headers": [header]}}}],
    })
}

fn proxy(node: &Node) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, node.ports.proxy))
}

/// Waits until a process that was succeeded has ended, and whether it did well.
async fn ends(process: Option<std::process::Child>) -> bool {
    let mut process = process.expect("it is the process that was started");
    wait::until("the process before to end", || {
        let status = process.try_wait().expect("ask for the exit status");
        async move { status.ok_or("it still runs") }
    })
    .await
    .success()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_takes_over_under_load_and_no_request_is_lost() {
    let upstream = Upstream::start().await;
    let mut node = Node::start(Role::Dbless, &[], &[]);
    node.up().await;
    node.change("POST", "/config", configuration(&upstream, "X-From:memory"))
        .await;
    node.serves("/", 200).await;
    let strict = Strict::start(proxy(&node), "/strict");
    let traffic = Traffic::start(format!("https://127.0.0.1:{}/tls", node.ports.proxy_tls));
    let stream = tokio::net::TcpStream::connect(proxy(&node))
        .await
        .expect("connect");
    let url = format!("ws://127.0.0.1:{}/ws", node.ports.proxy);
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream)
        .await
        .expect("the upgrade passes");
    strict.more(100).await;
    let slow = tokio::spawn(reqwest::get(node.proxy("/slow")));
    upstream.has_slow(1).await;
    let first = node.hand_over().await;
    strict.more(300).await;
    // What was in flight, and what has no end of its own, stays with the process before.
    let slow = slow.await.expect("no panic").expect("it is answered");
    assert_eq!(slow.status(), 200);
    socket
        .send(Message::text("still there"))
        .await
        .expect("send");
    let back = socket.next().await.expect("a message").expect("no error");
    assert_eq!(back.into_text().expect("text").as_str(), "still there");
    socket.close(None).await.expect("close");
    drop(socket);

    // And once more, from a process that took over itself.
    node.hand_over().await;
    strict.more(300).await;
    traffic.more(50).await;
    traffic.stop_without_failures().await;
    strict.stop_without_failures().await;
    assert!(ends(first).await);

    // The configuration came along, and the node takes others.
    let answer = reqwest::get(node.proxy("/")).await.expect("an answer");
    assert_eq!(answer.headers()["x-from"], "memory");
    node.change("POST", "/config", configuration(&upstream, "X-From:later"))
        .await;
    let answer = reqwest::get(node.proxy("/")).await.expect("an answer");
    assert_eq!(answer.headers()["x-from"], "later");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_administered_meanwhile_is_served_by_the_process_after() {
    let upstream = Upstream::start().await;
    let mut node = Node::start(Role::Traditional, &[], &[]);
    node.up().await;
    node.change("PUT", "/services/echo", json!({"url": upstream.url()}))
        .await;
    node.change(
        "PUT",
        "/services/echo/routes/first",
        json!({"paths": ["/a"]}),
    )
    .await;
    node.serves("/a", 200).await;
    let strict = Strict::start(proxy(&node), "/a");
    strict.more(50).await;
    let (handed, ()) = tokio::join!(node.hand_over(), async {
        strict.more(100).await;
    });
    node.change(
        "PUT",
        "/services/echo/routes/second",
        json!({"paths": ["/b"]}),
    )
    .await;
    node.serves("/b", 200).await;
    strict.more(50).await;
    strict.stop_without_failures().await;
    assert!(ends(handed).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_hands_over_and_waits() {
    let upstream = Upstream::start().await;
    let mut node = Node::start(Role::Dbless, &[], &[]);
    node.up().await;
    node.change("POST", "/config", configuration(&upstream, "X-From:memory"))
        .await;
    let before = node.process().expect("the node runs");
    let strict = Strict::start(proxy(&node), "/");
    let (succeeded, said) = node.operate(&["restart", "--graceful"]).await;
    assert!(succeeded, "{said}");
    assert_ne!(node.process(), Some(before));
    strict.more(50).await;
    strict.stop_without_failures().await;
    assert!(node.exit().await.success());
    let (stopped, said) = node.operate(&["stop"]).await;
    assert!(stopped, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_cannot_start_changes_nothing() {
    let upstream = Upstream::start().await;
    let place = tempfile::tempdir().expect("make a directory");
    let node = with_file(place.path(), "ssl_cipher_suite = modern\n").await;
    node.change("POST", "/config", configuration(&upstream, "X-From:memory"))
        .await;
    let before = node.process();
    let strict = Strict::start(proxy(&node), "/");
    write(place.path(), "ssl_cipher_suite = nonsense\n");
    node.signal(Signal::USR2);
    wait::until("the failure to be told", || async {
        let log = node.log();
        log.contains("cannot hand over").then_some(()).ok_or(log)
    })
    .await;
    strict.more(50).await;
    strict.stop_without_failures().await;
    assert_eq!(node.process(), before);
    // Changes are taken again.
    node.change("POST", "/config", configuration(&upstream, "X-From:later"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_reloaded_under_load_and_no_request_is_lost() {
    let upstream = Upstream::start().await;
    let place = tempfile::tempdir().expect("make a directory");
    let mut node = with_file(place.path(), "headers = off\n").await;
    node.change("POST", "/config", configuration(&upstream, "X-From:memory"))
        .await;
    node.serves("/", 200).await;
    let strict = Strict::start(proxy(&node), "/");
    for turn in 0..6 {
        let headers = if turn % 2 == 0 { "Via" } else { "off" };
        write(place.path(), &format!("headers = {headers}\n"));
        let (succeeded, said) = node.operate(&["reload"]).await;
        assert!(succeeded, "{said}");
        wait::until("the settings to count", || async {
            let answer = reqwest::get(node.proxy("/"))
                .await
                .map_err(|error| error.to_string())?;
            let is_there = answer.headers().contains_key("via");
            (is_there == (headers == "Via"))
                .then_some(())
                .ok_or_else(|| node.log())
        })
        .await;
        strict.more(50).await;
    }
    strict.stop_without_failures().await;
    assert!(node.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_configuration_is_swapped_under_load_and_no_request_is_lost() {
    let upstream = Upstream::start().await;
    let node = Node::start(Role::Dbless, &[], &[]);
    node.up().await;
    let large = |turn: usize| {
        let mut whole = configuration(&upstream, &format!("X-Turn:{turn}"));
        let routes: Vec<Value> = (0..3000)
            .map(
                |index| json!({"name": format!("r{index}"), "paths": [format!("/{turn}/{index}")]}),
            )
            .chain([json!({"name": "all", "paths": ["/"], "strip_path": false})])
            .collect();
        whole["services"][0]["routes"] = routes.into();
        whole
    };
    node.change("POST", "/config", large(0)).await;
    node.serves("/", 200).await;
    let strict = Strict::start(proxy(&node), "/steady");
    for turn in 1..5 {
        node.change("POST", "/config", large(turn)).await;
        node.serves(&format!("/{turn}/2999"), 200).await;
        strict.more(50).await;
    }
    strict.stop_without_failures().await;
}

/// A node whose settings are in a file that may change.
async fn with_file(place: &Path, settings: &str) -> Node {
    let file = write(place, settings);
    let node = Node::start(Role::Dbless, &[], &[("KEELGATE_CONF".into(), file)]);
    node.up().await;
    node
}

fn write(place: &Path, settings: &str) -> String {
    let file = place.join("kong.conf");
    std::fs::write(&file, settings).expect("write the settings");
    file.display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_plane_is_replaced_while_its_control_plane_is_dead() {
    let cluster = Cluster::new().await;
    let mut control_plane = cluster.control_plane(&[]);
    control_plane.up().await;
    let mut data_plane = cluster.data_plane_of(&control_plane, &[]);
    cluster.add_route(&control_plane, "first", "/first").await;
    data_plane.serves("/first/x", 200).await;
    control_plane.kill();
    let strict = Strict::start(proxy(&data_plane), "/first/x");
    strict.more(50).await;
    let before = data_plane.hand_over().await;
    strict.more(100).await;
    strict.stop_without_failures().await;
    assert_eq!(data_plane.source().await, "cache");
    assert!(ends(before).await);
    // And its control plane is heard again.
    control_plane.start_again();
    control_plane.up().await;
    cluster.add_route(&control_plane, "second", "/second").await;
    data_plane.serves("/second/x", 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_is_replaced_and_its_data_planes_follow() {
    let cluster = Cluster::new().await;
    let mut control_plane = cluster.control_plane(&[]);
    control_plane.up().await;
    let data_plane = cluster.data_plane_of(&control_plane, &[]);
    cluster.add_route(&control_plane, "first", "/first").await;
    data_plane.serves("/first/x", 200).await;
    let before = control_plane.hand_over().await;
    cluster.add_route(&control_plane, "second", "/second").await;
    data_plane.serves("/second/x", 200).await;
    assert!(ends(before).await);
}

/// One request over TLS on a connection of its own; whether its session was resumed.
async fn is_resumed(node: &Node, config: &Arc<ClientConfig>) -> bool {
    let stream = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, node.ports.proxy_tls))
        .await
        .expect("connect");
    let name = ServerName::try_from("localhost").expect("a name");
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
    let mut stream = connector.connect(name, stream).await.expect("handshake");
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.expect("send");
    // The ticket comes on the way.
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_sessions_are_resumed_by_the_process_after() {
    let upstream = Upstream::start().await;
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12]] {
        let mut node = Node::start(Role::Dbless, &[], &[]);
        node.up().await;
        node.change("POST", "/config", configuration(&upstream, "X-From:memory"))
            .await;
        node.serves("/", 200).await;
        let certificate = node.prefix().join("ssl/proxy-default.crt");
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(&certificate).expect("a certificate");
        roots.add(certificate).expect("a trust anchor");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        assert!(!is_resumed(&node, &config).await);
        assert!(is_resumed(&node, &config).await);
        let first = node.hand_over().await;
        assert!(ends(first).await);
        assert!(is_resumed(&node, &config).await);
    }
}
