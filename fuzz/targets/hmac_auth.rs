//! No request is believed that the secret did not sign, whatever its signature says.

#![no_main]

mod exchange;

use std::sync::{Arc, LazyLock};

use exchange::exchange;
use http::HeaderValue;
use keelgate_entities::kinds::{self, Consumer, HmacAuthCredential};
use keelgate_plugins::{Access, Directory, Flow, Plugin, Registry};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use uuid::Uuid;

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

fuzz_target!(|input: (&[u8], &[u8], Option<(&str, &str, &str)>)| {
    let (date, whole, parts) = input;
    let header = match parts {
        Some((algorithm, headers, signature)) => format!(
            "hmac username=\"a\", algorithm=\"{algorithm}\", headers=\"{headers}\", \
             signature=\"{signature}\""
        )
        .into_bytes(),
        None => whole.to_vec(),
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
});
