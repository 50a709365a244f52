//! `/proxy-cache` of the Admin API, over real sockets.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[allow(dead_code)]
mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use keelgate_admin::{Mode, Responses};
use keelgate_entities::Schemas;
use keelgate_entities::schema::PluginSchema;
use keelgate_store::{SqliteStore, Store};
use serde_json::{Value, json};
use support::{admin, request, start};
use tempfile::TempDir;

fn store() -> (Arc<dyn Store>, TempDir) {
    let plugin = PluginSchema::new("proxy-cache", 100, "3.9.1");
    let schemas = Arc::new(Schemas::new(vec![plugin]));
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("keelgate.db");
    let store = SqliteStore::open(&path, schemas).unwrap();
    (Arc::new(store), directory)
}

/// Responses by their keys.
#[derive(Default)]
struct Kept(Mutex<BTreeMap<String, Value>>);

impl Responses for Kept {
    fn find(&self, key: &str) -> Option<Value> {
        self.0.lock().unwrap().get(key).cloned()
    }

    fn remove(&self, key: &str) -> bool {
        self.0.lock().unwrap().remove(key).is_some()
    }

    fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

#[tokio::test]
async fn kept_responses_are_shown_and_forgotten() {
    let keys = ["a", "b", "c"];
    let kept = keys.map(|key| (key.to_owned(), json!({"status": 200, "body": key})));
    let kept = Arc::new(Kept(Mutex::new(BTreeMap::from(kept))));
    let (store, _directory) = store();
    let mut admin = admin(store, Mode::Database);
    admin.responses = Some(kept as Arc<dyn Responses>);
    let address = start(admin.router()).await;
    let get = async |path: &str| request(address, "GET", path, &[], "").await;
    let delete = async |path: &str| request(address, "DELETE", path, &[], "").await;
    let shown = get("/proxy-cache/a").await.expect(200);
    assert_eq!(shown["body"], "a");
    assert_eq!(get("/proxy-cache/zzz").await.status, 404);
    delete("/proxy-cache/a").await.expect(204);
    assert_eq!(delete("/proxy-cache/a").await.status, 404);

    let json = [("content-type", "application/json")];
    let body = json!({"name": "proxy-cache"}).to_string();
    let plugin = request(address, "POST", "/plugins", &json, body).await;
    let plugin = plugin.expect(201);
    let below = |plugin: &str| format!("/proxy-cache/{plugin}/caches/b");
    let other = "/proxy-cache/a000dead-0000-4000-8000-00000000dead/caches/b";
    assert_eq!(get(other).await.status, 404);
    let path = below(plugin["id"].as_str().unwrap());
    assert_eq!(get(&path).await.expect(200)["body"], "b");

    delete("/proxy-cache").await.expect(204);
    assert_eq!(get(&path).await.status, 404);
}
