//! Kong at the other end: its control plane before our data planes, its data planes before our
//! control plane.

use e2e::kong::{self, NO_HASH, PLUGINS};
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
    assert_eq!(data_plane.source().await, "control_plane");
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
    assert_eq!(data_plane.source().await, "control_plane");
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
    assert_eq!(newborn.source().await, "control_plane");
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

async fn kong_data_plane(
    cluster: &Cluster,
    control_plane: &Node,
    plugins: &[&str],
) -> kong::DataPlane {
    let address = e2e::cluster::cluster_address(control_plane);
    kong::DataPlane::connect(&address, &cluster.certificate(), &cluster.key(), plugins).await
}

/// Waits until the control plane has a record of the data plane that fits.
async fn recorded(
    control_plane: &Node,
    data_plane: &kong::DataPlane,
    fits: impl Fn(&Value) -> bool,
) -> Value {
    let id = data_plane.id.to_string();
    wait::until("the record of the data plane", || async {
        let list = control_plane
            .change("GET", "/clustering/data-planes", Value::Null)
            .await;
        let record = list["data"]
            .as_array()
            .and_then(|list| list.iter().find(|record| record["id"] == id.as_str()));
        match record {
            Some(record) if fits(record) => Ok(record.clone()),
            _ => Err(list.to_string()),
        }
    })
    .await
}

/// A control plane with an entity of most kinds.
async fn filled(cluster: &Cluster) -> Node {
    let node = cluster.control_plane(&[]);
    node.up().await;
    cluster.add_route(&node, "first", "/first").await;
    for (path, body) in [
        ("/consumers/alice", json!({})),
        ("/consumers/alice/key-auth/secret", json!({})),
        ("/upstreams/up", json!({})),
        (
            "/services/off",
            json!({"host": "off.test", "enabled": false}),
        ),
    ] {
        node.change("PUT", path, body).await;
    }
    for (path, body) in [
        ("/consumers/alice/acls", json!({"group": "staff"})),
        (
            "/consumers/alice/basic-auth",
            json!({"username": "alice", "password": "secret"}),
        ),
        ("/upstreams/up/targets", json!({"target": "127.0.0.1:80"})),
        ("/routes/first/plugins", json!({"name": "key-auth"})),
        ("/plugins", json!({"name": "cors", "enabled": false})),
        (
            "/plugins",
            json!({"name": "rate-limiting", "config": {"minute": 100}}),
        ),
    ] {
        node.change("POST", path, body).await;
    }
    // A change is sent a moment after it was answered: the last one must be out before others look.
    let mut witness = kong_data_plane(cluster, &node, PLUGINS).await;
    while limits(&witness.reconfigured().await["config_table"]).is_none() {}
    node
}

/// The settings of the rate limit in a table.
fn limits(table: &Value) -> Option<&Value> {
    let plugins = table["plugins"].as_array()?;
    let plugin = plugins
        .iter()
        .find(|plugin| plugin["name"] == "rate-limiting")?;
    Some(&plugin["config"])
}

/// The names of the fields of the only row of a collection.
fn fields<'a>(table: &'a Value, collection: &str) -> Vec<&'a str> {
    let rows = table[collection].as_array().expect(collection);
    let row = rows[0].as_object().expect("a row is an object");
    let mut names: Vec<&str> = row.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_plane_of_kong_gets_the_frame_that_it_understands() {
    let cluster = Cluster::new().await;
    let control_plane = filled(&cluster).await;
    let mut data_plane = kong_data_plane(&cluster, &control_plane, PLUGINS).await;
    let frame = data_plane.reconfigured().await;

    assert_eq!(frame["type"], "reconfigure");
    assert!(frame["timestamp"].as_f64().expect("a time stamp") > 1.7e9);
    let table = &frame["config_table"];
    assert_eq!(frame["hashes"], kong::hashes(table));
    assert_eq!(frame["config_hash"], frame["hashes"]["config"]);

    assert_eq!(table["_format_version"], "3.0");
    assert_eq!(table["_transform"], false);
    let mut collections: Vec<&str> = table
        .as_object()
        .expect("a table")
        .keys()
        .map(String::as_str)
        .collect();
    collections.sort_unstable();
    assert_eq!(
        collections,
        [
            "_format_version",
            "_transform",
            "acls",
            "basicauth_credentials",
            "consumers",
            "keyauth_credentials",
            "parameters",
            "plugins",
            "routes",
            "services",
            "targets",
            "upstreams",
            "workspaces",
        ]
    );
    // A data plane of Kong refuses a table for one field that its schema does not have.
    let expected: [(&str, &[&str]); 7] = [
        ("parameters", &["created_at", "key", "value"]),
        (
            "workspaces",
            &[
                "comment",
                "config",
                "created_at",
                "id",
                "meta",
                "name",
                "updated_at",
            ],
        ),
        (
            "services",
            &[
                "ca_certificates",
                "client_certificate",
                "connect_timeout",
                "created_at",
                "enabled",
                "host",
                "id",
                "name",
                "path",
                "port",
                "protocol",
                "read_timeout",
                "retries",
                "tags",
                "tls_verify",
                "tls_verify_depth",
                "updated_at",
                "write_timeout",
            ],
        ),
        (
            "routes",
            &[
                "created_at",
                "destinations",
                "headers",
                "hosts",
                "https_redirect_status_code",
                "id",
                "methods",
                "name",
                "path_handling",
                "paths",
                "preserve_host",
                "protocols",
                "regex_priority",
                "request_buffering",
                "response_buffering",
                "service",
                "snis",
                "sources",
                "strip_path",
                "tags",
                "updated_at",
            ],
        ),
        (
            "plugins",
            &[
                "config",
                "consumer",
                "created_at",
                "enabled",
                "id",
                "instance_name",
                "name",
                "protocols",
                "route",
                "service",
                "tags",
                "updated_at",
            ],
        ),
        (
            "keyauth_credentials",
            &["consumer", "created_at", "id", "key", "tags", "ttl"],
        ),
        (
            "targets",
            &[
                "created_at",
                "id",
                "tags",
                "target",
                "updated_at",
                "upstream",
                "weight",
            ],
        ),
    ];
    for (collection, names) in expected {
        assert_eq!(fields(table, collection), names, "{collection}");
    }
    assert_eq!(
        table["services"].as_array().map(Vec::len),
        Some(1),
        "the disabled one is left out"
    );
    assert_eq!(
        table["plugins"].as_array().map(Vec::len),
        Some(2),
        "the disabled one is left out"
    );
    assert_eq!(table["routes"][0]["service"], table["services"][0]["id"]);
    assert_eq!(table["targets"][0]["upstream"], table["upstreams"][0]["id"]);
    assert_eq!(
        table["keyauth_credentials"][0]["consumer"],
        table["consumers"][0]["id"]
    );
    assert_eq!(table["keyauth_credentials"][0]["ttl"], Value::Null);
    let password = table["basicauth_credentials"][0]["password"].as_str();
    assert_eq!(
        password.map(str::len),
        Some(40),
        "the password is not hashed"
    );
    assert_eq!(table["parameters"][0]["key"], "cluster_id");
    assert_eq!(table["workspaces"][0]["name"], "default");
    let config = limits(table).expect("it is there");
    assert_eq!(config["redis"]["port"], 6379);
    assert_eq!(config["redis_port"], 6379, "the former name is there too");
    // Kong's time stamps are positive or absent.
    for rows in table.as_object().expect("a table").values() {
        for row in rows.as_array().into_iter().flatten() {
            for name in ["created_at", "updated_at"] {
                assert!(
                    row[name].is_null() || row[name].as_f64().is_some_and(|time| time > 0.0),
                    "{row}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_plane_of_kong_is_answered_recorded_and_kept_up_to_date() {
    let cluster = Cluster::new().await;
    let control_plane = filled(&cluster).await;
    let mut data_plane = kong_data_plane(&cluster, &control_plane, PLUGINS).await;
    let first = data_plane.reconfigured().await;
    data_plane.ping(NO_HASH).await;
    let hash = first["config_hash"].as_str().expect("a hash");
    data_plane.ping(hash).await;
    let record = recorded(&control_plane, &data_plane, |record| {
        record["config_hash"] == hash
    })
    .await;
    assert_eq!(record["hostname"], "kong-dp");
    assert_eq!(record["ip"], "127.0.0.1");
    assert_eq!(record["version"], "3.9.1");
    assert_eq!(record["sync_status"], "normal");
    assert_eq!(record["rpc_capabilities"], json!([]));
    assert!(
        record["cert_details"]["expiry_timestamp"].is_number(),
        "{record}"
    );

    cluster.add_route(&control_plane, "second", "/second").await;
    let workspace = &first["config_table"]["workspaces"][0];
    loop {
        let frame = data_plane.reconfigured().await;
        assert_eq!(
            frame["config_hash"],
            kong::hashes(&frame["config_table"])["config"]
        );
        // Another id would make a running data plane of Kong refuse every credential.
        assert_eq!(&frame["config_table"]["workspaces"][0], workspace);
        if frame["config_table"]["routes"].as_array().map(Vec::len) == Some(2) {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_plane_of_kong_without_a_configured_plugin_gets_no_configuration() {
    let cluster = Cluster::new().await;
    let control_plane = filled(&cluster).await;
    let without: Vec<&str> = PLUGINS
        .iter()
        .copied()
        .filter(|name| *name != "key-auth")
        .collect();
    let mut data_plane = kong_data_plane(&cluster, &control_plane, &without).await;
    data_plane.ping(NO_HASH).await;
    let record = recorded(&control_plane, &data_plane, |record| {
        record["sync_status"] != "unknown"
    })
    .await;
    assert_eq!(record["sync_status"], "plugin_set_incompatible");
    data_plane.ping(NO_HASH).await;
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
