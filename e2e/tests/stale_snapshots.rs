//! A stored snapshot that nobody has stood behind for longer than `cluster_fallback_config_max_age`.

use std::time::Duration;

use e2e::{Cluster, Node, wait};

const MAX_AGE: Duration = Duration::from_secs(2);

/// A dead control plane, and a data plane that is born after its last snapshot has become too old.
async fn born_too_late(cluster: &Cluster, policy: &str) -> (Node, Node) {
    let mut control_plane = cluster.control_plane(&[
        ("cluster_fallback_config_export", "on"),
        ("cluster_fallback_config_export_delay", "0.05"),
    ]);
    control_plane.up().await;
    cluster.add_route(&control_plane, "old", "/old").await;
    cluster.storage().holds("\"/old\"").await;
    control_plane.kill();
    tokio::time::sleep(MAX_AGE + Duration::from_millis(100)).await;
    let newborn = cluster.data_plane_of(
        &control_plane,
        &[
            ("cluster_fallback_config_import", "on"),
            (
                "cluster_fallback_config_max_age",
                &MAX_AGE.as_secs().to_string(),
            ),
            ("cluster_fallback_config_max_age_policy", policy),
        ],
    );
    (control_plane, newborn)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_snapshot_is_served_with_an_alarm() {
    let cluster = Cluster::with_s3().await;
    let (_control_plane, newborn) = born_too_late(&cluster, "serve").await;
    newborn.serves("/old", 200).await;
    wait::until("the alarm", async || {
        let report = newborn.report().await;
        match report["source"]["stale"].as_bool() {
            Some(true) => Ok(()),
            _ => Err(report.to_string()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_snapshot_is_refused_where_that_is_wanted_until_the_control_plane_stands_behind_it()
{
    let cluster = Cluster::with_s3().await;
    let (mut control_plane, newborn) = born_too_late(&cluster, "refuse").await;
    newborn.up().await;
    wait::until("the refusal", async || {
        let report = newborn.report().await.to_string();
        match report.contains("cluster_fallback_config_max_age") {
            true => Ok(()),
            false => Err(report),
        }
    })
    .await;
    assert!(newborn.report().await["source"]["serving"].is_null());
    control_plane.start_again();
    newborn.serves("/old", 200).await;
}
