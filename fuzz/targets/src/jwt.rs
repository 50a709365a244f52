//! No token is believed that the secret did not sign, whatever it says about its algorithm and key.

use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use keelgate_entities::kinds::{self, Consumer, JwtSecret};
use keelgate_plugins::{Access, Directory, Plugin, Registry};
use serde_json::json;
use uuid::Uuid;

use crate::exchange::exchange;
use crate::input::lines;

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

/// Lines: header and claims, in clear, then the signature; or an empty one, and a whole token.
pub(crate) fn run(bytes: &[u8]) {
    let [header, claims, tail] = lines(bytes);
    let token = if header.is_empty() {
        [claims, tail].concat()
    } else {
        let part = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!("{}.{}.", part(header), part(claims));
        [signed.as_bytes(), tail].concat()
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
}
