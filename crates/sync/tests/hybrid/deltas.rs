//! Changes that travel as what differs.

use std::time::{Duration, UNIX_EPOCH};

use keelgate_snapshot::{
    Fragments, Position, Signer, Snapshot, Verifier, build_after, gzip, is_delta,
};
use keelgate_sync::Event;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::support::*;

/// A snapshot of a signing control plane, whose services are named by the revision.
fn signed(pem: &Pem, revision: u64) -> Snapshot {
    let service = |number: u128| {
        let name = format!("s{number}-{}", if number == 7 { revision } else { 0 });
        json!({"id": Uuid::from_u128(number), "name": name})
    };
    let services: Vec<_> = (0..300).map(service).collect();
    let table = json!({"_format_version": "3.0", "services": services});
    let fragments = Fragments::of(table.as_object().unwrap()).unwrap();
    let position = Position {
        cluster_id: Uuid::from_u128(1),
        epoch: 1,
        revision,
    };
    let at = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let signer = Signer::from_pem(&pem.cert, &pem.key).unwrap();
    build_after(fragments, None, position, "0.1.0", at, Some(&signer)).unwrap()
}

/// The next document or delta.
async fn sent(node: &mut Node) -> Event {
    node.until(|event| matches!(event, Event::Document(_) | Event::Delta(_)))
        .await
}

#[tokio::test]
async fn what_follows_the_first_document_comes_as_deltas() {
    let pem = cluster();
    let verifier = Verifier::shared(&pem.cert).unwrap();
    let control_plane = ControlPlane::start(&pem).await;
    control_plane.publish(&signed(&pem, 1));
    let mut node = Node::start(client_config(&[control_plane.address], &pem));
    let mut has = match sent(&mut node).await {
        Event::Document(document) => verifier.verify(document).unwrap(),
        event => panic!("{event:?}"),
    };
    for revision in 2..6 {
        let next = signed(&pem, revision);
        control_plane.publish(&next);
        has = match sent(&mut node).await {
            Event::Delta(delta) => verifier.verify_delta(&has, &delta).unwrap(),
            event => panic!("{event:?}"),
        };
        assert_eq!(has.document(), next.document());
    }
    control_plane.stop().await;
}

#[tokio::test]
async fn a_data_plane_that_cannot_use_a_delta_gets_the_whole() {
    let pem = cluster();
    let control_plane = ControlPlane::start(&pem).await;
    control_plane.publish(&signed(&pem, 1));
    let mut node = Node::start(client_config(&[control_plane.address], &pem));
    assert!(matches!(sent(&mut node).await, Event::Document(_)));
    let next = signed(&pem, 2);
    control_plane.publish(&next);
    assert!(matches!(sent(&mut node).await, Event::Delta(_)));
    node.applied.send_modify(|applied| applied.wanted += 1);
    match sent(&mut node).await {
        Event::Document(document) => assert_eq!(document, next.document()),
        event => panic!("{event:?}"),
    }
    control_plane.publish(&signed(&pem, 3));
    assert!(matches!(sent(&mut node).await, Event::Delta(_)));
    control_plane.stop().await;
}

#[tokio::test]
async fn a_data_plane_of_kong_gets_whole_documents() {
    let pem = cluster();
    let control_plane = ControlPlane::start(&pem).await;
    let id = Uuid::new_v4();
    let mut socket = kong_data_plane(&control_plane, &pem, &query(id)).await;
    send(&mut socket, basic_info(&["cors"])).await;
    for revision in 1..4 {
        let snapshot = signed(&pem, revision);
        control_plane.publish(&snapshot);
        let Ok(Message::Binary(payload)) = next(&mut socket).await else {
            panic!("no document");
        };
        assert!(!is_delta(&payload));
        let document = gzip::decompress(&payload, 1 << 20).unwrap();
        assert_eq!(document, snapshot.document());
    }
    control_plane.stop().await;
}

#[tokio::test]
async fn a_control_plane_without_the_capability_cannot_send_a_delta() {
    let pem = cluster();
    let control_plane = FakeControlPlane::start(&pem).await;
    let mut node = Node::start(client_config(&[control_plane.address], &pem));
    let mut socket = control_plane.greeted().await;
    let delta = keelgate_snapshot::delta(&signed(&pem, 1), &signed(&pem, 2)).unwrap();
    send(&mut socket, Message::binary(delta)).await;
    let reason = node.disconnected().await;
    assert!(reason.contains("decompressed"), "{reason}");
}
