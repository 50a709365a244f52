//! A write that arrives when its writer is long dead and another one has written something newer.

use e2e::reader::{Choice, Reader, Sightings};
use e2e::s3::{Behaviour, Proxy, Server};
use e2e::{Cluster, Node, Storage, election, wait};

/// The leader dies while its write of `config.json` is on its way; another node publishes a newer
/// snapshot; then the write arrives. Waits until the storage holds the newest again, and returns what
/// it answered to the late write.
async fn arrives(behaviour: Behaviour, choice: Choice) -> (u16, Sightings) {
    let server = Server::under_test();
    let proxy = Proxy::start(server.clone(), behaviour).await;
    let cluster = Cluster::new()
        .await
        .and_storage(Storage::on(&server).behind(&proxy));
    let storage = cluster.storage();
    let control_plane = cluster.control_plane(&[]);
    control_plane.up().await;
    cluster.add_route(&control_plane, "first", "/first").await;
    let export = [
        ("cluster_fallback_config_export", "on"),
        ("cluster_fallback_config_export_delay", "0"),
        ("cluster_fallback_config_lease", "3"),
    ];
    let mut nodes = [
        cluster.data_plane_of(&control_plane, &export),
        cluster.data_plane_of(&control_plane, &export),
    ];
    for node in &nodes {
        node.serves("/first", 200).await;
    }
    storage.holds("\"/first\"").await;
    let reader = Reader::start(&cluster, choice);

    proxy.hold();
    cluster.add_route(&control_plane, "second", "/second").await;
    proxy.holds().await;
    kill_the_leader(&mut nodes, storage).await;
    cluster.add_route(&control_plane, "third", "/third").await;
    storage.holds("\"/third\"").await;
    let answer = proxy.release().await;
    storage.holds("\"/third\"").await;
    (answer, reader.stop().await)
}

async fn kill_the_leader(nodes: &mut [Node], storage: &Storage) {
    let holder = wait::until("a holder of the lease", || async {
        let lease = election::lease(storage).await;
        lease.and_then(|lease| lease.holder).ok_or("nobody")
    })
    .await;
    for node in nodes {
        if node.id().await == holder {
            return node.kill();
        }
    }
    panic!("{holder} holds the lease and is none of the nodes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_write_is_refused_by_a_storage_that_compares() {
    let (answer, sightings) = arrives(Behaviour::Faithful, Choice::Config).await;
    assert_eq!(answer, 412);
    assert_eq!(sightings.relapses, 0, "{sightings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_write_into_a_storage_that_does_not_compare_misleads_no_reader_and_is_mended() {
    let (answer, sightings) = arrives(Behaviour::IgnoresConditions, Choice::Newest).await;
    // The older snapshot was written; the leader may mend that before anybody looks.
    assert_eq!(answer, 200);
    assert!(sightings.relapses <= 1, "{sightings:?}");
}
