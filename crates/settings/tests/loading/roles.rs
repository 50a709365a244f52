//! What a node needs for its role, and what it is known by.

use std::fs;

use keelgate_settings::DatabaseKind;

use crate::{Node, data_plane, find};

#[test]
fn hybrid_nodes_need_their_certificate_and_the_right_storage() {
    let problems = Node::new()
        .file("role = data_plane\ndatabase = sqlite")
        .problems();
    assert_eq!(
        find(&problems, "cluster_cert").message,
        "cluster certificate and key must be provided to use Hybrid mode"
    );
    assert_eq!(
        find(&problems, "database").message,
        "only in-memory storage can be used when role = \"data_plane\""
    );

    let problems = Node::new()
        .file("role = control_plane\ndatabase = off\nadmin_listen = off")
        .problems();
    assert!(
        find(&problems, "database")
            .message
            .contains("in-memory storage")
    );
    assert!(
        find(&problems, "admin_listen")
            .message
            .contains("control_plane")
    );
}

#[test]
fn a_data_plane_is_complete_with_a_certificate_and_an_address() {
    let node = Node::new();
    let (cert, key) = node.cluster_pair();
    let node = node.file(&format!(
        "role = data_plane\ncluster_cert = {cert}\ncluster_cert_key = {key}\ncluster_control_plane = cp1:8005, [::1]:9005\ncluster_fallback_config_import = on\ncluster_fallback_config_storage = s3://b/p, file:///srv/backup\n"
    ));
    let settings = node.settings();
    assert_eq!(settings.database.database, DatabaseKind::Off);
    let control: Vec<String> = settings
        .cluster
        .cluster_control_plane
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(control, ["cp1:8005", "[::1]:9005"]);
    assert_eq!(settings.fallback.cluster_fallback_config_storage.len(), 2);
    assert!(
        settings
            .cluster
            .cluster_cert
            .unwrap()
            .pem
            .contains("BEGIN CERTIFICATE")
    );
}

#[test]
fn a_data_plane_may_trust_other_authorities_than_that_of_the_cluster() {
    let pki = "cluster_mtls = pki\ncluster_server_name = cp.example.com\n";
    data_plane(pki).load();
    let problems = data_plane(&format!("{pki}lua_ssl_trusted_certificate = ,\n")).problems();
    assert!(
        find(&problems, "cluster_ca_cert")
            .message
            .contains("must be specified")
    );
}

#[test]
fn a_pg_setting_chooses_postgres_as_in_kong() {
    let settings = Node::new().env(&[("KONG_PG_HOST", "db")]).settings();
    assert_eq!(settings.database.database, DatabaseKind::Postgres);
    let settings = Node::new().settings();
    assert_eq!(settings.database.database, DatabaseKind::Sqlite);
}

#[test]
fn the_node_keeps_its_identity() {
    let node = Node::new();
    let first = node.settings().node_id().unwrap();
    assert_eq!(node.settings().node_id().unwrap(), first);
    let chosen = "5f6c5a26-6d3f-4f0a-9d8f-5b1b0f6f9a10";
    let node = node.env(&[("KONG_NODE_ID", chosen)]);
    assert_eq!(node.settings().node_id().unwrap().to_string(), chosen);
    fs::write(node.directory.path().join("node.id"), "nonsense").unwrap();
    assert!(
        node.loader
            .clone()
            .option("node_id", "", "--test")
            .load()
            .unwrap()
            .settings
            .node_id()
            .is_err()
    );
}
