//! The client before control planes as Kong has them, and before bad ones.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use keelgate_snapshot::{EMPTY_CONFIG_HASH, gzip};
use keelgate_sync::{Applied, Event, Phase, Rejection};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::support::*;

fn compressed(text: &str) -> Message {
    Message::Binary(gzip::compress(text.as_bytes()))
}

const LEAST: &str = r#"{"type":"reconfigure","config_table":{"_format_version":"3.0"}}"#;

#[tokio::test]
async fn a_control_plane_of_kong_gets_nothing_that_it_would_close_on() {
    let pem = cluster();
    let control_plane = FakeControlPlane::start(&pem).await;
    let mut node = Node::start(client_config(&[control_plane.address], &pem));
    let mut socket = control_plane.websocket().await;
    let Ok(Message::Binary(info)) = next(&mut socket).await else {
        panic!("no basic info");
    };
    let info: serde_json::Value = serde_json::from_slice(&info).unwrap();
    assert_eq!(info["type"], "basic_info");
    assert_eq!(info["plugins"][0]["name"], "cors");
    assert_eq!(next(&mut socket).await, Ok(ping(EMPTY_CONFIG_HASH)));
    send(&mut socket, compressed(LEAST)).await;
    assert_eq!(node.document().await, LEAST);
    let mut applied = Applied {
        config_hash: HASH.to_owned(),
        ..Applied::default()
    };
    node.applied.send_replace(applied.clone());
    assert_eq!(next(&mut socket).await, Ok(ping(HASH)));
    applied.rejection = Some(Rejection {
        identity: None,
        config_hash: None,
        reason: "refused".to_owned(),
    });
    node.applied.send_replace(applied.clone());
    assert_eq!(next(&mut socket).await, Ok(ping(HASH)));
    applied.config_hash = EMPTY_CONFIG_HASH.to_owned();
    node.applied.send_replace(applied);
    assert_eq!(next(&mut socket).await, Ok(ping(EMPTY_CONFIG_HASH)));
}

#[tokio::test]
async fn the_request_names_the_node() {
    let pem = cluster();
    let control_plane = FakeControlPlane::start(&pem).await;
    let node = Node::start(client_config(&[control_plane.address], &pem));
    let mut stream = control_plane.tls().await;
    assert_eq!(stream.get_ref().1.server_name(), Some("kong_clustering"));
    assert_eq!(stream.get_ref().1.alpn_protocol(), None);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(patiently(stream.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let line = format!(
        "GET /v1/outlet?node_id={}&node_hostname=dp.example.com&node_version=3.9.1 HTTP/1.1\r\n",
        node.id
    );
    assert!(head.starts_with(&line), "{head}");
    assert!(
        head.to_lowercase()
            .contains("sec-websocket-version: 13\r\n"),
        "{head}"
    );
}

#[tokio::test]
async fn what_kong_ignores_is_ignored() {
    let pem = cluster();
    let control_plane = FakeControlPlane::start(&pem).await;
    let mut node = Node::start(client_config(&[control_plane.address], &pem));
    let mut socket = control_plane.greeted().await;
    for message in [
        Message::text("hello"),
        ping("are you there?"),
        compressed(r#"{"type":"hello"}"#),
    ] {
        send(&mut socket, message).await;
    }
    send(&mut socket, compressed(LEAST)).await;
    assert_eq!(node.document().await, LEAST);
}

#[tokio::test]
async fn fragments_are_put_together() {
    let pem = cluster();
    let control_plane = FakeControlPlane::start(&pem).await;
    let mut node = Node::start(client_config(&[control_plane.address], &pem));
    let mut socket = control_plane.greeted().await;
    let payload = gzip::compress(LEAST.as_bytes());
    let (one, two) = payload.split_at(10);
    let fragment = |part: &[u8], opcode, last| {
        Message::Frame(Frame::message(
            Bytes::copy_from_slice(part),
            OpCode::Data(opcode),
            last,
        ))
    };
    send(&mut socket, fragment(one, Data::Binary, false)).await;
    send(&mut socket, fragment(two, Data::Continue, true)).await;
    assert_eq!(node.document().await, LEAST);
}

#[tokio::test]
async fn garbage_ends_the_connection_and_the_next_one_works() {
    let pem = cluster();
    let control_plane = FakeControlPlane::start(&pem).await;
    let mut config = client_config(&[control_plane.address], &pem);
    config.limits.max_payload = 10_000;
    config.limits.max_document = 100_000;
    let mut node = Node::start(config);
    let bomb = gzip::compress(&vec![b' '; 1 << 20]);
    assert!(bomb.len() < 10_000);
    let cases = [
        (Message::binary(LEAST), "gzip"),
        (compressed("not JSON"), "not JSON"),
        (Message::binary(bomb), "more than the limit"),
        (Message::binary(vec![0; 10_001]), "limit"),
    ];
    for (message, expected) in cases {
        let mut socket = control_plane.greeted().await;
        send(&mut socket, message).await;
        let reason = node.disconnected().await;
        assert!(
            reason.to_lowercase().contains(&expected.to_lowercase()),
            "{reason}"
        );
    }
    let mut stream = control_plane.greeted().await.into_inner();
    stream.write_all(&[0xff; 64]).await.unwrap();
    stream.flush().await.unwrap();
    node.disconnected().await;
    let mut socket = control_plane.greeted().await;
    send(&mut socket, compressed(LEAST)).await;
    assert_eq!(node.document().await, LEAST);
}

#[tokio::test]
async fn a_control_plane_that_sends_nothing_is_told_as_stalled_and_kept() {
    let pem = cluster();
    let control_plane = FakeControlPlane::start(&pem).await;
    let mut config = client_config(&[control_plane.address], &pem);
    config.limits.stall = Duration::from_millis(50);
    let mut node = Node::start(config);
    let mut socket = control_plane.greeted().await;
    node.until(|event| matches!(event, Event::Stalled { .. }))
        .await;
    send(&mut socket, compressed(LEAST)).await;
    assert_eq!(node.event().await, Event::Document(LEAST.into()));
}

#[tokio::test]
async fn a_control_plane_that_is_dumb_is_left_for_another() {
    let pem = cluster();
    let dumb = FakeControlPlane::start(&pem).await;
    let control_plane = ControlPlane::start(&pem).await;
    control_plane.publish(&snapshot(1));
    let mut config = client_config(&[dumb.address, control_plane.address], &pem);
    config.limits.stall = Duration::from_millis(50);
    let mut node = Node::start(config);
    let _socket = dumb.websocket().await;
    node.until(|event| matches!(event, Event::Stalled { .. }))
        .await;
    node.gets(&snapshot(1)).await;
}

#[tokio::test]
async fn a_dead_connection_is_noticed() {
    let pem = cluster();
    let control_plane = FakeControlPlane::start(&pem).await;
    let mut config = client_config(&[control_plane.address], &pem);
    config.limits.silence = Duration::from_millis(50);
    let mut node = Node::start(config);
    let _socket = control_plane.websocket().await;
    let reason = node.disconnected().await;
    assert!(reason.contains("nothing was received"), "{reason}");
}

#[tokio::test]
async fn pings_keep_a_quiet_connection() {
    let pem = cluster();
    let control_plane = FakeControlPlane::start(&pem).await;
    let mut config = client_config(&[control_plane.address], &pem);
    config.limits.ping = Duration::from_millis(20);
    config.limits.stall = PATIENCE;
    config.limits.silence = Duration::from_secs(5);
    let mut node = Node::start(config);
    let mut socket = control_plane.greeted().await;
    for _ in 0..20 {
        assert_eq!(next(&mut socket).await, Ok(ping(EMPTY_CONFIG_HASH)));
    }
    send(&mut socket, compressed(LEAST)).await;
    node.until(|event| matches!(event, Event::Connected { .. }))
        .await;
    assert_eq!(node.event().await, Event::Document(LEAST.into()));
}

#[tokio::test]
async fn each_failing_phase_is_named() {
    let pem = cluster();
    let failing = FakeControlPlane::start(&pem).await;
    let mut config = client_config(&[failing.address], &pem);
    config.limits.handshake = Duration::from_secs(1);
    let mut node = Node::start(config.clone());
    let mut failure = async |expected: Phase| match node
        .until(|event| matches!(event, Event::DialFailed { .. }))
        .await
    {
        Event::DialFailed { phase, error, .. } => assert_eq!(phase, expected, "{error}"),
        event => panic!("{event:?}"),
    };

    let silent = failing.tcp().await;
    failure(Phase::Tls).await;
    drop(silent);

    let mut plain = failing.tcp().await;
    let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    plain.write_all(answer).await.unwrap();
    failure(Phase::Tls).await;

    let silent = failing.tls().await;
    failure(Phase::Upgrade).await;
    drop(silent);

    let mut forbidding = failing.tls().await;
    forbidding
        .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    failure(Phase::Upgrade).await;

    let mut garbage = failing.tls().await;
    garbage.write_all(&[0xff; 100]).await.unwrap();
    failure(Phase::Upgrade).await;

    config.addresses = vec!["control-plane.invalid:8005".to_owned()];
    let mut nowhere = Node::start(config);
    let failed = nowhere
        .until(|event| matches!(event, Event::DialFailed { .. }))
        .await;
    assert!(
        matches!(
            failed,
            Event::DialFailed {
                phase: Phase::Resolve,
                ..
            }
        ),
        "{failed:?}"
    );
}

#[tokio::test]
async fn an_overloaded_control_plane_is_left_alone_as_long_as_it_asks() {
    let pem = cluster();
    let (busy, free) = (
        FakeControlPlane::start(&pem).await,
        FakeControlPlane::start(&pem).await,
    );
    let mut node = Node::start(client_config(&[busy.address, free.address], &pem));
    let mut stream = busy.tls().await;
    stream
        .write_all(b"HTTP/1.1 503 Busy\r\nRetry-After: 300\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    let failed = node
        .until(|event| matches!(event, Event::DialFailed { .. }))
        .await;
    assert!(matches!(
        failed,
        Event::DialFailed { phase: Phase::Upgrade, retry_after: Some(wait), .. }
            if wait == Duration::from_secs(300)
    ));
    // The other address is dialled again and again, the busy one is not.
    for _ in 0..3 {
        drop(free.greeted().await);
        node.disconnected().await;
    }
    let free = free.address.to_string();
    while let Ok(event) = node.events.try_recv() {
        if let Event::Dialing { address } = event {
            assert_eq!(address, free);
        }
    }
}

#[tokio::test]
async fn a_close_frame_is_answered_and_its_reason_told() {
    let pem = cluster();
    let control_plane = FakeControlPlane::start(&pem).await;
    let mut node = Node::start(client_config(&[control_plane.address], &pem));
    let mut socket = control_plane.greeted().await;
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = patiently(socket.next()).await {}
    let reason = node.disconnected().await;
    assert!(reason.contains("closed"), "{reason}");
    let mut socket = control_plane.greeted().await;
    socket.send(compressed(LEAST)).await.unwrap();
    assert_eq!(node.document().await, LEAST);
}
