mod applications;
mod bearer;
mod code;
mod endpoints;
mod grants;
mod refresh;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use keelgate_entities::kinds::{OAuth2Credential, Protocol, Service};
use serde_json::{Value, json};
use uuid::Uuid;

use super::stored::{CODES, TOKENS};
use crate::response::Body;
use crate::testing::records::InMemory;
use crate::testing::*;
use crate::{Directory, Exchange, Plugin, Response};

const APP: Uuid = Uuid::from_u128(0xa9);
const PUBLIC: Uuid = Uuid::from_u128(0xb9);
const OTHER: Uuid = Uuid::from_u128(0xc9);
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// Of the verifier, in RFC 7636.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn application(id: Uuid, name: &str, kind: &str) -> OAuth2Credential {
    let credential = json!({
        "id": id, "consumer": {"id": ALICE}, "name": name, "client_id": name,
        "client_secret": "s3cret", "hash_secret": false, "client_type": kind,
        "redirect_uris": ["https://app.test/back", "https://app.test/other?x=1"],
    });
    serde_json::from_value(credential).unwrap()
}

/// Alice with her applications.
fn people() -> Directory {
    let nowhere = OAuth2Credential {
        redirect_uris: None,
        ..application(Uuid::from_u128(0xd9), "nowhere", "confidential")
    };
    directory().with_oauth2(vec![
        application(APP, "app", "confidential"),
        application(PUBLIC, "public", "public"),
        application(OTHER, "other", "confidential"),
        nowhere,
    ])
}

fn service(number: u128) -> &'static Service {
    leaked(json!({
        "id": Uuid::from_u128(number), "host": "upstream.test", "port": 80, "protocol": "http",
    }))
}

/// A gateway with the plugin.
struct Gateway {
    records: Arc<InMemory>,
    plugin: &'static dyn Plugin,
}

fn config(more: Value) -> Value {
    let mut config = json!({
        "scopes": ["email", "profile"], "provision_key": "prov",
        "enable_authorization_code": true, "enable_implicit_grant": true,
        "enable_client_credentials": true, "enable_password_grant": true,
    });
    let more = more.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(more);
    config
}

impl Gateway {
    fn new(more: Value) -> Self {
        Self::beside(&Arc::new(InMemory::new()), more)
    }

    fn beside(records: &Arc<InMemory>, more: Value) -> Self {
        Self {
            records: Arc::clone(records),
            plugin: compiled_with(records, people(), "oauth2", config(more)),
        }
    }

    async fn ask(&self, exchange: &mut Exchange<'static>) -> Option<Response> {
        exchange.service.get_or_insert(service(1));
        access_waiting(self.plugin, exchange).await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> (u16, Value, Response) {
        let mut form = crate::arguments::Arguments::default();
        for (name, value) in fields {
            form.push(name.as_bytes(), Some(value.as_bytes().into()));
        }
        let kind = "application/x-www-form-urlencoded";
        let mut request = with_body(exchange("POST", path), kind, &form.encode());
        request.client.tls = true;
        answered(self.ask(&mut request).await)
    }

    async fn token(&self, fields: &[(&str, &str)]) -> (u16, Value) {
        let (status, fields, _) = self.post("/a/oauth2/token", fields).await;
        (status, fields)
    }

    /// As the application proves itself.
    async fn token_for_app(&self, fields: &[(&str, &str)]) -> (u16, Value) {
        let own = [("client_id", "app"), ("client_secret", "s3cret")];
        self.token(&[&own, fields].concat()).await
    }

    async fn authorize(&self, fields: &[(&str, &str)]) -> (u16, Value) {
        let own = [("provision_key", "prov"), ("authenticated_userid", "u1")];
        let fields = [&own, fields].concat();
        let (status, fields, _) = self.post("/oauth2/authorize", &fields).await;
        (status, fields)
    }

    /// A code that the application is given.
    async fn code(&self, more: &[(&str, &str)]) -> String {
        let own = [("client_id", "app"), ("response_type", "code")];
        let (status, body) = self.authorize(&[&own, more].concat()).await;
        assert_eq!(status, 200, "{body}");
        let address = body["redirect_uri"].as_str().unwrap();
        let (_, code) = address.split_once("?code=").unwrap();
        code.split('&').next().unwrap().to_owned()
    }

    async fn bearer(&self, token: &str) -> (Option<Response>, Exchange<'static>) {
        let authorization = format!("Bearer {token}");
        let mut request = with_headers(
            exchange("GET", "/a"),
            &[("authorization", authorization.as_str())],
        );
        let response = self.ask(&mut request).await;
        (response, request)
    }

    async fn is_good(&self, token: &str) -> bool {
        self.bearer(token).await.0.is_none()
    }
}

fn answered(response: Option<Response>) -> (u16, Value, Response) {
    let response = response.unwrap();
    let Body::Bytes(body) = &response.body else {
        panic!("{response:?}");
    };
    let body = serde_json::from_slice(body).unwrap();
    (response.status.as_u16(), body, response)
}

fn problem(error: &str, description: &str) -> Value {
    json!({"error": error, "error_description": description})
}

fn text<'v>(body: &'v Value, name: &str) -> &'v str {
    body[name].as_str().unwrap_or_else(|| panic!("{body}"))
}

async fn password_token(gateway: &Gateway) -> Value {
    let ask = [
        ("grant_type", "password"),
        ("provision_key", "prov"),
        ("authenticated_userid", "u1"),
        ("scope", "email"),
    ];
    let (status, body) = gateway.token_for_app(&ask).await;
    assert_eq!(status, 200, "{body}");
    body
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("oauth2", json!({"enable_implicit_grant": true})).unwrap();
    assert_eq!(text(&config, "provision_key").len(), 32);
    assert_eq!(config["token_expiration"], 7200);
    assert_eq!(config["pkce"], "lax");
    compiled("oauth2", config);
    let error = validated("oauth2", json!({})).unwrap_err();
    assert_eq!(
        error["fields"]["config"],
        "at least one of these fields must be true: enable_authorization_code, \
         enable_implicit_grant, enable_client_credentials, enable_password_grant"
    );
    let scoped = json!({"enable_implicit_grant": true, "mandatory_scope": true});
    let error = validated("oauth2", scoped).unwrap_err();
    assert_eq!(
        error["fields"]["config"]["scopes"],
        "required field missing"
    );
    let message = refused("oauth2", json!({"auth_header_name": "a b"}));
    assert!(message.contains("config.auth_header_name"), "{message}");
}

#[test]
fn secrets_do_not_show() {
    assert!(!format!("{:?}", people()).contains("s3cret"));
}
