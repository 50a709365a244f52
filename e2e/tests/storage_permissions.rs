//! Nodes whose credentials may do no more than they need, or less.

use e2e::s3::{Behaviour, Permissions, Proxy, Server};
use e2e::{Cluster, Node, Storage, backup, wait};

const EXPORT: (&str, &str) = ("cluster_fallback_config_export", "on");
const IMPORT: (&str, &str) = ("cluster_fallback_config_import", "on");
const FIRST: &str = "\"/first\"";

/// A cluster with a backup of the route `/first` and a dead control plane, whose nodes may do from
/// now on only what `permissions` say.
async fn backed_up(server: &Server, permissions: Permissions) -> (Cluster, Node) {
    let mut cluster = Cluster::new().await.and_storage(Storage::on(server));
    let mut control_plane = cluster.control_plane(&[EXPORT]);
    control_plane.up().await;
    cluster.add_route(&control_plane, "first", "/first").await;
    cluster.storage().holds(FIRST).await;
    control_plane.kill();
    cluster.give(
        permissions
            .granted(server, cluster.storage().prefix())
            .await,
    );
    (cluster, control_plane)
}

/// The same behind a store that answers as S3 does to those who may not list: 403 for what is absent.
async fn behind(cluster: &mut Cluster, proxy: &Proxy, server: &Server, permissions: Permissions) {
    let mut environment = permissions
        .granted(server, cluster.storage().prefix())
        .await;
    environment.push(("AWS_CONFIG_STORAGE_ENDPOINT".into(), proxy.endpoint.clone()));
    cluster.give(environment);
}

/// Waits until the report of a node contains all of `words`.
async fn tells(node: &Node, words: &[&str]) {
    wait::until("a report of what is wrong", || async {
        let report = node.report().await.to_string();
        let missing = words.iter().find(|word| !report.contains(**word));
        missing.map_or(Ok(()), |word| Err(format!("no `{word}` in {report}")))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_may_only_get_objects_is_born_from_the_storage() {
    let server = Server::under_test();
    let (cluster, control_plane) = backed_up(&server, Permissions::Reader).await;
    let newborn = cluster.data_plane_of(&control_plane, &[IMPORT]);
    newborn.serves("/first", 200).await;
    assert_eq!(newborn.source().await, "storage");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_may_only_get_objects_finds_the_backup_of_another_version() {
    let server = Server::under_test();
    let (cluster, control_plane) = backed_up(&server, Permissions::Reader).await;
    backup::belongs_to_version(&cluster, "0.0.9").await;
    let newborn = cluster.data_plane_of(&control_plane, &[IMPORT]);
    newborn.serves("/first", 200).await;
    assert_eq!(newborn.source().await, "storage");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_denied_what_is_absent_finds_the_backup_of_another_version() {
    let server = Server::under_test();
    let (mut cluster, control_plane) = backed_up(&server, Permissions::Reader).await;
    let proxy = Proxy::start(server.clone(), Behaviour::HidesAbsence).await;
    behind(&mut cluster, &proxy, &server, Permissions::Reader).await;
    backup::belongs_to_version(&cluster, "0.0.9").await;
    let newborn = cluster.data_plane_of(&control_plane, &[IMPORT]);
    newborn.serves("/first", 200).await;
    assert_eq!(newborn.source().await, "storage");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_without_permission_tells_who_denied_what_and_serves_nothing() {
    let server = Server::under_test();
    let (cluster, control_plane) = backed_up(&server, Permissions::Stranger).await;
    let newborn = cluster.data_plane_of(&control_plane, &[IMPORT]);
    newborn.up().await;
    let location = cluster.storage().url.clone();
    let key = Storage::config_key();
    tells(&newborn, &[&location, &key, "\"denied\"", "s3:GetObject"]).await;
    newborn.answers(&newborn.status("/status/ready"), 503).await;
    newborn.serves("/first", 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_may_not_delete_exports_and_tells_that_it_cannot_prune() {
    let server = Server::under_test();
    let mut cluster = Cluster::new().await.and_storage(Storage::on(&server));
    let granted = Permissions::Writer.granted(&server, cluster.storage().prefix());
    cluster.give(granted.await);
    let control_plane = cluster.control_plane(&[
        EXPORT,
        ("cluster_fallback_config_export_delay", "0"),
        ("cluster_fallback_config_history", "1"),
    ]);
    control_plane.up().await;
    for name in ["first", "second", "third"] {
        let path = format!("/{name}");
        cluster.add_route(&control_plane, name, &path).await;
        cluster.storage().holds(&format!("\"{path}\"")).await;
    }
    tells(
        &control_plane,
        &["\"denied\"", "s3:DeleteObject", "\"stored\""],
    )
    .await;
    let history = cluster.storage().list(&Storage::key("history")).await;
    assert!(history.len() > 2, "something was deleted: {history:?}");
    control_plane
        .answers(&control_plane.admin("/status"), 200)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_may_not_list_tells_which_permission_it_lacks() {
    let server = Server::under_test();
    let mut cluster = Cluster::new().await.and_storage(Storage::on(&server));
    let proxy = Proxy::start(server.clone(), Behaviour::HidesAbsence).await;
    behind(&mut cluster, &proxy, &server, Permissions::BlindWriter).await;
    let control_plane = cluster.control_plane(&[EXPORT]);
    control_plane.up().await;
    cluster.add_route(&control_plane, "first", "/first").await;
    tells(&control_plane, &["\"denied\"", "s3:ListBucket"]).await;
}
