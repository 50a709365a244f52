//! More than one storage, one of them in trouble.

use e2e::s3::{Behaviour, Proxy, Server};
use e2e::{Cluster, Storage, wait};

const EXPORT: (&str, &str) = ("cluster_fallback_config_export", "on");
const IMPORT: (&str, &str) = ("cluster_fallback_config_import", "on");
const DELAY: (&str, &str) = ("cluster_fallback_config_export_delay", "0");

#[tokio::test(flavor = "multi_thread")]
async fn both_are_written_and_the_newest_good_one_is_read_while_one_is_away() {
    let server = Server::under_test();
    let proxy = Proxy::start(server.clone(), Behaviour::Faithful).await;
    let directory = tempfile::tempdir().expect("make a directory");
    let cluster = Cluster::new()
        .await
        .and_storage(Storage::on(&server).behind(&proxy))
        .and_storage(Storage::directory(directory.path().join("backup")));
    let (first, second) = (cluster.storage_at(0), cluster.storage_at(1));
    let mut control_plane = cluster.control_plane(&[EXPORT, DELAY]);
    control_plane.up().await;
    cluster.add_route(&control_plane, "first", "/first").await;
    first.holds("\"/first\"").await;
    second.holds("\"/first\"").await;

    proxy.behave(Behaviour::Away);
    cluster.add_route(&control_plane, "second", "/second").await;
    let newer = second.holds("\"/second\"").await;
    wait::until("a report of the trouble", || async {
        let report = control_plane.report().await["fallback"].clone();
        let states = [&report[0]["state"], &report[1]["state"]];
        if states == ["retrying", "stored"] {
            Ok(())
        } else {
            Err(report.to_string())
        }
    })
    .await;

    // One is older, and back; one is newer: the order in the setting decides nothing.
    control_plane.kill();
    proxy.behave(Behaviour::Faithful);
    let older = first.holds("\"/first\"").await;
    assert_ne!(older, newer);
    let newborn = cluster.data_plane_of(&control_plane, &[IMPORT]);
    newborn.serves("/second", 200).await;
    assert_eq!(newborn.source().await, "storage");

    // One is away, and the other damaged: what is left of it serves.
    proxy.behave(Behaviour::Away);
    second.write(&Storage::config_key(), "{").await;
    let newborn = cluster.data_plane_of(&control_plane, &[IMPORT]);
    newborn.serves("/second", 200).await;

    // Both are mended by who comes back.
    proxy.behave(Behaviour::Faithful);
    control_plane.start_again();
    control_plane.up().await;
    first.holds("\"/second\"").await;
    second.holds("\"/second\"").await;
}
