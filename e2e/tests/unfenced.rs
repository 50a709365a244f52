//! A store that writes whatever the conditions ask is used, and everybody is told.

use e2e::s3::{Behaviour, Proxy, Server};
use e2e::{Cluster, Storage, wait};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_ignores_conditions_is_told_in_status_metrics_log_and_index() {
    let server = Server::under_test();
    let proxy = Proxy::start(server.clone(), Behaviour::IgnoresConditions).await;
    let cluster = Cluster::new()
        .await
        .and_storage(Storage::on(&server).behind(&proxy));
    let mut control_plane = cluster.control_plane(&[("cluster_fallback_config_export", "on")]);
    control_plane.up().await;
    cluster.add_route(&control_plane, "first", "/first").await;
    cluster.storage().holds("\"/first\"").await;
    assert!(proxy.ignored() > 0, "the node sent no condition");

    let report = control_plane.report().await;
    assert_eq!(report["fallback"][0]["fencing"], "none", "{report}");
    let metrics = control_plane.status("/metrics");
    let metrics = control_plane.answers(&metrics, 200).await;
    let line = format!(
        "keelgate_fallback_fencing{{storage=\"{}\",mode=\"none\"}} 1",
        cluster.storage().url
    );
    assert!(metrics.contains(&line), "no {line} in {metrics}");
    let log = control_plane.log();
    assert!(log.contains("fencing=none"), "not told in {log}");
    wait::until("the index to tell it", || async {
        let index = cluster.storage().read("index.json").await;
        let index = index.ok_or("no index yet")?;
        let index: Value = serde_json::from_slice(&index).map_err(|_| "the index is no JSON")?;
        let told = &index["versions"][env!("CARGO_PKG_VERSION")]["fencing"];
        (*told == "none").then_some(()).ok_or("it does not")
    })
    .await;

    control_plane.kill();
    let import = ("cluster_fallback_config_import", "on");
    let newborn = cluster.data_plane_of(&control_plane, &[import]);
    newborn.serves("/first", 200).await;
    assert_eq!(newborn.source().await, "storage");
}
