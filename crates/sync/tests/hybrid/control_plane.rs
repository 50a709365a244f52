//! The server before data planes as Kong has them, and before bad ones.

use std::time::Duration;

use keelgate_snapshot::gzip;
use keelgate_sync::{ServerLimits, SyncStatus, Trust};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::support::*;

#[tokio::test]
async fn a_data_plane_of_kong_gets_documents_and_a_pong_for_each_ping() {
    let pem = cluster();
    let control_plane = ControlPlane::start(&pem).await;
    control_plane.publish(&snapshot(1));
    let id = Uuid::new_v4();
    let mut socket = kong_data_plane(&control_plane, &pem, &query(id)).await;
    send(&mut socket, basic_info(&[])).await;
    for expected in [snapshot(1), snapshot(2)] {
        control_plane.publish(&expected);
        loop {
            let Ok(Message::Binary(frame)) = next(&mut socket).await else {
                panic!("not a document");
            };
            if gzip::decompress(&frame, 1 << 20).unwrap() == expected.document() {
                break;
            }
        }
    }
    for _ in 0..10 {
        send(&mut socket, ping(HASH)).await;
    }
    for _ in 0..10 {
        assert_eq!(
            next(&mut socket).await,
            Ok(Message::Pong(Vec::new().into()))
        );
    }
    let record = control_plane
        .record(id, |record| record.config_hash == HASH)
        .await;
    assert_eq!(record.hostname, "kong-dp");
    assert_eq!(record.labels.unwrap()["zone"], "a");
    assert_eq!(record.keelgate.identity, None);
}

#[tokio::test]
async fn an_incompatible_version_is_closed_and_recorded() {
    let pem = cluster();
    let control_plane = ControlPlane::start(&pem).await;
    control_plane.publish(&snapshot(1));
    for version in ["3.10.0", "4.0.0", "2.8.4", "3.9", "abc", ""] {
        let id = Uuid::new_v4();
        let query = format!("node_id={id}&node_hostname=old&node_version={version}");
        let mut socket = kong_data_plane(&control_plane, &pem, &query).await;
        send(&mut socket, basic_info(&[])).await;
        assert_eq!(
            next(&mut socket).await,
            Ok(Message::Close(None)),
            "{version}"
        );
        let record = control_plane.data_planes.get(id);
        let recorded = record.map(|record| record.sync_status);
        let expected = version
            .contains('.')
            .then_some(SyncStatus::KongVersionIncompatible);
        assert_eq!(recorded, expected, "{version}");
    }
}

#[tokio::test]
async fn a_bad_first_message_is_closed() {
    let pem = cluster();
    let control_plane = ControlPlane::start(&pem).await;
    control_plane.publish(&snapshot(1));
    let bad = [
        Message::text(r#"{"type":"basic_info","plugins":[]}"#),
        ping(HASH),
        Message::binary("not JSON"),
        Message::binary(""),
        Message::binary(r#"{"type":"hello","plugins":[]}"#),
        Message::binary(r#"{"type":"basic_info"}"#),
        Message::binary(gzip::compress(br#"{"type":"basic_info","plugins":[]}"#)),
    ];
    for message in bad {
        let mut socket = kong_data_plane(&control_plane, &pem, &query(Uuid::new_v4())).await;
        send(&mut socket, message.clone()).await;
        assert!(is_closed(&mut socket).await, "{message:?}");
    }
}

#[tokio::test]
async fn a_bad_later_message_is_closed() {
    let pem = cluster();
    let control_plane = ControlPlane::start(&pem).await;
    let report = json!({"type": "keelgate_status", "identity": null, "source": "x"});
    let bad = [
        ping("short"),
        ping(""),
        Message::text("hello"),
        Message::binary(report.to_string()),
        Message::Pong(Vec::new().into()),
    ];
    for message in bad {
        let mut socket = kong_data_plane(&control_plane, &pem, &query(Uuid::new_v4())).await;
        send(&mut socket, basic_info(&[])).await;
        send(&mut socket, message.clone()).await;
        assert!(is_closed(&mut socket).await, "{message:?}");
    }
}

#[tokio::test]
async fn a_silent_data_plane_is_closed() {
    let pem = cluster();
    let limits = ServerLimits {
        basic_info: Duration::from_millis(50),
        silence: Duration::from_millis(50),
        ..ServerLimits::default()
    };
    let control_plane = ControlPlane::start_with(&pem, Trust::Shared, limits, "127.0.0.1:0").await;
    let mut socket = kong_data_plane(&control_plane, &pem, &query(Uuid::new_v4())).await;
    assert!(is_closed(&mut socket).await);
    let mut socket = kong_data_plane(&control_plane, &pem, &query(Uuid::new_v4())).await;
    send(&mut socket, basic_info(&[])).await;
    assert!(is_closed(&mut socket).await);
}

#[tokio::test]
async fn a_message_above_the_limit_is_closed() {
    let pem = cluster();
    let limits = ServerLimits {
        max_payload: 1000,
        ..ServerLimits::default()
    };
    let control_plane = ControlPlane::start_with(&pem, Trust::Shared, limits, "127.0.0.1:0").await;
    let mut socket = kong_data_plane(&control_plane, &pem, &query(Uuid::new_v4())).await;
    send(&mut socket, Message::binary(vec![b' '; 1001])).await;
    assert!(is_closed(&mut socket).await);
}

#[tokio::test]
async fn a_node_without_an_id_or_name_is_served_and_not_recorded() {
    let pem = cluster();
    let control_plane = ControlPlane::start(&pem).await;
    control_plane.publish(&snapshot(1));
    let nameless = format!("node_id={}&node_version=3.9.1", Uuid::new_v4());
    for query in ["node_id=x&node_hostname=a&node_version=3.9.1", &nameless] {
        let mut socket = kong_data_plane(&control_plane, &pem, query).await;
        send(&mut socket, basic_info(&[])).await;
        assert!(matches!(next(&mut socket).await, Ok(Message::Binary(_))));
        send(&mut socket, ping(HASH)).await;
        assert!(matches!(next(&mut socket).await, Ok(Message::Pong(_))));
    }
    assert!(control_plane.data_planes.list().is_empty());
}

#[tokio::test]
async fn a_slow_data_plane_holds_up_nobody() {
    let pem = cluster();
    let control_plane = ControlPlane::start(&pem).await;
    // More than the buffers of the sockets take, and it does not compress.
    let mut random = fastrand::Rng::with_seed(7);
    let mut large = |revision| {
        let noise: String = (0..6 << 20).map(|_| random.alphanumeric()).collect();
        snapshot_of(revision, &json!({"_format_version": "3.0", "noise": noise}))
    };
    let (first, second) = (large(1), large(2));
    let mut slow = kong_data_plane(&control_plane, &pem, &query(Uuid::new_v4())).await;
    send(&mut slow, basic_info(&[])).await;
    let mut fast = Node::start(client_config(&[control_plane.address], &pem));
    for snapshot in [&first, &second] {
        control_plane.publish(snapshot);
        fast.gets(snapshot).await;
    }
    // The slow one reads at last: what was begun, then the newest.
    let mut last = Vec::new();
    while last != second.document().as_ref() {
        let Ok(Message::Binary(frame)) = next(&mut slow).await else {
            panic!("not a document");
        };
        last = gzip::decompress(&frame, 64 << 20).unwrap().to_vec();
    }
}

#[tokio::test]
async fn a_document_that_the_data_plane_cannot_take_is_not_sent() {
    let pem = cluster();
    let control_plane = ControlPlane::start(&pem).await;
    let mut socket = kong_data_plane(&control_plane, &pem, &query(Uuid::new_v4())).await;
    let info = json!({
        "type": "basic_info",
        "plugins": [],
        "process_conf": {"cluster_max_payload": 1000},
    });
    send(&mut socket, Message::binary(info.to_string())).await;
    let noise: String = std::iter::repeat_with(fastrand::alphanumeric)
        .take(2000)
        .collect();
    control_plane.publish(&snapshot_of(1, &json!({"noise": noise})));
    // The next one is small: it is the first to arrive.
    let mut fast = Node::start(client_config(&[control_plane.address], &pem));
    fast.document().await;
    control_plane.publish(&snapshot(2));
    let Ok(Message::Binary(frame)) = next(&mut socket).await else {
        panic!("not a document");
    };
    assert_eq!(
        gzip::decompress(&frame, 1 << 20).unwrap(),
        snapshot(2).document()
    );
}

#[tokio::test]
async fn other_requests_are_answered_as_kong_does() {
    let pem = cluster();
    let control_plane = ControlPlane::start(&pem).await;
    let cases = [
        (
            "GET /v2/outlet HTTP/1.1\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\n",
        ),
        (
            "GET /v1/outlet HTTP/1.1\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\n",
        ),
        ("garbage\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"),
        (
            "GET /v1/outlet?node_id=1&node_version=3.9.1 HTTP/1.1\r\n\r\n",
            "",
        ),
    ];
    for (request, expected) in cases {
        let mut stream = raw_tls(control_plane.address, Some(&pem)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        patiently(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with(expected), "{request}: {answer}");
        assert_eq!(
            answer.is_empty(),
            expected.is_empty(),
            "{request}: {answer}"
        );
    }
}

#[tokio::test]
async fn labels_beyond_all_measure_are_not_kept() {
    let pem = cluster();
    let control_plane = ControlPlane::start(&pem).await;
    let id = Uuid::new_v4();
    let mut socket = kong_data_plane(&control_plane, &pem, &query(id)).await;
    let info = json!({
        "type": "basic_info", "plugins": [], "labels": {"zone": "a".repeat(100_000)},
    });
    send(&mut socket, Message::binary(info.to_string())).await;
    send(&mut socket, ping(HASH)).await;
    let record = control_plane
        .record(id, |record| record.config_hash == HASH)
        .await;
    assert_eq!(record.labels, None);
}
