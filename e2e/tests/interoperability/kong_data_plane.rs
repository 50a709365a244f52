//! Its data planes before our control plane.

use e2e::kong::{self, NO_HASH, PLUGINS};
use e2e::{Cluster, Node, wait};
use serde_json::{Value, json};

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
