//! The libraries that decK consists of, in a program of ours (`clients/reconciler`).

use std::path::Path;
use std::process::{Command, Stdio};

use e2e::{Node, variable};
use serde_json::{Value, json};

use crate::node;

/// Runs a command against a node; what it printed.
async fn reconcile(node: &Node, command: &str, file: Option<&Path>) -> String {
    let mut process = Command::new(variable("KEELGATE_TEST_RECONCILER"));
    process
        .arg(node.admin(""))
        .arg(command)
        .args(file)
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || process.output())
        .await
        .expect("the program is waited for")
        .expect("run the program");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {said}");
    String::from_utf8(output.stdout).expect("it prints text")
}

/// What a command made, or would make, of a node.
async fn changes(node: &Node, command: &str, file: Option<&Path>) -> Value {
    let printed = reconcile(node, command, file).await;
    // Warnings of the libraries come before it.
    let told = printed.lines().last().expect("it prints something");
    serde_json::from_str(told).expect("it prints JSON")
}

fn made(created: u32, updated: u32, deleted: u32) -> Value {
    json!({"created": created, "updated": updated, "deleted": deleted})
}

/// A certificate of an authority, and its SHA-256: decK would see a difference without.
const AUTHORITY: &str = include_str!("../../clients/authority.pem");
const DIGEST: &str = "bc49a1c6c2be2fc624797cbfd83641344268b35c96146bda99dcf1a220d23686";

/// A configuration with every kind of entity that decK knows of, and their number.
fn of_every_kind() -> (Value, u32) {
    let made =
        rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).expect("make a certificate");
    let configuration = json!({
        "_format_version": "3.0",
        "services": [{
            "name": "orders",
            "url": "http://orders.test:8080/v1",
            "tags": ["team-a"],
            "routes": [{
                "name": "orders",
                "paths": ["/orders", "~/o/\\d+$"],
                "headers": {"x-version": ["1", "2"]},
                "plugins": [{"name": "key-auth", "config": {"key_names": ["k"]}}],
            }],
            "plugins": [{
                "name": "rate-limiting",
                "config": {"minute": 100, "policy": "local"},
                "tags": ["team-a"],
            }],
        }],
        "routes": [{"name": "alone", "hosts": ["alone.test"]}],
        "plugins": [{"name": "correlation-id", "config": {"header_name": "x-id"}}],
        "upstreams": [{
            "name": "orders.upstream",
            "healthchecks": {"active": {"healthy": {"interval": 5}}},
            "targets": [{"target": "192.0.2.1:80", "weight": 10}, {"target": "192.0.2.2:80"}],
        }],
        "consumers": [{
            "username": "alice",
            "custom_id": "a-1",
            "keyauth_credentials": [{"key": "the-key-of-alice"}],
            "basicauth_credentials": [{"username": "alice", "password": "the-password"}],
            "hmacauth_credentials": [{"username": "alice", "secret": "the-secret"}],
            "jwt_secrets": [{"key": "alice", "secret": "the-secret", "algorithm": "HS256"}],
            "acls": [{"group": "staff"}],
            "plugins": [{"name": "request-size-limiting"}],
        }],
        "certificates": [{
            "id": "7f1c1d90-6d0c-4f5c-9c8e-6a5f2f0f8a11",
            "cert": made.cert.pem(),
            "key": made.signing_key.serialize_pem(),
            "snis": [{"name": "a.test"}],
        }],
        "ca_certificates": [{
            "id": "4e3ad2e4-0bc4-4638-8e34-c84a417ba39b",
            "cert": AUTHORITY,
            "cert_digest": DIGEST,
        }],
        "vaults": [{"name": "env", "prefix": "my-env", "config": {"prefix": "SECRET_"}}],
    });
    (configuration, 20)
}

/// Two thousand entities: services with a route and a plugin each, and consumers with a key.
fn many() -> Value {
    let services = (0..400).map(|n| {
        json!({
            "name": format!("s{n}"),
            "host": format!("s{n}.test"),
            "routes": [{
                "name": format!("r{n}"),
                "paths": [format!("/{n}")],
                "plugins": [{"name": "request-termination", "config": {"status_code": 418}}],
            }],
        })
    });
    let consumers = (0..400).map(|n| {
        let key = json!([{"key": format!("the-key-of-{n}")}]);
        json!({"username": format!("c{n}"), "keyauth_credentials": key})
    });
    json!({
        "_format_version": "3.0",
        "services": services.collect::<Vec<_>>(),
        "consumers": consumers.collect::<Vec<_>>(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn deck_brings_a_node_to_a_file_and_back() {
    let node = node().await;
    let directory = tempfile::tempdir().expect("make a directory");
    let (file, dumped) = (
        directory.path().join("kong.json"),
        directory.path().join("dump.yaml"),
    );
    let (configuration, count) = of_every_kind();
    std::fs::write(&file, configuration.to_string()).expect("write the file");

    assert!(reconcile(&node, "ping", None).await.starts_with("3.9"));
    reconcile(&node, "validate", Some(&file)).await;
    assert_eq!(changes(&node, "diff", Some(&file)).await, made(count, 0, 0));
    assert_eq!(changes(&node, "sync", Some(&file)).await, made(count, 0, 0));
    assert_eq!(changes(&node, "diff", Some(&file)).await, made(0, 0, 0));

    reconcile(&node, "dump", Some(&dumped)).await;
    assert_eq!(changes(&node, "diff", Some(&dumped)).await, made(0, 0, 0));

    // Somebody else changes one entity, and adds another.
    node.change("PATCH", "/services/orders", json!({"retries": 1}))
        .await;
    node.change("POST", "/consumers", json!({"username": "mallory"}))
        .await;
    assert_eq!(changes(&node, "diff", Some(&file)).await, made(0, 1, 1));
    assert_eq!(changes(&node, "sync", Some(&file)).await, made(0, 1, 1));
    let service = node.change("GET", "/services/orders", Value::Null).await;
    assert_eq!(service["retries"], 5);

    assert_eq!(changes(&node, "reset", None).await["created"], 0);
    for kind in ["services", "routes", "consumers", "plugins", "certificates"] {
        let left = node.change("GET", &format!("/{kind}"), Value::Null).await;
        assert_eq!(left["data"], json!([]), "{kind}");
    }
    // What was dumped is the whole configuration.
    assert_eq!(
        changes(&node, "sync", Some(&dumped)).await,
        made(count, 0, 0)
    );
    assert_eq!(changes(&node, "diff", Some(&file)).await, made(0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn deck_syncs_two_thousand_entities() {
    let node = node().await;
    let directory = tempfile::tempdir().expect("make a directory");
    let file = directory.path().join("kong.json");
    std::fs::write(&file, many().to_string()).expect("write the file");
    assert_eq!(changes(&node, "sync", Some(&file)).await, made(2000, 0, 0));
    assert_eq!(changes(&node, "diff", Some(&file)).await, made(0, 0, 0));
    assert_eq!(changes(&node, "reset", None).await["created"], 0);
}

/// What its command line asks besides, before the libraries have their turn, and with `validate`.
#[tokio::test(flavor = "multi_thread")]
async fn what_deck_asks_around_its_libraries_is_answered_as_by_kong() {
    let node = node().await;
    let root = node.change("GET", "/", Value::Null).await;
    let version = root["version"].as_str().expect("a version");
    assert!(version.starts_with("3.9."), "{version}");
    assert_eq!(root["configuration"]["database"], "sqlite");
    // Kong has one workspace, and no paths for it: decK takes it that there are none.
    for path in ["/workspaces/default", "/default/kong", "/kong", "/licenses"] {
        let (status, answer) = node.ask("GET", path, Value::Null).await;
        assert_eq!((status, answer), (404, json!({"message": "Not found"})));
    }

    let owner = json!({"id": "a0000001-0000-4000-8000-000000000001"});
    let whole = |members: Value, field: &str| {
        let mut members = members;
        members[field] = owner.clone();
        members
    };
    let certificate =
        rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).expect("make a certificate");
    let (cert, key) = (
        certificate.cert.pem(),
        certificate.signing_key.serialize_pem(),
    );
    for (kind, entity) in [
        ("services", json!({"name": "s", "host": "h"})),
        ("routes", json!({"name": "r", "paths": ["/r"]})),
        ("consumers", json!({"username": "c"})),
        (
            "plugins",
            json!({"name": "cors", "config": {"origins": ["*"]}}),
        ),
        ("upstreams", json!({"name": "u"})),
        ("targets", whole(json!({"target": "h:80"}), "upstream")),
        ("certificates", json!({"cert": cert, "key": key})),
        ("snis", whole(json!({"name": "a.test"}), "certificate")),
        ("ca_certificates", json!({"cert": AUTHORITY})),
        ("vaults", json!({"name": "env", "prefix": "my-env"})),
        (
            "keyauth_credentials",
            whole(json!({"key": "k"}), "consumer"),
        ),
        (
            "basicauth_credentials",
            whole(json!({"username": "u", "password": "p"}), "consumer"),
        ),
        (
            "hmacauth_credentials",
            whole(json!({"username": "u"}), "consumer"),
        ),
        ("jwt_secrets", whole(json!({"key": "k"}), "consumer")),
        (
            "oauth2_credentials",
            whole(json!({"name": "n"}), "consumer"),
        ),
        ("acls", whole(json!({"group": "g"}), "consumer")),
        ("key_sets", json!({"name": "k"})),
    ] {
        let path = format!("/schemas/{kind}/validate");
        let (status, answer) = node.ask("POST", &path, entity.clone()).await;
        assert_eq!(status, 200, "{kind}: {answer}");
        assert_eq!(answer["message"], "schema validation successful", "{kind}");
        let mut unknown = entity;
        unknown["nonsense"] = json!(1);
        let (status, answer) = node.ask("POST", &path, unknown).await;
        assert_eq!(status, 400, "{kind}: {answer}");
        assert_eq!(answer["fields"]["nonsense"], "unknown field", "{kind}");
    }
}
