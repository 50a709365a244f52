//! The outage matrix: a data plane without a cache meets a control plane that fails in one way, and
//! serves from the storage.

use e2e::outage::{Failure, Outage};
use e2e::{Cluster, Node, Traffic};
use serde_json::json;

/// A cluster whose storage holds a snapshot with the route `/first`, and whose control plane (the
/// second) is dead; its prefix and ports live on.
async fn backed_up() -> (Cluster, Node) {
    let cluster = Cluster::with_s3().await;
    let mut control_plane = cluster.control_plane(&[("cluster_fallback_config_export", "on")]);
    control_plane.up().await;
    cluster.add_route(&control_plane, "first", "/first").await;
    cluster.storage().holds("\"/first\"").await;
    control_plane.kill();
    (cluster, control_plane)
}

async fn serves_from_the_storage(failure: Failure) {
    let (cluster, _control_plane) = backed_up().await;
    let outage = Outage::start(failure, &cluster.certificate(), &cluster.key()).await;
    let newborn = cluster.data_plane(&outage.address, &[("cluster_fallback_config_import", "on")]);
    let echoed = newborn.serves("/first/x", 200).await;
    assert!(
        echoed.contains("\"path\":\"/x\""),
        "the upstream did not answer: {echoed}"
    );
    assert_eq!(newborn.source().await, "storage", "{failure:?}");
}

macro_rules! matrix {
    ($($name:ident: $failure:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            serves_from_the_storage($failure).await;
        }
    )*};
}

matrix! {
    control_plane_refuses: Failure::Refuses;
    control_plane_black_holes: Failure::BlackHoles;
    control_plane_stalls_in_the_tls_handshake: Failure::StallsInTls;
    control_plane_has_a_foreign_certificate: Failure::WrongCertificate;
    control_plane_speaks_no_tls: Failure::NoTls;
    control_plane_closes_after_the_tls_handshake: Failure::ClosesAfterTls;
    control_plane_never_answers_the_upgrade: Failure::StallsBeforeUpgrade;
    control_plane_upgrades_and_sends_nothing: Failure::StallsAfterUpgrade;
    control_plane_answers_403: Failure::Answers(403);
    control_plane_answers_429: Failure::Answers(429);
    control_plane_answers_503: Failure::Answers(503);
    control_plane_sends_garbage: Failure::SendsGarbage;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_returning_control_plane_takes_over_without_a_dropped_request() {
    let (cluster, mut control_plane) = backed_up().await;
    let newborn =
        cluster.data_plane_of(&control_plane, &[("cluster_fallback_config_import", "on")]);
    newborn.serves("/first", 200).await;
    let traffic = Traffic::start(newborn.proxy("/first"));
    traffic.more(20).await;
    control_plane.start_again();
    control_plane.up().await;
    for number in 0..5 {
        cluster
            .add_route(
                &control_plane,
                &format!("n{number}"),
                &format!("/n{number}"),
            )
            .await;
        newborn.serves(&format!("/n{number}"), 200).await;
        traffic.more(20).await;
    }
    newborn.follows("control_plane").await;
    control_plane
        .change("DELETE", "/routes/n0", json!(null))
        .await;
    newborn.serves("/n0", 404).await;
    traffic.stop_without_failures().await;
}
