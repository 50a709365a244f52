//! The main job, end to end: a data plane is born while the control plane is dead.

use std::sync::Arc;

use e2e::mirror::Mirror;
use e2e::{Cluster, Storage, Traffic, wait};
use serde_json::json;

const EXPORT: (&str, &str) = ("cluster_fallback_config_export", "on");
const IMPORT: (&str, &str) = ("cluster_fallback_config_import", "on");

async fn born_during_an_outage(cluster: Cluster) {
    let mut control_plane = cluster.control_plane(&[]);
    control_plane.up().await;
    let _backup = cluster.data_plane_of(&control_plane, &[EXPORT]);
    let data_plane = cluster.data_plane_of(&control_plane, &[]);
    cluster.add_route(&control_plane, "first", "/first").await;
    data_plane.serves("/first", 200).await;
    cluster.storage().holds("\"/first\"").await;
    let old = Traffic::start(data_plane.proxy("/first"));

    control_plane.kill();
    let newborn = cluster.data_plane_of(&control_plane, &[IMPORT]);
    newborn.serves("/first", 200).await;
    assert_eq!(newborn.source().await, "storage");
    let new = Traffic::start(newborn.proxy("/first"));
    new.more(50).await;

    control_plane.start_again();
    control_plane.up().await;
    cluster.add_route(&control_plane, "second", "/second").await;
    newborn.serves("/second", 200).await;
    data_plane.serves("/second", 200).await;
    newborn.follows("control_plane").await;
    cluster.storage().holds("\"/second\"").await;

    new.more(50).await;
    new.stop_without_failures().await;
    old.stop_without_failures().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_plane_is_born_from_s3_while_the_control_plane_is_dead() {
    born_during_an_outage(Cluster::with_s3().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_plane_is_born_from_a_directory_while_the_control_plane_is_dead() {
    let directory = tempfile::tempdir().expect("make a directory");
    let storage = Storage::directory(directory.path().join("backup"));
    born_during_an_outage(Cluster::new().await.and_storage(storage)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_exports_by_itself() {
    let cluster = Cluster::with_s3().await;
    let mut control_plane = cluster.control_plane(&[EXPORT]);
    control_plane.up().await;
    cluster.add_route(&control_plane, "first", "/first").await;
    cluster.storage().holds("\"/first\"").await;
    control_plane.kill();
    let newborn = cluster.data_plane_of(&control_plane, &[IMPORT]);
    newborn.serves("/first", 200).await;
    assert_eq!(newborn.source().await, "storage");
}

/// A control plane that exports is killed; a data plane that has never seen it serves from `storage`.
async fn born_from(storage: Storage) {
    let cluster = Cluster::new().await.and_storage(storage);
    let mut control_plane = cluster.control_plane(&[EXPORT]);
    control_plane.up().await;
    cluster.add_route(&control_plane, "first", "/first").await;
    cluster.storage().holds("\"/first\"").await;
    control_plane.kill();
    let newborn = cluster.data_plane_of(&control_plane, &[IMPORT]);
    newborn.serves("/first", 200).await;
    assert_eq!(newborn.source().await, "storage");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_plane_is_born_from_google_cloud_storage_while_the_control_plane_is_dead() {
    born_from(Storage::gcs()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_plane_is_born_from_azure_blob_storage_while_the_control_plane_is_dead() {
    born_from(Storage::azure()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_plane_is_born_from_a_web_server_while_the_control_plane_is_dead() {
    const SECRET: &str = "Bearer of-the-mirror";
    let cluster = Cluster::with_s3().await;
    let mut control_plane = cluster.control_plane(&[EXPORT]);
    control_plane.up().await;
    cluster.add_route(&control_plane, "first", "/first").await;
    cluster.storage().holds("\"/first\"").await;
    control_plane.kill();
    let mirror = Mirror::start(Arc::clone(cluster.shared_storage()), Some(SECRET)).await;
    let authority = mirror.authority().display().to_string();
    let header = format!("Authorization: {SECRET}");
    let newborn = cluster.data_plane_of(
        &control_plane,
        &[
            IMPORT,
            ("cluster_fallback_config_storage", &mirror.url),
            ("cluster_fallback_config_https_header", &header),
            ("lua_ssl_trusted_certificate", &authority),
        ],
    );
    newborn.serves("/first", 200).await;
    assert_eq!(newborn.source().await, "storage");
    let told = format!("{}{}", newborn.report().await, newborn.log());
    assert!(!told.contains("of-the-mirror"), "a secret was told: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_backup_nodes_keep_one_history() {
    let cluster = Cluster::with_s3().await;
    let control_plane = cluster.control_plane(&[]);
    control_plane.up().await;
    let delay = ("cluster_fallback_config_export_delay", "0.05");
    let _one = cluster.data_plane_of(&control_plane, &[EXPORT, delay]);
    let _two = cluster.data_plane_of(&control_plane, &[EXPORT, delay]);
    for number in 0..10 {
        cluster
            .add_route(
                &control_plane,
                &format!("r{number}"),
                &format!("/r{number}"),
            )
            .await;
    }
    cluster.storage().holds("\"/r9\"").await;
    let version = Storage::config_key();
    let version = version.trim_end_matches("/config.json");
    let history = cluster.storage().list(&format!("{version}/history")).await;
    assert!(!history.is_empty(), "no history was kept");
    let election = cluster.storage().list(&format!("{version}/election")).await;
    assert!(
        !election.is_empty(),
        "no node has registered for the election"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newborn_retries_a_storage_that_is_not_there_yet() {
    let cluster = Cluster::with_s3().await;
    let mut control_plane = cluster.control_plane(&[EXPORT]);
    control_plane.up().await;
    cluster.add_route(&control_plane, "first", "/first").await;
    cluster.storage().holds("\"/first\"").await;
    control_plane.kill();
    let saved = cluster
        .storage()
        .read(&Storage::config_key())
        .await
        .expect("it was just stored");
    let version = Storage::config_key();
    let version = version.trim_end_matches("config.json");
    for key in cluster.storage().list("").await {
        cluster.storage().remove(&key).await;
    }

    let newborn = cluster.data_plane_of(&control_plane, &[IMPORT]);
    newborn.up().await;
    wait::until("a report of the missing snapshot", || async {
        let report = newborn.report().await.to_string();
        if report.contains("config.json") {
            Ok(())
        } else {
            Err(report)
        }
    })
    .await;
    newborn.answers(&newborn.status("/status/ready"), 503).await;
    cluster
        .storage()
        .write(&format!("{version}config.json"), saved)
        .await;
    newborn.serves("/first", 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_data_plane_serves_from_its_own_disk() {
    let cluster = Cluster::new().await;
    let mut control_plane = cluster.control_plane(&[]);
    control_plane.up().await;
    let mut data_plane = cluster.data_plane_of(&control_plane, &[]);
    cluster.add_route(&control_plane, "first", "/first").await;
    data_plane.serves("/first", 200).await;
    // What serves is written to disk beside the requests.
    let cached = data_plane.prefix().join("cache/current.json");
    wait::until("the configuration on disk", || async {
        let text = std::fs::read_to_string(&cached).map_err(|error| error.to_string())?;
        let whole = text.contains("/first");
        whole.then_some(()).ok_or_else(|| "an older one".to_owned())
    })
    .await;
    control_plane.kill();
    data_plane.kill();
    data_plane.start_again();
    data_plane.serves("/first", 200).await;
    assert_eq!(data_plane.source().await, "cache");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_reaches_every_connected_data_plane() {
    let cluster = Cluster::new().await;
    let control_plane = cluster.control_plane(&[]);
    control_plane.up().await;
    let planes = [
        cluster.data_plane_of(&control_plane, &[]),
        cluster.data_plane_of(&control_plane, &[]),
        cluster.data_plane_of(&control_plane, &[]),
    ];
    cluster.add_route(&control_plane, "first", "/first").await;
    for plane in &planes {
        plane.serves("/first", 200).await;
    }
    control_plane
        .change("PATCH", "/routes/first", json!({"paths": ["/moved"]}))
        .await;
    for plane in &planes {
        plane.serves("/moved", 200).await;
        plane.serves("/first", 404).await;
    }
    let hash = wait::until("three data planes in sync", || async {
        let list = control_plane
            .change("GET", "/clustering/data-planes", json!(null))
            .await;
        let data = list["data"].as_array().cloned().unwrap_or_default();
        let mut hashes: Vec<_> = data
            .iter()
            .map(|plane| plane["config_hash"].to_string())
            .collect();
        hashes.dedup();
        if data.len() == 3 && hashes.len() == 1 {
            Ok(hashes[0].clone())
        } else {
            Err(list.to_string())
        }
    })
    .await;
    assert!(
        !hash.contains("00000000000000000000000000000000"),
        "the hash is that of nothing: {hash}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_the_same_as_the_report() {
    let cluster = Cluster::with_s3().await;
    let mut control_plane = cluster.control_plane(&[]);
    control_plane.up().await;
    let backup = cluster.data_plane_of(&control_plane, &[EXPORT]);
    cluster.add_route(&control_plane, "first", "/first").await;
    backup.serves("/first", 200).await;
    cluster.storage().holds("\"/first\"").await;
    let shows = async |lines: &[&str]| {
        wait::until("the metrics", || async {
            let text = backup.answers(&backup.status("/metrics"), 200).await;
            let missing = lines.iter().find(|line| !text.contains(**line));
            missing.map_or(Ok(()), |line| Err(format!("no {line} in\n{text}")))
        })
        .await;
    };
    shows(&[
        "keelgate_source_serving{source=\"control_plane\"} 1",
        "keelgate_cluster_control_plane_connected 1",
        "keelgate_fallback_elected{storage=\"s3://",
        "keelgate_fallback_last_success_seconds{storage=\"s3://",
    ])
    .await;
    control_plane.kill();
    shows(&["keelgate_cluster_control_plane_connected 0"]).await;
}
