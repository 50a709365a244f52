//! Who may use the Admin API, and what the audit log tells of them.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[allow(dead_code)]
mod support;

use std::sync::Arc;

use base64::Engine as _;
use keelgate_admin::{Access, AccessRole, AdminCredential, Mode};
use keelgate_store::{SqliteStore, Store};
use serde_json::{Value, json};
use support::{Answer, Api, request};

const WRITER: &str = "a secret for writing";
const READER: &str = "a secret for reading";

/// An API that asks for credentials.
async fn guarded() -> (std::net::SocketAddr, tempfile::TempDir) {
    let directory = tempfile::TempDir::new().unwrap();
    let schemas = Arc::new(keelgate_entities::Schemas::new(support::plugin_schemas()));
    let path = directory.path().join("keelgate.db");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path, schemas).unwrap());
    let mut admin = support::admin(store, Mode::Database);
    admin.access = Access::with(vec![
        AdminCredential::new("ops", AccessRole::ReadWrite, WRITER),
        AdminCredential::new("eye", AccessRole::ReadOnly, READER),
    ]);
    (support::start(admin.router()).await, directory)
}

async fn ask(
    address: std::net::SocketAddr,
    method: &str,
    path: &str,
    authorization: Option<&str>,
    body: Value,
) -> Answer {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(authorization.map(|value| ("authorization", value)));
    request(address, method, path, &headers, body.to_string()).await
}

#[tokio::test]
async fn nothing_is_told_without_a_credential() {
    let (address, _directory) = guarded().await;
    for (method, path) in [("GET", "/"), ("POST", "/services"), ("GET", "/nope")] {
        for authorization in [None, Some("Bearer wrong"), Some("Basic b3BzOg==")] {
            let answer = ask(address, method, path, authorization, json!({})).await;
            assert_eq!(answer.status, 401, "{method} {path}");
            assert_eq!(answer.json(), json!({"message": "Unauthorized"}));
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
        }
    }
    let options = ask(address, "OPTIONS", "/services", None, Value::Null).await;
    assert_eq!(options.status, 204, "browsers ask without credentials");
}

#[tokio::test]
async fn a_reader_reads_and_a_writer_writes() {
    let (address, _directory) = guarded().await;
    let (reader, writer) = (format!("Bearer {READER}"), format!("Bearer {WRITER}"));
    let body = json!({"name": "a", "host": "h.test"});
    let refused = ask(address, "POST", "/services", Some(&reader), body.clone()).await;
    assert_eq!(refused.status, 403);
    let valid = "/schemas/services/validate";
    ask(address, "POST", valid, Some(&reader), body.clone())
        .await
        .expect(200);
    ask(address, "POST", "/services", Some(&writer), body)
        .await
        .expect(201);
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("eye:{READER}"));
    let basic = format!("Basic {basic}");
    let read = ask(address, "GET", "/services/a", Some(&basic), Value::Null).await;
    assert_eq!(read.expect(200)["host"], "h.test");
}

#[tokio::test]
async fn the_audit_log_tells_who_changed_what_and_no_secrets() {
    let (address, _directory) = guarded().await;
    let writer = format!("Bearer {WRITER}");
    let send = async |method: &str, path: &str, body: Value| {
        ask(address, method, path, Some(&writer), body).await
    };
    let consumer = send("POST", "/consumers", json!({"username": "c"}))
        .await
        .expect(201);
    let secret = "k-1-very-secret";
    let path = format!("/consumers/c/key-auth/{secret}");
    let key = send("PUT", &path, json!({})).await.expect(200);
    send("PATCH", &path, json!({"tags": ["t"]}))
        .await
        .expect(200);
    send("POST", "/consumers", json!({"username": "c"}))
        .await
        .expect(409);
    send("DELETE", "/consumers/c", Value::Null).await;

    let log = send("GET", "/audit", Value::Null).await;
    assert!(!log.text.contains(secret), "{}", log.text);
    let log = log.expect(200);
    let told: Vec<_> = log["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            assert_eq!(entry["by"], "ops");
            assert_eq!(entry["address"], "127.0.0.1");
            (&entry["revision"], &entry["request"], &entry["changes"])
        })
        .collect();
    let single = "/consumers/{consumers}/key-auth/{keyauth_credentials}";
    let change = |operation: &str, entity: &str, of: &Value| json!({"operation": operation, "entity": entity, "id": of["id"]});
    let mut tagged = change("update", "keyauth_credentials", &key);
    tagged["fields"] = json!(["tags"]);
    assert_eq!(
        told,
        [
            (
                &json!(4),
                &json!("DELETE /consumers/{consumers}"),
                &json!([
                    change("delete", "keyauth_credentials", &key),
                    change("delete", "consumers", &consumer),
                ])
            ),
            (
                &json!(3),
                &json!(format!("PATCH {single}")),
                &json!([tagged])
            ),
            (
                &json!(2),
                &json!(format!("PUT {single}")),
                &json!([change("create", "keyauth_credentials", &key)])
            ),
            (
                &json!(1),
                &json!("POST /consumers"),
                &json!([change("create", "consumers", &consumer)])
            ),
        ]
    );
}

#[tokio::test]
async fn the_audit_log_is_read_page_by_page() {
    let api = Api::database().await;
    for name in ["a", "b", "c"] {
        api.send("POST", "/consumers", json!({"username": name}))
            .await
            .expect(201);
    }
    let first = api.get("/audit?size=2").await.expect(200);
    let revisions = |page: &Value| -> Vec<u64> {
        let entries = page["data"].as_array().unwrap().iter();
        entries
            .filter_map(|entry| entry["revision"].as_u64())
            .collect()
    };
    assert_eq!(revisions(&first), [3, 2]);
    let next = first["next"].as_str().unwrap();
    let second = api.get(next).await.expect(200);
    assert_eq!(revisions(&second), [1]);
    assert_eq!(second["next"], Value::Null);
    assert_eq!(api.get("/audit?offset=zz").await.status, 400);
    assert_eq!(Api::dbless().await.get("/audit").await.status, 400);
}
