//! Server and client of this crate together.

use keelgate_snapshot::EMPTY_CONFIG_HASH;
use keelgate_sync::{Applied, Event, Rejection, ServerLimits, SyncStatus, Trust};
use serde_json::json;

use crate::support::*;

#[tokio::test]
async fn a_change_reaches_every_data_plane() {
    let pem = cluster();
    let control_plane = ControlPlane::start(&pem).await;
    let mut nodes: Vec<_> = (0..8)
        .map(|_| Node::start(client_config(&[control_plane.address], &pem)))
        .collect();
    for revision in 1..=3 {
        let snapshot = snapshot(revision);
        control_plane.publish(&snapshot);
        for node in &mut nodes {
            assert_eq!(node.document().await, snapshot.document());
        }
    }
}

#[tokio::test]
async fn a_late_data_plane_gets_the_newest_snapshot() {
    let pem = cluster();
    let control_plane = ControlPlane::start(&pem).await;
    control_plane.publish(&snapshot(1));
    let mut early = Node::start(client_config(&[control_plane.address], &pem));
    assert_eq!(early.document().await, snapshot(1).document());
    control_plane.publish(&snapshot(2));
    assert_eq!(early.document().await, snapshot(2).document());
    let mut late = Node::start(client_config(&[control_plane.address], &pem));
    assert_eq!(late.document().await, snapshot(2).document());
}

#[tokio::test]
async fn the_record_tells_what_runs_and_where_it_came_from() {
    let pem = cluster();
    let control_plane = ControlPlane::start(&pem).await;
    let mut config = client_config(&[control_plane.address], &pem);
    config.labels.insert("zone".to_owned(), json!("a"));
    let node = Node::start(config);
    let record = control_plane.record(node.id, |_| true).await;
    assert_eq!(record.config_hash, EMPTY_CONFIG_HASH);
    assert_eq!(record.hostname, "dp.example.com");
    assert_eq!(record.version, "3.9.1");
    assert_eq!(record.sync_status, SyncStatus::Normal);
    assert_eq!(record.labels.unwrap()["zone"], "a");
    assert!(record.cert_details.expiry_timestamp > 0);
    assert!(record.keelgate.connected);

    let running = snapshot(4);
    node.applied.send_replace(Applied {
        config_hash: running.config_hash().to_owned(),
        identity: Some(*running.identity()),
        source: Some("cache".to_owned()),
        ..Applied::default()
    });
    let record = control_plane
        .record(node.id, |record| record.keelgate.source.is_some())
        .await;
    assert_eq!(record.config_hash, running.config_hash());
    assert_eq!(record.keelgate.identity, Some(*running.identity()));
    assert_eq!(record.keelgate.source.as_deref(), Some("cache"));

    let id = node.id;
    drop(node);
    let record = control_plane
        .record(id, |record| !record.keelgate.connected)
        .await;
    assert_eq!(record.config_hash, running.config_hash());
}

#[tokio::test]
async fn a_rejection_is_told_until_something_else_runs() {
    let pem = cluster();
    let control_plane = ControlPlane::start(&pem).await;
    let node = Node::start(client_config(&[control_plane.address], &pem));
    let (good, bad) = (snapshot(1), snapshot(2));
    let rejection = Rejection {
        identity: Some(*bad.identity()),
        config_hash: Some(bad.config_hash().to_owned()),
        reason: "services[0].host: required field missing".to_owned(),
    };
    let applied = Applied {
        config_hash: good.config_hash().to_owned(),
        identity: Some(*good.identity()),
        source: Some("control_plane".to_owned()),
        rejection: Some(rejection.clone()),
        ..Applied::default()
    };
    node.applied.send_replace(applied.clone());
    let record = control_plane
        .record(node.id, |record| record.keelgate.rejection.is_some())
        .await;
    assert_eq!(record.keelgate.rejection, Some(rejection));
    assert_eq!(record.keelgate.identity, Some(*good.identity()));
    assert_eq!(record.config_hash, good.config_hash());

    node.applied.send_replace(Applied {
        identity: Some(*snapshot(3).identity()),
        rejection: None,
        ..applied
    });
    control_plane
        .record(node.id, |record| record.keelgate.rejection.is_none())
        .await;
}

#[tokio::test]
async fn a_data_plane_without_a_plugin_in_use_waits_for_a_configuration_that_it_can_run() {
    let pem = cluster();
    let control_plane = ControlPlane::start(&pem).await;
    let mut config = client_config(&[control_plane.address], &pem);
    config.plugins = plugins(&["cors"]);
    let mut node = Node::start(config);
    let with = |plugin: &str| {
        snapshot_of(
            1,
            &json!({"_format_version": "3.0", "plugins": [{"name": plugin}]}),
        )
    };
    control_plane.publish(&with("key-auth"));
    control_plane
        .record(node.id, |record| {
            record.sync_status == SyncStatus::PluginSetIncompatible
        })
        .await;
    control_plane.publish(&with("cors"));
    assert_eq!(node.document().await, with("cors").document());
    control_plane
        .record(node.id, |record| record.sync_status == SyncStatus::Normal)
        .await;
}

#[tokio::test]
async fn a_data_plane_comes_back_after_a_restart_of_the_control_plane() {
    let pem = cluster();
    let control_plane = ControlPlane::start(&pem).await;
    let address = control_plane.address.to_string();
    let mut node = Node::start(client_config(&[control_plane.address], &pem));
    control_plane.publish(&snapshot(1));
    node.gets(&snapshot(1)).await;
    control_plane.stop().await;
    assert!(node.disconnected().await.contains("stops"));
    let limits = ServerLimits::default();
    let control_plane = ControlPlane::start_with(&pem, Trust::Shared, limits, &address).await;
    control_plane.publish(&snapshot(2));
    node.gets(&snapshot(2)).await;
}

#[tokio::test]
async fn the_second_address_serves_while_the_first_refuses() {
    let pem = cluster();
    let refused = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let first = refused.local_addr().unwrap();
    drop(refused);
    let control_plane = ControlPlane::start(&pem).await;
    control_plane.publish(&snapshot(1));
    let mut node = Node::start(client_config(&[first, control_plane.address], &pem));
    let failed = node
        .until(|event| matches!(event, Event::DialFailed { .. }))
        .await;
    assert!(matches!(
        failed,
        Event::DialFailed {
            phase: keelgate_sync::Phase::Connect,
            ..
        }
    ));
    node.gets(&snapshot(1)).await;
}

#[tokio::test]
async fn a_busy_receiver_gets_only_the_newest_document() {
    let pem = cluster();
    let control_plane = ControlPlane::start(&pem).await;
    let mut node = Node::start(client_config(&[control_plane.address], &pem));
    for revision in 1..=40 {
        control_plane.publish(&snapshot(revision));
        tokio::task::yield_now().await;
    }
    // However many were skipped, the last one comes.
    node.gets(&snapshot(40)).await;
}
