//! No cookie is believed that the secret did not seal.

#![no_main]

mod exchange;

use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use exchange::exchange;
use keelgate_entities::kinds::{self, Consumer};
use keelgate_plugins::{Access, Directory, Flow, Plugin, Registry};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use uuid::Uuid;

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

fuzz_target!(|input: (bool, &[u8])| {
    let (encode, bytes) = input;
    let value = match encode {
        true => format!("1{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)).into_bytes(),
        false => bytes.to_vec(),
    };
    for name in [&b"session="[..], b"remember="] {
        let mut exchange = exchange("cookie", &[name, &value].concat(), "session_logout=");
        let access = SESSION.access(&mut exchange);
        assert!(matches!(access, Access::Ready(Flow::Continue)));
        drop(access);
        assert!(exchange.consumer.is_none());
    }
});
