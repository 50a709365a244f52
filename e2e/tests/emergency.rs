//! The control plane is dead, and the configuration must change all the same.

use e2e::{Cluster, Node, wait};
use serde_json::json;

const EXPORT: (&str, &str) = ("cluster_fallback_config_export", "on");
const IMPORT: (&str, &str) = ("cluster_fallback_config_import", "on");
const REFRESH: (&str, &str) = ("cluster_fallback_config_refresh", "1");
const DELAY: (&str, &str) = ("cluster_fallback_config_export_delay", "0");

/// A declarative file in which the only route is `path`.
fn declared(cluster: &Cluster, directory: &std::path::Path, path: &str) -> String {
    let file = directory.join("emergency.yml");
    let text = json!({
        "_format_version": "3.0",
        "services": [{
            "name": "first",
            "url": cluster.upstream.url(),
            "routes": [{"name": "first", "paths": [path]}],
        }],
    });
    std::fs::write(&file, text.to_string()).expect("write the file");
    file.display().to_string()
}

async fn operate(node: &Node, arguments: &[&str]) -> String {
    let (good, said) = node.operate(arguments).await;
    assert!(good, "keelgate {}: {said}", arguments.join(" "));
    said
}

/// Waits until the control plane says that it is behind.
async fn is_blocked_as_behind(control_plane: &Node) {
    wait::until("a report that the control plane is behind", || async {
        let report = control_plane.report().await["fallback"][0].clone();
        let told = report["last_error"]["message"].as_str().unwrap_or_default();
        if report["state"] == "blocked" && told.contains("next_epoch") {
            Ok(())
        } else {
            Err(report.to_string())
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_without_a_control_plane_follows_an_emergency_publish() {
    let cluster = Cluster::with_s3().await;
    let directory = tempfile::tempdir().expect("make a directory");
    let mut control_plane = cluster.control_plane(&[EXPORT, DELAY]);
    control_plane.up().await;
    cluster.add_route(&control_plane, "first", "/first").await;
    let veteran = cluster.data_plane_of(&control_plane, &[IMPORT, REFRESH]);
    veteran.serves("/first", 200).await;
    cluster.storage().holds("\"/first\"").await;
    control_plane.kill();
    let newborn = cluster.data_plane_of(&control_plane, &[IMPORT, REFRESH]);
    newborn.serves("/first", 200).await;

    let file = declared(&cluster, directory.path(), "/emergency");
    let reason = ["--reason", "the first route leads nowhere", "--yes"];
    let publish = [&["fallback", "publish", file.as_str()][..], &reason].concat();
    operate(&control_plane, &publish).await;
    for plane in [&veteran, &newborn] {
        plane.serves("/emergency", 200).await;
        plane.serves("/first", 404).await;
        assert_eq!(plane.source().await, "storage");
    }

    // It comes back with what it had, which is older now.
    control_plane.start_again();
    control_plane.up().await;
    is_blocked_as_behind(&control_plane).await;
    wait::until("a report of the older control plane", || async {
        let report = veteran.report().await["source"].to_string();
        let tells = report.contains("older") && report.contains("control_plane");
        tells.then_some(()).ok_or(report)
    })
    .await;
    veteran.serves("/emergency", 200).await;
    veteran.serves("/first", 404).await;
    cluster.storage().holds("\"/emergency\"").await;

    // The operator makes it the authority again.
    operate(&control_plane, &["config", "next_epoch", "--yes"]).await;
    for plane in [&veteran, &newborn] {
        plane.serves("/first", 200).await;
        plane.serves("/emergency", 404).await;
    }
    cluster.storage().holds("\"/first\"").await;
    cluster.add_route(&control_plane, "second", "/second").await;
    for plane in [&veteran, &newborn] {
        plane.serves("/second", 200).await;
        plane.follows("control_plane").await;
    }
    cluster.storage().holds("\"/second\"").await;
}
