//! `/acme` of the Admin API, over real sockets.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[allow(dead_code)]
mod support;

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keelgate_admin::{AcmeCertificates, Admin, Mode, Told};
use keelgate_entities::Schemas;
use keelgate_entities::schema::PluginSchema;
use keelgate_store::SqliteStore;
use serde_json::{Value, json};
use support::{Answer, admin, request, start};
use tempfile::TempDir;

/// Knows `a.test`, and `old.test`, which has ended; nothing else can be had.
#[derive(Default)]
struct Played {
    renews: AtomicBool,
}

fn known(name: &str) -> Option<Value> {
    let is_known = ["a.test", "old.test"].contains(&name);
    is_known.then(|| json!({"host": name, "valid": name == "a.test"}))
}

impl AcmeCertificates for Played {
    fn issue(&self, name: String) -> Told<()> {
        let is_known = known(&name).map(drop);
        Box::pin(ready(is_known.ok_or("not to be had".to_owned())))
    }

    fn renew(&self) -> Result<(), String> {
        self.renews.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn find(&self, name: String) -> Told<Option<Value>> {
        Box::pin(ready(Ok(known(&name))))
    }

    fn all(&self) -> Told<Vec<Value>> {
        let all = ["a.test", "old.test"].into_iter().filter_map(known);
        Box::pin(ready(Ok(all.collect())))
    }

    fn try_challenge(&self, name: String) -> Told<()> {
        let problem = Some("it leads elsewhere".to_owned()).filter(|_| name != "a.test");
        Box::pin(ready(problem.map_or(Ok(()), Err)))
    }
}

struct Api {
    address: std::net::SocketAddr,
    _directory: TempDir,
}

impl Api {
    async fn start(acme: Option<Arc<Played>>) -> Self {
        let plugin = PluginSchema::new("acme", 1705, "3.9.1");
        let schemas = Arc::new(Schemas::new(vec![plugin]));
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("keelgate.db");
        let store = Arc::new(SqliteStore::open(&path, schemas).unwrap());
        let admin = Admin {
            acme: Arc::new(move || acme.clone().map(|acme| acme as Arc<dyn AcmeCertificates>)),
            ..admin(store, Mode::Database)
        };
        Self {
            address: start(admin.router()).await,
            _directory: directory,
        }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        let body = body.to_string();
        request(
            self.address,
            method,
            path,
            &[("content-type", "application/json")],
            body,
        )
        .await
    }
}

#[tokio::test]
async fn certificates_are_ordered_shown_and_renewed() {
    let played = Arc::<Played>::default();
    let api = Api::start(Some(Arc::clone(&played))).await;
    let message = |text: &str| json!({ "message": text });
    for (body, status, answer) in [
        (
            json!({}),
            400,
            "host must be provided and containing a single domain",
        ),
        (
            json!({"host": ["a.test"]}),
            400,
            "host must be provided and containing a single domain",
        ),
        (
            json!({"host": "a.test:80"}),
            400,
            "port is not allowed in host",
        ),
        (
            json!({"host": "a.test"}),
            201,
            "certificate for host a.test is created",
        ),
        (
            json!({"host": "b.test"}),
            500,
            "failed to update certificate: not to be had",
        ),
        (
            json!({"host": "a.test", "test_http_challenge_flow": true}),
            200,
            "sanity test for host a.test passed",
        ),
        (
            json!({"host": "b.test", "test_http_challenge_flow": true}),
            400,
            "problem found running sanity check for b.test: it leads elsewhere",
        ),
    ] {
        let answered = api.ask("POST", "/acme", body).await;
        assert_eq!(answered.expect(status), message(answer));
    }
    let get = |path: &'static str| api.ask("GET", path, Value::Null);
    let all = get("/acme/certificates").await.expect(200);
    assert_eq!(all["data"].as_array().unwrap().len(), 2);
    let ended = get("/acme/certificates?invalid_only=true")
        .await
        .expect(200);
    assert_eq!(ended, json!({"data": [known("old.test")]}));
    let one = get("/acme/certificates/a.test").await.expect(200);
    assert_eq!(one, json!({ "data": known("a.test") }));
    let none = get("/acme/certificates/b.test").await.expect(404);
    assert_eq!(
        none,
        message("Certificate for host b.testnot found in storage")
    );
    let renewed = api.ask("PATCH", "/acme", json!({})).await.expect(202);
    assert_eq!(renewed, message("Renewal process started successfully"));
    assert!(played.renews.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_node_without_the_plugin_has_no_certificates() {
    let api = Api::start(None).await;
    for path in ["/acme/certificates", "/acme/certificates/a.test"] {
        assert_eq!(api.ask("GET", path, Value::Null).await.status, 404);
    }
    assert_eq!(
        api.ask("POST", "/acme", json!({"host": "a.test"}))
            .await
            .status,
        404
    );
    api.ask("PATCH", "/acme", json!({})).await.expect(202);
}
