//! No request is believed that the secret did not sign, whatever its signature says.

use std::sync::{Arc, LazyLock};

use http::HeaderValue;
use keelgate_entities::kinds::{self, Consumer, HmacAuthCredential};
use keelgate_plugins::{Access, Directory, Flow, Plugin, Registry};
use serde_json::json;
use uuid::Uuid;

use crate::exchange::exchange;
use crate::input::lines;

static HMAC: LazyLock<Arc<dyn Plugin>> = LazyLock::new(|| {
    let consumer = json!({"id": Uuid::nil(), "username": "a"});
    let consumer: Consumer = serde_json::from_value(consumer).expect("it is a consumer");
    let secret = json!({
        "id": Uuid::nil(), "consumer": {"id": Uuid::nil()}, "username": "a",
        "secret": "a secret that nobody guesses: 7f2c9a41",
    });
    let secret: HmacAuthCredential = serde_json::from_value(secret).expect("it is a credential");
    let directory = Directory::new(vec![consumer], Vec::new()).with_hmac_auth(vec![secret]);
    let plugin = json!({
        "id": Uuid::nil(), "name": "hmac-auth", "enabled": true, "protocols": ["http"],
        "config": {"clock_skew": 4e9},
    });
    let plugin: kinds::Plugin = serde_json::from_value(plugin).expect("it is a plugin");
    let registry = Registry::new(Uuid::nil(), "node.test");
    registry
        .compile(&plugin, &Arc::new(directory))
        .expect("the settings are good")
});

/// Lines: the date, then algorithm, headers and signature of the header; or an empty one, and the whole header.
pub(crate) fn run(bytes: &[u8]) {
    let [date, algorithm, headers, signature] = lines(bytes);
    let header = if algorithm.is_empty() {
        [headers, signature].concat()
    } else {
        [
            &b"hmac username=\"a\", algorithm=\""[..],
            algorithm,
            b"\", headers=\"",
            headers,
            b"\", signature=\"",
            signature,
            b"\"",
        ]
        .concat()
    };
    let mut exchange = exchange("authorization", &header, "a=1");
    if let Ok(date) = HeaderValue::from_bytes(date) {
        exchange.headers.insert("x-date", date);
    }
    let now = HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT");
    exchange.headers.insert("date", now);
    let access = HMAC.access(&mut exchange);
    assert!(matches!(access, Access::Ready(Flow::Respond(_))));
    drop(access);
    assert!(exchange.consumer.is_none());
}
