//! Who writes, when the one who wrote is away.

use std::time::Duration;

use e2e::reader::{Choice, Reader};
use e2e::{Cluster, Node, Storage, election, wait};
use rustix::process::Signal;

const LEASE: Duration = Duration::from_secs(3);

/// Three backup nodes below a control plane that does not export, and the place of the one that
/// leads.
async fn elected(cluster: &Cluster, control_plane: &Node) -> (Vec<Node>, usize) {
    let lease = LEASE.as_secs().to_string();
    let nodes: Vec<Node> = (0..3)
        .map(|_| {
            cluster.data_plane_of(
                control_plane,
                &[
                    ("cluster_fallback_config_export", "on"),
                    ("cluster_fallback_config_export_delay", "0"),
                    ("cluster_fallback_config_lease", &lease),
                ],
            )
        })
        .collect();
    for node in &nodes {
        node.serves("/first", 200).await;
    }
    cluster.storage().holds("\"/first\"").await;
    let holder = holder(cluster.storage()).await;
    for (at, node) in nodes.iter().enumerate() {
        if node.id().await == holder {
            return (nodes, at);
        }
    }
    panic!("{holder} holds the lease and is none of the nodes");
}

/// One node took over, once; on a busy machine a new leader may lose the lease again.
fn took_over_in_order(before: u64, after: u64) {
    assert!(
        (before + 1..=before + 3).contains(&after),
        "the lease changed hands {} times",
        after - before
    );
}

/// Waits until somebody holds the lease.
async fn holder(storage: &Storage) -> String {
    wait::until("a holder of the lease", || async {
        let lease = election::lease(storage).await;
        lease.and_then(|lease| lease.holder).ok_or("nobody")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_wakes_up_after_its_lease_never_takes_anything_back() {
    let cluster = Cluster::with_s3().await;
    let control_plane = cluster.control_plane(&[]);
    control_plane.up().await;
    cluster.add_route(&control_plane, "first", "/first").await;
    let (nodes, at) = elected(&cluster, &control_plane).await;
    let paused = &nodes[at];
    let storage = cluster.storage();
    let before = election::lease(storage).await.expect("there is a leader");
    let reader = Reader::start(&cluster, Choice::Config);

    // The change makes the leader write: some of its writes are on their way when it is stopped.
    cluster.add_route(&control_plane, "second", "/second").await;
    paused.signal(Signal::STOP);
    let stopped = std::time::Instant::now();
    cluster.add_route(&control_plane, "third", "/third").await;
    let body = storage.holds("\"/third\"").await;
    let taken = stopped.elapsed();
    let after = election::lease(storage).await.expect("there is a leader");
    assert_ne!(after.holder, before.holder, "the paused node still leads");
    took_over_in_order(before.term, after.term);
    // Two periods, and what a busy machine adds.
    assert!(
        taken < LEASE * 2 + wait::PATIENCE,
        "took over after {taken:?}"
    );

    paused.signal(Signal::CONT);
    wait::until("the former leader to follow", || async {
        let report = paused.report().await["fallback"][0].clone();
        // On a busy machine the lease may have changed hands once more.
        let lease = election::lease(storage).await;
        let leader = lease.and_then(|lease| lease.holder).unwrap_or_default();
        let follows = report["leading"] == false && report["leader"] == leader;
        follows.then_some(()).ok_or_else(|| report.to_string())
    })
    .await;
    paused.serves("/third", 200).await;
    assert_eq!(
        storage.read(&Storage::config_key()).await.as_ref(),
        Some(&body),
        "the former leader wrote"
    );
    cluster.add_route(&control_plane, "fourth", "/fourth").await;
    storage.holds("\"/fourth\"").await;
    let sightings = reader.stop().await;
    assert_eq!(sightings.relapses, 0, "{sightings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_replaced_by_one_of_the_others() {
    let cluster = Cluster::with_s3().await;
    let control_plane = cluster.control_plane(&[]);
    control_plane.up().await;
    cluster.add_route(&control_plane, "first", "/first").await;
    let (mut nodes, at) = elected(&cluster, &control_plane).await;
    let before = election::lease(cluster.storage())
        .await
        .expect("there is a leader");
    let mut killed = nodes.remove(at);
    killed.kill();
    cluster.add_route(&control_plane, "second", "/second").await;
    cluster.storage().holds("\"/second\"").await;
    let after = election::lease(cluster.storage())
        .await
        .expect("there is a leader");
    took_over_in_order(before.term, after.term);
    let mut ids = Vec::new();
    for node in &nodes {
        ids.push(node.id().await);
    }
    let holder = after.holder.expect("the lease is held");
    assert!(ids.contains(&holder), "{holder} is none of {ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_stopped_hands_over_at_once() {
    let cluster = Cluster::with_s3().await;
    let control_plane = cluster.control_plane(&[]);
    control_plane.up().await;
    cluster.add_route(&control_plane, "first", "/first").await;
    let (mut nodes, at) = elected(&cluster, &control_plane).await;
    let mut stopped = nodes.remove(at);
    let id = stopped.id().await;
    assert!(stopped.stop().await.success());
    let registered = cluster.storage().list(&Storage::key("election")).await;
    assert!(
        !registered.iter().any(|key| key.ends_with(&id)),
        "it is still registered: {registered:?}"
    );
    cluster.add_route(&control_plane, "second", "/second").await;
    cluster.storage().holds("\"/second\"").await;
    assert_ne!(holder(cluster.storage()).await, id);
}
