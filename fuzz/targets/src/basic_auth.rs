//! Nobody is let through but who knows the password, whatever stands in the header.

use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use keelgate_entities::kinds::{self, BasicAuthCredential, Consumer};
use keelgate_plugins::{Access, Directory, Flow, Plugin, Registry};
use serde_json::json;
use uuid::Uuid;

use crate::exchange::exchange;
use crate::input::lines;

const LOGIN: &[u8] = b"a:a password that nobody guesses: 7f2c9a41";

/// SHA-1 of the password and the id of its owner.
const DIGEST: &str = "c33797da78071d56b5664d8b12a85a110d5e79d3";

static BASIC_AUTH: LazyLock<Arc<dyn Plugin>> = LazyLock::new(|| {
    let consumer = json!({"id": Uuid::nil(), "username": "a"});
    let consumer: Consumer = serde_json::from_value(consumer).expect("it is a consumer");
    let credential = json!({
        "id": Uuid::nil(), "consumer": {"id": Uuid::nil()}, "username": "a", "password": DIGEST,
    });
    let credential: BasicAuthCredential =
        serde_json::from_value(credential).expect("it is a credential");
    let directory = Directory::new(vec![consumer], Vec::new()).with_basic_auth(vec![credential]);
    let plugin = json!({
        "id": Uuid::nil(), "name": "basic-auth", "enabled": true, "protocols": ["http"],
        "config": {"hide_credentials": true},
    });
    let plugin: kinds::Plugin = serde_json::from_value(plugin).expect("it is a plugin");
    let registry = Registry::new(Uuid::nil(), "node.test");
    registry
        .compile(&plugin, &Arc::new(directory))
        .expect("the settings are good")
});

/// Lines: a whole header, or an empty one, and a name with its password in clear.
pub(crate) fn run(bytes: &[u8]) {
    let [whole, login] = lines(bytes);
    let header = if whole.is_empty() {
        format!("Basic {}", BASE64_STANDARD.encode(login)).into_bytes()
    } else {
        whole.to_vec()
    };
    for name in ["authorization", "proxy-authorization"] {
        let mut exchange = exchange(name, &header, "");
        let sent = exchange.headers.contains_key(name);
        let access = BASIC_AUTH.access(&mut exchange);
        let admitted = matches!(access, Access::Ready(Flow::Continue));
        drop(access);
        assert_eq!(admitted, sent && whole.is_empty() && login == LOGIN);
        assert_eq!(exchange.consumer.is_some(), admitted);
        assert!(!exchange.headers.contains_key(name), "it is hidden");
    }
}
