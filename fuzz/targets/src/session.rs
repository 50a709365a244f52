//! No cookie is believed that the secret did not seal.

use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use keelgate_entities::kinds::{self, Consumer};
use keelgate_plugins::{Access, Directory, Flow, Plugin, Registry};
use serde_json::json;
use uuid::Uuid;

use crate::exchange::exchange;
use crate::input::lines;

static SESSION: LazyLock<Arc<dyn Plugin>> = LazyLock::new(|| {
    let consumer = json!({"id": Uuid::nil(), "username": "a"});
    let consumer: Consumer = serde_json::from_value(consumer).expect("it is a consumer");
    let directory = Directory::new(vec![consumer], Vec::new());
    let plugin = json!({
        "id": Uuid::nil(), "name": "session", "enabled": true, "protocols": ["http"],
        "config": {"secret": "a secret that nobody guesses: 7f2c9a41", "remember": true},
    });
    let plugin: kinds::Plugin = serde_json::from_value(plugin).expect("it is a plugin");
    let registry = Registry::new(Uuid::nil(), "node.test");
    registry
        .compile(&plugin, &Arc::new(directory))
        .expect("the settings are good")
});

/// Lines: anything for a cookie in base64, or nothing, then the cookie.
pub(crate) fn run(bytes: &[u8]) {
    let [encode, bytes] = lines(bytes);
    let value = if encode.is_empty() {
        bytes.to_vec()
    } else {
        format!("1{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)).into_bytes()
    };
    for name in [&b"session="[..], b"remember="] {
        let mut exchange = exchange("cookie", &[name, &value].concat(), "session_logout=");
        let access = SESSION.access(&mut exchange);
        assert!(matches!(access, Access::Ready(Flow::Continue)));
        drop(access);
        assert!(exchange.consumer.is_none());
    }
}
