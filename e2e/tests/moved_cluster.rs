//! A cluster that moves from Kong to Keelgate and keeps the place of its backups.

use e2e::{Cluster, kong, ports, wait};
use serde_json::{Value, json};

const EXPORT: (&str, &str) = ("cluster_fallback_config_export", "on");
const IMPORT: (&str, &str) = ("cluster_fallback_config_import", "on");
const DELAY: (&str, &str) = ("cluster_fallback_config_export_delay", "0");
const KONG: &str = "43bb40d6-4c82-4d1c-9e20-17766dc60181";

/// What a control plane of Kong sends: one route.
fn table(cluster: &Cluster, path: &str) -> Value {
    let service = "a0000004-0000-4000-8000-000000000004";
    json!({
        "_format_version": "3.0",
        "_transform": false,
        "parameters": [{"created_at": null, "key": "cluster_id", "value": KONG}],
        "services": [{
            "id": service, "name": "old", "protocol": "http",
            "host": cluster.upstream.address.ip(), "port": cluster.upstream.address.port(),
        }],
        "routes": [{
            "id": "a0000006-0000-4000-8000-000000000006", "name": "old", "service": service,
            "paths": [path],
        }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_does_not_overwrite_the_backups_of_another_cluster_until_it_adopts_them() {
    let cluster = Cluster::with_s3().await;
    let kong = kong::ControlPlane::start(&cluster.certificate(), &cluster.key()).await;
    let address = kong.address.clone();
    let veteran = cluster.data_plane(&address, &[EXPORT, IMPORT, DELAY]);
    kong.publish(&table(&cluster, "/old"));
    veteran.serves("/old", 200).await;
    cluster.storage().holds("\"/old\"").await;
    drop(kong);

    // Keelgate's control plane takes its address, with a database of its own.
    let control_plane = cluster.control_plane(&[EXPORT, DELAY, ("cluster_listen", &address)]);
    control_plane.up().await;
    cluster.add_route(&control_plane, "new", "/new").await;
    // The data plane follows whoever has the address and the certificate.
    veteran.serves("/new", 200).await;
    wait::until("a report of the foreign backup", || async {
        let reports = [control_plane.report().await, veteran.report().await];
        let blocked = reports.iter().any(|report| {
            let report = &report["fallback"][0];
            let told = report["last_error"]["message"].as_str().unwrap_or_default();
            report["state"] == "blocked" && told.contains(KONG) && told.contains("--adopt")
        });
        blocked.then_some(()).ok_or_else(|| format!("{reports:?}"))
    })
    .await;
    cluster.storage().holds("\"/old\"").await;

    let (good, said) = control_plane
        .operate(&["config", "next_epoch", "--adopt", "--yes"])
        .await;
    assert!(good, "{said}");
    let stored = cluster.storage().holds("\"/new\"").await;
    let stored = e2e::reader::identity(&stored).expect("it has an identity");
    assert_eq!(stored["cluster_id"], KONG);
    cluster.add_route(&control_plane, "last", "/last").await;
    veteran.serves("/last", 200).await;
    veteran.follows("control_plane").await;
    cluster.storage().holds("\"/last\"").await;

    let nobody = format!("127.0.0.1:{}", ports::free());
    let newborn = cluster.data_plane(&nobody, &[IMPORT]);
    newborn.serves("/last", 200).await;
    assert_eq!(newborn.source().await, "storage");
}
