//! Nobody gets a token, or is let through, who does not know a secret.

use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderValue, Method};
use keelgate_entities::Object;
use keelgate_entities::kinds::{self, Consumer, OAuth2Credential};
use keelgate_plugins::records::{Amount, Answer, Counted, NewRecord, RecordId, RecordsError};
use keelgate_plugins::{Access, Directory, Flow, Plugin, Records, Registry};
use serde_json::json;
use uuid::Uuid;

use crate::exchange::exchange;
use crate::input::lines;

/// Finds nothing, and nothing may be made.
struct Nothing;

fn answer<T: Send + 'static>(answer: T) -> Answer<T> {
    Box::pin(std::future::ready(Ok(answer)))
}

impl Records for Nothing {
    fn is_read_only(&self) -> bool {
        false
    }

    fn generation(&self) -> u64 {
        0
    }

    fn find(&self, _: &'static str, _: &'static str, _: &str) -> Answer<Option<Object>> {
        answer(None)
    }

    fn list(&self, _: &'static str) -> Answer<Vec<Object>> {
        answer(Vec::new())
    }

    fn make(&self, _: NewRecord, _: Option<RecordId>) -> Answer<Option<Object>> {
        panic!("a token, or a code")
    }

    fn change(&self, _: RecordId, _: Object, _: Option<Duration>) -> Answer<Option<Object>> {
        panic!("a token")
    }

    fn remove(&self, _: RecordId) -> Answer<bool> {
        answer(false)
    }

    fn count(&self, _: Vec<Amount>) -> Answer<Counted> {
        Box::pin(std::future::ready(Err(RecordsError("none".to_owned()))))
    }

    fn counted(&self, _: Vec<Vec<u8>>) -> Answer<Vec<i64>> {
        answer(Vec::new())
    }
}

static OAUTH2: LazyLock<Arc<dyn Plugin>> = LazyLock::new(|| {
    let consumer = json!({"id": Uuid::nil(), "username": "a"});
    let consumer: Consumer = serde_json::from_value(consumer).expect("it is a consumer");
    let application = json!({
        "id": Uuid::nil(), "consumer": {"id": Uuid::nil()}, "name": "a", "client_id": "a",
        "client_secret": "a secret that nobody guesses: 7f2c9a41",
        "redirect_uris": ["https://app.test/back?x=1"],
    });
    let application: OAuth2Credential =
        serde_json::from_value(application).expect("it is an application");
    let directory = Directory::new(vec![consumer], Vec::new()).with_oauth2(vec![application]);
    let plugin = json!({
        "id": Uuid::nil(), "name": "oauth2", "enabled": true, "protocols": ["http"],
        "config": {
            "provision_key": "a key that nobody guesses: 7f2c9a41", "scopes": ["s"],
            "enable_authorization_code": true, "enable_implicit_grant": true,
            "enable_client_credentials": true, "enable_password_grant": true,
            "global_credentials": true,
        },
    });
    let plugin: kinds::Plugin = serde_json::from_value(plugin).expect("it is a plugin");
    let registry = Registry::new(Uuid::nil(), "node.test");
    registry.keep_records(Arc::new(Nothing));
    registry
        .compile(&plugin, &Arc::new(directory))
        .expect("the settings are good")
});

/// Lines: a letter for the path and the kind of body, the query, a name and its password (none for no header), then the body.
pub(crate) fn run(bytes: &[u8]) {
    let [kind, query, credentials, body] = lines(bytes);
    let (Some(kind), Ok(query)) = (kind.first(), str::from_utf8(query)) else {
        return;
    };
    let header = format!("Basic {}", BASE64_STANDARD.encode(credentials));
    let mut exchange = exchange("authorization", header.as_bytes(), query);
    if credentials.is_empty() {
        exchange.headers.remove("authorization");
    }
    exchange.client.tls = true;
    exchange.method = Method::POST;
    exchange.raw_path = ["/oauth2/token", "/oauth2/authorize", "/a"][usize::from(*kind) % 3].into();
    let types = ["application/x-www-form-urlencoded", "application/json"];
    let content_type = HeaderValue::from_static(types[usize::from(kind / 3) % 2]);
    exchange.headers.insert("content-type", content_type);
    exchange.request_body = Some(body.to_vec().into());
    let flow = match OAUTH2.access(&mut exchange) {
        Access::Ready(flow) => flow,
        Access::Pending(wait) => match pin!(wait).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(flow) => flow,
            Poll::Pending => panic!("nothing is waited for"),
        },
    };
    match flow {
        Flow::Respond(response) => assert!(response.status.is_client_error()),
        Flow::Continue => panic!("somebody was let through"),
    }
}
