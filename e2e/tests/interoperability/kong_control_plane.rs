//! Its control plane before our data planes.

use e2e::kong::{self, NO_HASH};
use e2e::{Cluster, Node, Role, Storage, Traffic, Upstream, wait};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use serde_json::{Value, json};

const SERVICE: &str = "a0000004-0000-4000-8000-000000000004";
const ROUTE: &str = "a0000006-0000-4000-8000-000000000006";
const CONSUMER: &str = "a0000008-0000-4000-8000-000000000008";
const PLUGIN: &str = "a0000010-0000-4000-8000-000000000010";
const CLUSTER: &str = "43bb40d6-4c82-4d1c-9e20-17766dc60181";

/// What a control plane of Kong exports: every field, foreign keys as ids, no `ws_id`. The route
/// wants the key `secret`.
fn table(upstream: &Upstream, path: &str) -> Value {
    json!({
        "_format_version": "3.0",
        "_transform": false,
        "parameters": [{"created_at": null, "key": "cluster_id", "value": CLUSTER}],
        "workspaces": [{
            "id": "c87cfce4-4c95-44dd-8c8e-54111ffce73e", "name": "default", "comment": null,
            "meta": {}, "config": {}, "created_at": 1_795_406_447, "updated_at": 1_795_406_447,
        }],
        "services": [{
            "id": SERVICE, "name": "echo", "protocol": "http", "host": upstream.address.ip(),
            "port": upstream.address.port(), "path": null, "retries": 5, "enabled": true,
            "connect_timeout": 60000, "read_timeout": 60000, "write_timeout": 60000,
            "tls_verify": null, "tls_verify_depth": null, "client_certificate": null,
            "ca_certificates": null, "tags": ["a", "b"],
            "created_at": 1_795_406_546, "updated_at": 1_795_406_645,
        }],
        "routes": [{
            "id": ROUTE, "name": "echo", "service": SERVICE, "paths": [path], "methods": null,
            "hosts": null, "headers": null, "snis": null, "sources": null, "destinations": null,
            "protocols": ["http", "https"], "strip_path": true, "preserve_host": false,
            "path_handling": "v0", "regex_priority": 0, "https_redirect_status_code": 426,
            "request_buffering": true, "response_buffering": true, "tags": null,
            "created_at": 1_795_406_546, "updated_at": 1_795_406_546,
        }],
        "plugins": [{
            "id": PLUGIN, "name": "key-auth", "instance_name": null, "enabled": true,
            "protocols": ["grpc", "grpcs", "http", "https"], "route": ROUTE, "service": null,
            "consumer": null, "tags": null,
            "created_at": 1_795_406_546, "updated_at": 1_795_406_546,
            "config": {
                "realm": null, "key_in_query": true, "key_in_body": false, "key_in_header": true,
                "run_on_preflight": true, "anonymous": null, "key_names": ["apikey"],
                "hide_credentials": false,
            },
        }],
        "consumers": [{
            "id": CONSUMER, "username": "alice", "custom_id": "c1", "tags": null,
            "created_at": 1_795_406_546, "updated_at": 1_795_406_546,
        }],
        "keyauth_credentials": [{
            "id": "a0000009-0000-4000-8000-000000000009", "consumer": CONSUMER, "key": "secret",
            "tags": null, "ttl": null, "created_at": 1_795_406_546,
        }],
    })
}

/// Makes a table bad.
type Spoil = fn(&mut Value);

async fn kong_control_plane(cluster: &Cluster) -> kong::ControlPlane {
    kong::ControlPlane::start(&cluster.certificate(), &cluster.key()).await
}

/// Waits until the key opens this path, and shows that nothing else does.
async fn guards(data_plane: &Node, path: &str) {
    let echoed = data_plane
        .serves(&format!("{path}?apikey=secret"), 200)
        .await;
    let echoed: Value = serde_json::from_str(&echoed).expect("the upstream echoes JSON");
    assert_eq!(echoed["headers"]["x-consumer-username"], "alice");
    assert_eq!(echoed["headers"]["x-consumer-custom-id"], "c1");
    data_plane.serves(path, 401).await;
    data_plane
        .serves(&format!("{path}?apikey=other"), 401)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_plane_serves_what_a_control_plane_of_kong_sends() {
    let cluster = Cluster::new().await;
    let mut control_plane = kong_control_plane(&cluster).await;
    let data_plane = cluster.data_plane(&control_plane.address, &[]);
    let info = control_plane.basic_info().await;
    assert_eq!(info["type"], "basic_info");
    let plugins = info["plugins"].as_array().expect("a list of plugins");
    let listed = |name: &str| plugins.iter().any(|plugin| plugin["name"] == name);
    assert!(listed("key-auth") && listed("rate-limiting"), "{info}");
    assert_eq!(control_plane.ping().await, NO_HASH);

    let first = control_plane.publish(&table(&cluster.upstream, "/first"));
    control_plane.pinged(&first).await;
    guards(&data_plane, "/first").await;
    let second = control_plane.publish(&table(&cluster.upstream, "/second"));
    assert_ne!(first, second);
    control_plane.pinged(&second).await;
    guards(&data_plane, "/second").await;
    data_plane.serves("/first?apikey=secret", 404).await;
    data_plane.follows("control_plane").await;
    let report = data_plane.report().await;
    assert_eq!(report["source"]["serving"]["config_hash"], second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_plane_outlives_a_control_plane_of_kong() {
    let cluster = Cluster::new().await;
    let mut control_plane = kong_control_plane(&cluster).await;
    let mut data_plane = cluster.data_plane(&control_plane.address, &[]);
    let hash = control_plane.publish(&table(&cluster.upstream, "/first"));
    control_plane.pinged(&hash).await;
    let traffic = Traffic::start(data_plane.proxy("/first?apikey=secret"));
    traffic.more(20).await;

    let address = control_plane.address.clone();
    drop(control_plane);
    traffic.more(50).await;
    traffic.stop_without_failures().await;
    data_plane.stop().await;
    data_plane.start_again();
    guards(&data_plane, "/first").await;
    assert_eq!(data_plane.source().await, "cache");

    let mut control_plane =
        kong::ControlPlane::listen(&address, &cluster.certificate(), &cluster.key()).await;
    assert_eq!(
        control_plane.ping().await,
        hash,
        "the first ping after the restart"
    );
    let hash = control_plane.publish(&table(&cluster.upstream, "/second"));
    control_plane.pinged(&hash).await;
    guards(&data_plane, "/second").await;
    data_plane.follows("control_plane").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_table_of_kong_is_rejected_while_the_old_one_serves() {
    let cluster = Cluster::new().await;
    let mut control_plane = kong_control_plane(&cluster).await;
    let data_plane = cluster.data_plane(&control_plane.address, &[]);
    let good = control_plane.publish(&table(&cluster.upstream, "/first"));
    control_plane.pinged(&good).await;
    let spoilt: [(&str, Spoil, &str); 5] = [
        (
            "an unknown plugin",
            |table| table["plugins"][0]["name"] = json!("mystery"),
            "mystery",
        ),
        (
            "an unknown field",
            |table| table["services"][0]["mood"] = json!("good"),
            "mood",
        ),
        (
            "an unknown collection",
            |table| table["moods"] = json!([{"id": SERVICE}]),
            "moods",
        ),
        (
            "an invalid value",
            |table| table["services"][0]["port"] = json!(70_000),
            "port",
        ),
        (
            "a reference to nothing",
            |table| table["routes"][0]["service"] = json!(CONSUMER),
            CONSUMER,
        ),
    ];
    for (what, spoil, reason) in spoilt {
        let mut bad = table(&cluster.upstream, "/bad");
        spoil(&mut bad);
        control_plane.publish(&bad);
        assert_eq!(control_plane.ping().await, good, "{what}");
        wait::until(what, || async {
            let report = data_plane.report().await;
            let error = report["source"]["last_error"].to_string();
            if error.contains(reason) && error.contains("\"rejected\"") {
                Ok(())
            } else {
                Err(error)
            }
        })
        .await;
        guards(&data_plane, "/first").await;
        data_plane.serves("/bad?apikey=secret", 404).await;
    }
    let next = control_plane.publish(&table(&cluster.upstream, "/second"));
    control_plane.pinged(&next).await;
    guards(&data_plane, "/second").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newborn_survives_an_outage_of_a_control_plane_of_kong() {
    let cluster = Cluster::with_s3().await;
    let mut control_plane = kong_control_plane(&cluster).await;
    let _backup = cluster.data_plane(
        &control_plane.address,
        &[
            ("cluster_fallback_config_export", "on"),
            ("cluster_fallback_config_export_delay", "0.05"),
        ],
    );
    let hash = control_plane.publish(&table(&cluster.upstream, "/first"));
    control_plane.pinged(&hash).await;
    stored(&cluster, "\"/first\"").await;

    let address = control_plane.address.clone();
    drop(control_plane);
    let newborn = cluster.data_plane(&address, &[("cluster_fallback_config_import", "on")]);
    guards(&newborn, "/first").await;
    assert_eq!(newborn.source().await, "storage");
    let report = newborn.report().await;
    assert_eq!(report["source"]["serving"]["config_hash"], hash);
    assert_eq!(
        report["source"]["serving"]["identity"]["cluster_id"],
        CLUSTER
    );

    let control_plane =
        kong::ControlPlane::listen(&address, &cluster.certificate(), &cluster.key()).await;
    control_plane.publish(&table(&cluster.upstream, "/second"));
    guards(&newborn, "/second").await;
    newborn.follows("control_plane").await;
    stored(&cluster, "\"/second\"").await;
}

/// Waits until the storage holds a configuration that contains `text`.
async fn stored(cluster: &Cluster, text: &str) {
    wait::until("the snapshot in the storage", || async {
        let body = cluster.storage().read(&Storage::config_key()).await;
        let body = body.ok_or("no config.json yet")?;
        if String::from_utf8_lossy(&body).contains(text) {
            Ok(())
        } else {
            Err("config.json is older")
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_node_publishes_nothing_that_nobody_would_believe() {
    let directory = tempfile::tempdir().expect("make a directory");
    let write = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("write a file");
        path
    };
    let authority = authority();
    let ca = write("ca.crt", authority.pem());
    let issue = |name: &str, purpose| {
        let key = KeyPair::generate().expect("make a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, &authority).expect("sign");
        (
            write(&format!("{name}.crt"), certificate.pem()),
            write(&format!("{name}.key"), key.serialize_pem()),
        )
    };
    let server = issue("cp.test", ExtendedKeyUsagePurpose::ServerAuth);
    let client = issue("dp.test", ExtendedKeyUsagePurpose::ClientAuth);
    let upstream = Upstream::start().await;
    let mut control_plane = kong::ControlPlane::start(&server.0, &server.1).await;
    let storage = Storage::directory(directory.path().join("backup"));
    let text = |path: &std::path::Path| path.display().to_string();
    let data_plane = Node::start(
        Role::DataPlane,
        &[
            ("cluster_control_plane", &control_plane.address),
            ("cluster_mtls", "pki"),
            ("cluster_server_name", "cp.test"),
            ("cluster_ca_cert", &text(&ca)),
            ("cluster_cert", &text(&client.0)),
            ("cluster_cert_key", &text(&client.1)),
            ("cluster_fallback_config_storage", &storage.url),
            ("cluster_fallback_config_export", "on"),
        ],
        &[],
    );
    let hash = control_plane.publish(&table(&upstream, "/first"));
    control_plane.pinged(&hash).await;
    guards(&data_plane, "/first").await;
    let reason =
        "its control plane does not sign, and others would not believe this node's certificate";
    wait::until("the reason in the status", || async {
        let report = data_plane.report().await.to_string();
        if report.contains(reason) {
            Ok(())
        } else {
            Err(report)
        }
    })
    .await;
    assert!(data_plane.log().contains(reason));
    assert!(storage.read(&Storage::config_key()).await.is_none());
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("make a key");
    CertifiedIssuer::self_signed(params, key).expect("sign")
}
