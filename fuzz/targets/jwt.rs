//! No token is believed that the secret did not sign, whatever it says about its algorithm and key.

#![no_main]

mod exchange;

use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use exchange::exchange;
use keelgate_entities::kinds::{self, Consumer, JwtSecret};
use keelgate_plugins::{Access, Directory, Plugin, Registry};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use uuid::Uuid;

static JWT: LazyLock<Arc<dyn Plugin>> = LazyLock::new(|| {
    let consumer = json!({"id": Uuid::nil(), "username": "a"});
    let consumer: Consumer = serde_json::from_value(consumer).expect("it is a consumer");
    let secret = json!({
        "id": Uuid::nil(), "consumer": {"id": Uuid::nil()}, "key": "a", "algorithm": "HS256",
        "secret": "a secret that nobody guesses: 7f2c9a41",
    });
    let secret: JwtSecret = serde_json::from_value(secret).expect("it is a credential");
    let directory = Directory::new(vec![consumer], Vec::new()).with_jwt(vec![secret]);
    let plugin = json!({
        "id": Uuid::nil(), "name": "jwt", "enabled": true, "protocols": ["http"],
        "config": {"cookie_names": ["jwt"], "claims_to_verify": ["exp", "nbf"]},
    });
    let plugin: kinds::Plugin = serde_json::from_value(plugin).expect("it is a plugin");
    let registry = Registry::new(Uuid::nil(), "node.test");
    registry
        .compile(&plugin, &Arc::new(directory))
        .expect("the settings are good")
});

fuzz_target!(|input: (Option<(&str, &str)>, &[u8])| {
    let (parts, tail) = input;
    let token = match parts {
        Some((header, claims)) => {
            let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
            let signed = format!("{}.{}.", part(header), part(claims));
            [signed.as_bytes(), tail].concat()
        }
        None => tail.to_vec(),
    };
    let cookie = [&b"jwt="[..], &token].concat();
    let bearer = [&b"Bearer "[..], &token].concat();
    for (name, value) in [("cookie", cookie), ("authorization", bearer)] {
        let mut exchange = exchange(name, &value, "jwt=");
        let access = JWT.access(&mut exchange);
        assert!(matches!(
            access,
            Access::Ready(keelgate_plugins::Flow::Respond(_))
        ));
        drop(access);
        assert!(exchange.consumer.is_none());
    }
});
