//! The proxy of a DB-less node: declarative configuration, streaming, upgrades, reload and drain.

use e2e::{Node, Role, Traffic, Upstream};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

async fn dbless(upstream: &Upstream, plugins: Value) -> Node {
    let node = Node::start(Role::Dbless, &[], &[]);
    node.up().await;
    load(&node, upstream, "/", plugins).await;
    node
}

async fn load(node: &Node, upstream: &Upstream, path: &str, plugins: Value) {
    let config = json!({
        "_format_version": "3.0",
        "services": [{"name": "echo", "url": upstream.url(), "routes": [{
            "name": "echo", "paths": [path], "strip_path": false, "request_buffering": false, "response_buffering": false,
        }]}],
        "consumers": [{"username": "ann", "keyauth_credentials": [{"key": "open-sesame"}]}],
        "plugins": plugins,
    });
    node.change("POST", "/config", config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declarative_file_is_served_from_the_start() {
    let upstream = Upstream::start().await;
    let directory = tempfile::tempdir().expect("make a directory");
    let file = directory.path().join("kong.yml");
    let text = format!(
        "_format_version: \"3.0\"\nservices:\n- name: echo\n  url: {}\n  routes:\n  - name: echo\n    paths: [/file]\n",
        upstream.url()
    );
    std::fs::write(&file, text).expect("write kong.yml");
    let node = Node::start(
        Role::Dbless,
        &[("declarative_config", file.to_str().expect("UTF-8"))],
        &[],
    );
    let echoed = node.serves("/file/a?b=c", 200).await;
    assert!(
        echoed.contains("\"path\":\"/a\"") && echoed.contains("\"query\":\"b=c\""),
        "{echoed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_configuration_changes_nothing() {
    let upstream = Upstream::start().await;
    let node = dbless(&upstream, json!([])).await;
    node.serves("/kept", 200).await;
    let (status, answer) = node
        .ask(
            "POST",
            "/config",
            json!({"_format_version": "3.0", "services": [{"name": "x", "protocol": "gopher"}]}),
        )
        .await;
    assert_eq!(status, 400);
    assert_eq!(answer["code"], 14);
    assert!(
        answer["fields"]["services"][0]["host"].is_string(),
        "{answer}"
    );
    node.serves("/kept", 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_run_in_order_and_by_scope() {
    let upstream = Upstream::start().await;
    let node = dbless(
        &upstream,
        json!([
            {"name": "key-auth"},
            {"name": "correlation-id", "config": {"header_name": "X-Trace", "echo_downstream": true}},
            {"name": "request-transformer", "config": {"add": {"headers": ["X-Seen-By:keelgate"]}}},
            {"name": "response-transformer", "config": {"add": {"headers": ["X-Left:yes"]}}},
            {"name": "rate-limiting", "config": {"minute": 2, "policy": "local"}, "consumer": "ann"},
        ]),
    )
    .await;
    node.serves("/", 401).await;
    let client = reqwest::Client::new();
    let ask = || {
        client
            .get(node.proxy("/a"))
            .header("apikey", "open-sesame")
            .send()
    };
    let mut statuses = Vec::new();
    for turn in 0..6 {
        let answer = ask().await.expect("the proxy answers");
        statuses.push(answer.status().as_u16());
        if turn == 0 {
            assert_eq!(answer.headers()["x-left"], "yes");
            let trace = answer.headers()["x-trace"]
                .to_str()
                .expect("text")
                .to_owned();
            let echoed: Value = answer.json().await.expect("JSON");
            assert_eq!(echoed["headers"]["x-trace"], trace);
            assert_eq!(echoed["headers"]["x-seen-by"], "keelgate");
            assert_eq!(echoed["headers"]["x-consumer-username"], "ann");
        }
    }
    // Six requests span two windows of a minute at the most.
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(statuses[0], 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn websocket_messages_pass_both_ways() {
    let upstream = Upstream::start().await;
    let node = dbless(&upstream, json!([])).await;
    node.serves("/", 200).await;
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", node.ports.proxy))
        .await
        .expect("connect");
    let (mut socket, answer) =
        tokio_tungstenite::client_async(format!("ws://127.0.0.1:{}/ws", node.ports.proxy), stream)
            .await
            .expect("the upgrade passes");
    assert_eq!(answer.status(), 101);
    for text in ["one", "two", &"long ".repeat(20_000)] {
        socket.send(Message::text(text)).await.expect("send");
        let back = socket.next().await.expect("a message").expect("no error");
        assert_eq!(back.into_text().expect("text").as_str(), text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_stream_both_ways_before_the_request_ends() {
    let upstream = Upstream::start().await;
    let node = dbless(&upstream, json!([])).await;
    node.serves("/", 200).await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<bytes::Bytes, std::io::Error>>(1);
    let body = reqwest::Body::wrap_stream(futures_util::stream::unfold(
        receiver,
        |mut receiver| async { receiver.recv().await.map(|piece| (piece, receiver)) },
    ));
    sender
        .send(Ok("first ".into()))
        .await
        .expect("the body is read");
    let answer = reqwest::Client::new()
        .post(node.proxy("/stream"))
        .body(body)
        .send()
        .await
        .expect("an answer begins");
    let mut pieces = answer.bytes_stream();
    let first = pieces.next().await.expect("a piece").expect("no error");
    assert_eq!(first, "first ");
    sender
        .send(Ok("second".into()))
        .await
        .expect("the body is read");
    drop(sender);
    let mut rest = Vec::new();
    while let Some(piece) = pieces.next().await {
        rest.extend_from_slice(&piece.expect("no error"));
    }
    assert_eq!(rest, b"second");
}

#[tokio::test(flavor = "multi_thread")]
async fn swapping_the_configuration_under_load_drops_nothing() {
    let upstream = Upstream::start().await;
    let node = dbless(&upstream, json!([])).await;
    node.serves("/steady", 200).await;
    let traffic = Traffic::start(node.proxy("/steady"));
    for turn in 0..20 {
        let header = format!("X-Turn:{turn}");
        load(
            &node,
            &upstream,
            "/",
            json!([{"name": "response-transformer", "config": {"add": {"headers": [header]}}}]),
        )
        .await;
        traffic.more(10).await;
    }
    traffic.stop_without_failures().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_finishes_the_requests_in_flight() {
    let upstream = Upstream::start().await;
    let mut node = dbless(&upstream, json!([])).await;
    node.serves("/", 200).await;
    let slow = tokio::spawn(reqwest::get(node.proxy("/slow")));
    upstream.has_slow(1).await;
    assert!(node.stop().await.success());
    let answer = slow
        .await
        .expect("the client does not panic")
        .expect("the request in flight is answered");
    assert_eq!(answer.status(), 200);
}
