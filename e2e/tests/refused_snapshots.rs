//! A stored snapshot that is not what a control plane of this cluster signed is refused with a clear
//! error, and the next best source serves.

use e2e::{Cluster, Node, Storage, wait};
use serde_json::{Value, json};

/// A cluster with a backup of two revisions and a dead control plane.
async fn backed_up(cluster: &Cluster) -> Node {
    let mut control_plane = cluster.control_plane(&[
        ("cluster_fallback_config_export", "on"),
        ("cluster_fallback_config_export_delay", "0.05"),
    ]);
    control_plane.up().await;
    for path in ["/first", "/second"] {
        cluster.add_route(&control_plane, &path[1..], path).await;
        cluster.storage().holds(&format!("\"{path}\"")).await;
    }
    control_plane.kill();
    control_plane
}

/// Replaces `config.json`, and shows that a newborn refuses it for this reason and serves the newest
/// good snapshot of the history.
async fn refuses(spoil: impl FnOnce(Vec<u8>) -> Vec<u8>, reason: &str) {
    let cluster = Cluster::with_s3().await;
    let control_plane = backed_up(&cluster).await;
    let good = cluster
        .storage()
        .read(&Storage::config_key())
        .await
        .expect("it was stored");
    cluster
        .storage()
        .write(&Storage::config_key(), spoil(good.to_vec()))
        .await;
    let newborn =
        cluster.data_plane_of(&control_plane, &[("cluster_fallback_config_import", "on")]);
    newborn.serves("/second", 200).await;
    assert_eq!(newborn.source().await, "storage");
    wait::until(&format!("\"{reason}\" in report and log"), || async {
        let (report, log) = (newborn.report().await.to_string(), newborn.log());
        let told = report.contains(reason) && log.contains(reason);
        told.then_some(()).ok_or_else(|| format!("{report}\n{log}"))
    })
    .await;
}

fn edited(document: Vec<u8>, edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(&document).expect("config.json is JSON");
    edit(&mut value);
    value.to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupted_configuration_is_refused() {
    refuses(
        |document| {
            let text = String::from_utf8(document).expect("config.json is text");
            text.replace("\"/second\"", "\"/secont\"").into_bytes()
        },
        "SHA-256",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_document_is_refused() {
    refuses(
        |mut document| {
            document.truncate(document.len() / 2);
            document
        },
        "truncated",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsigned_document_is_refused() {
    refuses(
        |document| {
            edited(document, |value| {
                value["keelgate"]
                    .as_object_mut()
                    .expect("an object")
                    .remove("statement");
            })
        },
        "unsigned",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_without_any_identity_is_refused() {
    refuses(
        |document| {
            edited(document, |value| {
                value.as_object_mut().expect("an object").remove("keelgate");
            })
        },
        "unsigned",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_signed_by_another_cluster_is_refused() {
    let stranger = Cluster::with_s3().await;
    backed_up(&stranger).await;
    let foreign = stranger
        .storage()
        .read(&Storage::config_key())
        .await
        .expect("it was stored")
        .to_vec();
    refuses(|_| foreign, "another certificate").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_identity_is_refused() {
    refuses(
        |document| {
            edited(document, |value| {
                value["keelgate"]["identity"]["revision"] = json!(999_999)
            })
        },
        "identity",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_good_anywhere_is_told_and_never_served() {
    let cluster = Cluster::with_s3().await;
    let control_plane = backed_up(&cluster).await;
    for key in cluster.storage().list("").await {
        if key != Storage::config_key() {
            cluster.storage().remove(&key).await;
        }
    }
    cluster.storage().write(&Storage::config_key(), "{}").await;
    let newborn =
        cluster.data_plane_of(&control_plane, &[("cluster_fallback_config_import", "on")]);
    newborn.up().await;
    wait::until("a report of the refusal", || async {
        let report = newborn.report().await.to_string();
        if report.contains("config.json") {
            Ok(())
        } else {
            Err(report)
        }
    })
    .await;
    newborn.answers(&newborn.status("/status/ready"), 503).await;
    newborn.serves("/first", 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoilt_disk_cache_is_refused_and_the_storage_serves() {
    let cluster = Cluster::with_s3().await;
    let control_plane = backed_up(&cluster).await;
    let mut data_plane =
        cluster.data_plane_of(&control_plane, &[("cluster_fallback_config_import", "on")]);
    data_plane.serves("/second", 200).await;
    let cache = data_plane.prefix().join("cache");
    wait::until("the disk cache", || async {
        // It is written after the configuration serves.
        std::fs::read_dir(&cache)
            .map_err(|error| error.to_string())?
            .next()
            .ok_or("it is empty")?
            .map_err(|error| error.to_string())
    })
    .await;
    data_plane.kill();
    let mut spoilt = 0;
    for file in std::fs::read_dir(&cache).expect("the cache directory exists") {
        let path = file.expect("read the directory").path();
        if path.is_file() {
            std::fs::write(&path, b"{\"type\":\"reconfigure\"").expect("spoil the cache");
            spoilt += 1;
        }
    }
    assert!(spoilt > 0, "nothing was cached in {}", cache.display());
    data_plane.start_again();
    data_plane.serves("/second", 200).await;
    assert_eq!(data_plane.source().await, "storage");
}
