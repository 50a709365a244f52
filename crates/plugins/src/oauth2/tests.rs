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

#[tokio::test]
async fn an_application_gets_a_token_for_itself() {
    let gateway = Gateway::new(json!({}));
    let credentials = ("grant_type", "client_credentials");
    let (status, body) = gateway
        .token_for_app(&[credentials, ("scope", "email"), ("state", "xyz")])
        .await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["token_type"], "bearer");
    assert_eq!(body["expires_in"], 7200);
    assert_eq!(body["state"], "xyz");
    assert!(body.get("refresh_token").is_none());
    let token = text(&body, "access_token");
    assert_eq!(token.len(), 32);
    let (response, request) = gateway.bearer(token).await;
    assert!(response.is_none());
    assert_eq!(request.consumer.unwrap().id, ALICE);
    assert_eq!(request.credential.unwrap().id, APP);
    let headers = &request.headers;
    assert_eq!(values(headers, "x-consumer-username"), ["alice"]);
    assert_eq!(values(headers, "x-credential-identifier"), ["app"]);
    assert_eq!(values(headers, "x-authenticated-scope"), ["email"]);
    assert!(values(headers, "x-authenticated-userid").is_empty());
    let [(_, lasts)] = gateway.records.all(TOKENS)[..] else {
        panic!();
    };
    assert_eq!(lasts, Some(Duration::from_secs(1_209_600)));
}

#[tokio::test]
async fn a_code_is_exchanged_for_a_token_once() {
    let gateway = Gateway::new(json!({}));
    let code = gateway
        .code(&[("scope", "email profile"), ("state", "s 1")])
        .await;
    let [(kept, lasts)] = &gateway.records.all(CODES)[..] else {
        panic!();
    };
    assert_eq!(*lasts, Some(Duration::from_secs(300)));
    assert_eq!(kept["plugin"]["id"], json!(Uuid::from_u128(7)));
    let exchange = [("grant_type", "authorization_code"), ("code", &code)];
    let by_other = [("client_id", "other"), ("client_secret", "s3cret")];
    let (status, body) = gateway.token(&[&by_other[..], &exchange].concat()).await;
    assert_eq!(
        (status, body),
        (400, problem("invalid_request", "Invalid code"))
    );
    let (status, body) = gateway.token_for_app(&exchange).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(text(&body, "refresh_token").len(), 32);
    let (_, request) = gateway.bearer(text(&body, "access_token")).await;
    let headers = &request.headers;
    assert_eq!(values(headers, "x-authenticated-scope"), ["email profile"]);
    assert_eq!(values(headers, "x-authenticated-userid"), ["u1"]);
    let (status, body) = gateway.token_for_app(&exchange).await;
    assert_eq!(
        (status, body),
        (400, problem("invalid_request", "Invalid code"))
    );
    assert!(gateway.records.all(CODES).is_empty());
}

#[tokio::test]
async fn a_code_of_long_ago_is_no_good() {
    let gateway = Gateway::new(json!({}));
    let code = gateway.code(&[]).await;
    gateway.records.set(CODES, "created_at", &json!(NOW - 301));
    let (status, _) = gateway
        .token_for_app(&[("grant_type", "authorization_code"), ("code", &code)])
        .await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn who_begins_with_a_challenge_must_prove_it() {
    let gateway = Gateway::new(json!({}));
    let challenged = [
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let code = gateway.code(&challenged).await;
    let exchange = |more: &[(&'static str, &'static str)]| {
        let code: &'static str = Box::leak(code.clone().into_boxed_str());
        [
            &[("grant_type", "authorization_code"), ("code", code)],
            more,
        ]
        .concat()
    };
    let wrong = "x".repeat(43).leak();
    for (more, expected) in [
        (
            vec![],
            problem(
                "invalid_request",
                "code_verifier is required for PKCE authorization requests",
            ),
        ),
        (
            vec![("code_verifier", "short")],
            problem(
                "invalid_request",
                "code_verifier must be between 43 and 128 characters",
            ),
        ),
        (
            vec![("code_verifier", &*wrong)],
            problem("invalid_grant", "Invalid code"),
        ),
    ] {
        let (status, body) = gateway.token_for_app(&exchange(&more)).await;
        assert_eq!((status, body), (400, expected));
    }
    let (status, body) = gateway
        .token_for_app(&exchange(&[("code_verifier", VERIFIER)]))
        .await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn proofs_are_asked_of_whom_the_settings_say() {
    let code = [("response_type", "code")];
    for (pkce, client, needed) in [
        ("none", "public", false),
        ("lax", "public", true),
        ("lax", "app", false),
        ("strict", "app", true),
    ] {
        let gateway = Gateway::new(json!({ "pkce": pkce }));
        let (status, body) = gateway
            .authorize(&[&code[..], &[("client_id", client)]].concat())
            .await;
        let address = text(&body, "redirect_uri");
        assert_eq!(status, if needed { 400 } else { 200 }, "{pkce} {client}");
        assert_eq!(
            address.contains("code_challenge%20is%20required%20for"),
            needed
        );
    }
    let gateway = Gateway::new(json!({}));
    for (name, value, description) in [
        (
            "code_challenge_method",
            "S256",
            "code_challenge%20is%20required%20when%20code_method%20is%20present",
        ),
        ("code_challenge", "c", ""),
    ] {
        let client = [("client_id", "app"), (name, value)];
        let (_, body) = gateway.authorize(&[&code[..], &client].concat()).await;
        assert!(text(&body, "redirect_uri").contains(description), "{body}");
    }
    let plain = [
        ("client_id", "app"),
        ("code_challenge", "c"),
        ("code_challenge_method", "plain"),
    ];
    let (status, body) = gateway.authorize(&[&code[..], &plain].concat()).await;
    assert_eq!(status, 400);
    assert!(text(&body, "redirect_uri").contains("code_challenge_method%20is%20not%20supported"));
}

#[tokio::test]
async fn a_token_is_given_out_by_redirection() {
    let gateway = Gateway::new(json!({}));
    let other = ("redirect_uri", "https://app.test/other?x=1");
    let ask = [
        ("client_id", "app"),
        ("response_type", "token"),
        ("state", "s"),
        other,
    ];
    let (status, body) = gateway.authorize(&ask).await;
    assert_eq!(status, 200, "{body}");
    let address = text(&body, "redirect_uri");
    let told = address
        .strip_prefix("https://app.test/other?x=1#access_token=")
        .unwrap();
    let (token, rest) = told.split_once('&').unwrap();
    assert_eq!(rest, "expires_in=7200&state=s&token_type=bearer");
    assert!(gateway.is_good(token).await);
}

#[tokio::test]
async fn who_knows_a_password_gets_a_token() {
    let gateway = Gateway::new(json!({}));
    let ask = async |more: &[(&str, &str)]| {
        let own = [("grant_type", "password"), ("scope", "email")];
        gateway.token_for_app(&[&own, more].concat()).await
    };
    let (key, user) = (("provision_key", "prov"), ("authenticated_userid", "u1"));
    assert_eq!(
        ask(&[user]).await,
        (
            400,
            problem("invalid_provision_key", "Invalid provision_key")
        )
    );
    assert_eq!(
        ask(&[key, ("authenticated_userid", " ")]).await,
        (
            400,
            problem(
                "invalid_authenticated_userid",
                "Missing authenticated_userid parameter"
            )
        )
    );
    let (status, body) = ask(&[key, user]).await;
    assert_eq!(status, 200, "{body}");
    assert!(gateway.is_good(text(&body, "access_token")).await);
    assert!(body["refresh_token"].is_string());
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

#[tokio::test]
async fn a_token_is_refreshed_by_what_it_came_with() {
    let gateway = Gateway::new(json!({}));
    let first = password_token(&gateway).await;
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", text(&first, "refresh_token")),
    ];
    let by_other = [("client_id", "other"), ("client_secret", "s3cret")];
    let (status, body) = gateway.token(&[&by_other[..], &refresh].concat()).await;
    let expected = problem("invalid_client", "Invalid client authentication");
    assert_eq!((status, body), (400, expected));
    let (status, second) = gateway.token_for_app(&refresh).await;
    assert_eq!(status, 200, "{second}");
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    assert!(!gateway.is_good(text(&first, "access_token")).await);
    let (_, request) = gateway.bearer(text(&second, "access_token")).await;
    assert_eq!(values(&request.headers, "x-authenticated-userid"), ["u1"]);
    assert_eq!(values(&request.headers, "x-authenticated-scope"), ["email"]);
    let again = gateway.token_for_app(&refresh).await;
    let expected = problem("invalid_request", "Invalid refresh_token");
    assert_eq!(again, (400, expected));
}

#[tokio::test]
async fn what_refreshes_a_token_may_stay_the_same() {
    let gateway = Gateway::new(json!({"reuse_refresh_token": true, "refresh_token_ttl": 60}));
    let first = password_token(&gateway).await;
    gateway.records.set(TOKENS, "created_at", &json!(5));
    assert!(!gateway.is_good(text(&first, "access_token")).await, "over");
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", text(&first, "refresh_token")),
    ];
    for _ in 0..2 {
        let (status, body) = gateway.token_for_app(&refresh).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["refresh_token"], first["refresh_token"]);
        assert_ne!(body["access_token"], first["access_token"]);
        assert!(gateway.is_good(text(&body, "access_token")).await);
    }
    let [(_, lasts)] = gateway.records.all(TOKENS)[..] else {
        panic!();
    };
    assert_eq!(lasts, Some(Duration::from_secs(60)));
}

#[tokio::test]
async fn a_scope_that_is_no_longer_given_out_is_not_refreshed() {
    let gateway = Gateway::new(json!({}));
    let token = password_token(&gateway).await;
    let narrower = Gateway::beside(&gateway.records, json!({"scopes": ["profile"]}));
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", text(&token, "refresh_token")),
    ];
    let refused = narrower.token_for_app(&refresh).await;
    assert_eq!(refused, (400, problem("invalid_scope", "Scope mismatch")));
}

#[tokio::test]
async fn a_token_without_an_end_is_kept_and_not_refreshed() {
    let gateway = Gateway::new(json!({"token_expiration": 0}));
    let body = password_token(&gateway).await;
    assert!(body.get("expires_in").is_none() && body.get("refresh_token").is_none());
    let [(_, lasts)] = gateway.records.all(TOKENS)[..] else {
        panic!();
    };
    assert_eq!(lasts, None);
    gateway.records.set(TOKENS, "created_at", &json!(5));
    assert!(gateway.is_good(text(&body, "access_token")).await);
}

#[tokio::test]
async fn applications_prove_who_they_are() {
    let gateway = Gateway::new(json!({}));
    let credentials = ("grant_type", "client_credentials");
    let refused = problem("invalid_client", "Invalid client authentication");
    for fields in [
        vec![credentials],
        vec![credentials, ("client_id", "app")],
        vec![credentials, ("client_id", "app"), ("client_secret", "x")],
        vec![
            credentials,
            ("client_id", "nobody"),
            ("client_secret", "s3cret"),
        ],
    ] {
        assert_eq!(
            gateway.token(&fields).await,
            (400, refused.clone()),
            "{fields:?}"
        );
    }
    let public = [
        ("client_id", "public"),
        ("client_secret", "s3cret"),
        credentials,
    ];
    let expected = problem(
        "invalid_request",
        "client_secret is disallowed for public clients",
    );
    assert_eq!(gateway.token(&public).await, (400, expected));
    let (status, _) = gateway.token(&[credentials, ("client_id", "public")]).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn applications_may_prove_themselves_in_the_header() {
    let gateway = Gateway::new(json!({}));
    let ask = async |authorization: &str, grant: &str| {
        let kind = "application/x-www-form-urlencoded";
        let body = format!("grant_type={grant}");
        let mut request = with_body(exchange("POST", "/oauth2/token"), kind, &body);
        request.client.tls = true;
        let mut request = with_headers(request, &[("authorization", authorization)]);
        let (status, body, response) = answered(gateway.ask(&mut request).await);
        let challenge = values(&response.headers, "www-authenticate");
        (
            status,
            body,
            challenge.first().map(|text| (*text).to_owned()),
        )
    };
    // app:s3cret
    let (status, ..) = ask("Basic YXBwOnMzY3JldA==", "client_credentials").await;
    assert_eq!(status, 200);
    let refused = problem("invalid_client", "Invalid client authentication");
    for (authorization, grant) in [
        ("Basic YXBwOng=", "client_credentials"),
        ("Basic bm9ib2R5OnM=", "password"),
    ] {
        let (status, body, challenge) = ask(authorization, grant).await;
        assert_eq!((status, &body), (401, &refused));
        assert_eq!(challenge.unwrap(), "Basic realm=\"OAuth2.0\"");
    }
}

#[tokio::test]
async fn a_secret_may_be_kept_as_its_digest() {
    let schemas = keelgate_entities::Schemas::new(Vec::new());
    let credential = json!({
        "consumer": {"id": ALICE}, "name": "hashed", "client_id": "hashed",
        "client_secret": "s3cret", "hash_secret": true,
    });
    let credential = credential.as_object().unwrap().clone();
    let now = std::time::SystemTime::now();
    let credential = schemas
        .insert("oauth2_credentials", credential, now)
        .unwrap();
    assert_ne!(credential["client_secret"], "s3cret");
    let credential = serde_json::from_value(credential.into()).unwrap();
    let records = Arc::new(InMemory::new());
    let people = directory().with_oauth2(vec![credential]);
    let gateway = Gateway {
        plugin: compiled_with(&records, people, "oauth2", config(json!({}))),
        records,
    };
    for (secret, expected) in [("s3cret", 200), ("s3cre", 400)] {
        let ask = [
            ("grant_type", "client_credentials"),
            ("client_id", "hashed"),
            ("client_secret", secret),
        ];
        assert_eq!(gateway.token(&ask).await.0, expected);
    }
}

#[tokio::test]
async fn what_is_not_switched_on_is_not_given() {
    let gateway = Gateway::new(json!({
        "enable_implicit_grant": false, "enable_client_credentials": false,
        "enable_password_grant": false,
    }));
    let expected = problem("unsupported_grant_type", "Invalid grant_type");
    for grant in ["client_credentials", "password", "nope"] {
        let refused = gateway.token_for_app(&[("grant_type", grant)]).await;
        assert_eq!(refused, (400, expected.clone()), "{grant}");
    }
    for kind in ["token", "nope"] {
        let ask = [("client_id", "app"), ("response_type", kind)];
        let (status, body) = gateway.authorize(&ask).await;
        assert_eq!(status, 400);
        assert_eq!(
            text(&body, "redirect_uri"),
            "https://app.test/back?error=unsupported_response_type&\
             error_description=Invalid%20response_type"
        );
    }
}

#[tokio::test]
async fn users_go_nowhere_else() {
    let gateway = Gateway::new(json!({}));
    let foreign = ("redirect_uri", "https://evil.test/");
    let ask = [("client_id", "app"), ("response_type", "code"), foreign];
    let (status, body) = gateway.authorize(&ask).await;
    assert_eq!(status, 400);
    let address = text(&body, "redirect_uri");
    assert!(
        address.starts_with("https://app.test/back?error=invalid_request"),
        "{address}"
    );
    for client in ["nobody", "nowhere"] {
        let ask = [
            ("client_id", client),
            ("response_type", "code"),
            ("state", "s"),
        ];
        let (status, body) = gateway.authorize(&ask).await;
        let mut expected = problem("invalid_client", "Invalid client authentication");
        expected["state"] = "s".into();
        assert_eq!((status, body), (400, expected), "{client}");
    }
    let code = gateway.code(&[]).await;
    let exchange = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        foreign,
    ];
    let (status, body) = gateway.token_for_app(&exchange).await;
    assert_eq!(status, 400);
    assert!(text(&body, "error_description").starts_with("Invalid redirect_uri"));
}

#[tokio::test]
async fn only_the_login_page_speaks_for_users() {
    let gateway = Gateway::new(json!({}));
    let ask = [("client_id", "app"), ("response_type", "code")];
    let (status, body, response) = gateway.post("/oauth2/authorize", &ask).await;
    let expected = problem("invalid_provision_key", "Invalid provision_key");
    assert_eq!((status, body), (400, expected));
    assert_eq!(values(&response.headers, "cache-control"), ["no-store"]);
    assert_eq!(values(&response.headers, "pragma"), ["no-cache"]);
    let nobody = [&ask[..], &[("provision_key", "prov")]].concat();
    let (_, body, _) = gateway.post("/oauth2/authorize", &nobody).await;
    assert_eq!(body["error"], "invalid_authenticated_userid");
    let credentials = [
        ("grant_type", "client_credentials"),
        ("authenticated_userid", "u1"),
    ];
    let (_, body) = gateway.token_for_app(&credentials).await;
    assert_eq!(body["error"], "invalid_provision_key");
}

#[tokio::test]
async fn secrets_travel_over_tls_only() {
    let plain = Gateway::new(json!({}));
    let terminated = Gateway::new(json!({"accept_http_if_already_terminated": true}));
    let ask = async |gateway: &Gateway, protocol: Protocol, forwarded: &str| {
        let request = exchange("POST", "/oauth2/token?grant_type=x");
        let mut request = with_headers(request, &[("x-forwarded-proto", forwarded)]);
        request.protocol = protocol;
        let (status, body, _) = answered(gateway.ask(&mut request).await);
        assert_eq!(status, 400);
        text(&body, "error_description").to_owned()
    };
    let refused = "You must use HTTPS";
    assert_eq!(ask(&plain, Protocol::Http, "https").await, refused);
    assert_eq!(ask(&plain, Protocol::Https, "https").await, refused);
    assert_eq!(ask(&terminated, Protocol::Http, "http").await, refused);
    assert_eq!(
        ask(&terminated, Protocol::Http, "https, http").await,
        "Only one X-Forwarded-Proto header allowed"
    );
    let accepted = ask(&terminated, Protocol::Https, "https").await;
    assert_eq!(accepted, "Invalid client authentication");
}

#[tokio::test]
async fn scopes_must_be_asked_for_where_that_is_mandatory() {
    let gateway = Gateway::new(json!({"mandatory_scope": true}));
    let credentials = ("grant_type", "client_credentials");
    let refused = gateway.token_for_app(&[credentials]).await;
    assert_eq!(
        refused,
        (400, problem("invalid_scope", "You must specify a scope"))
    );
    let refused = gateway
        .token_for_app(&[credentials, ("scope", "admin")])
        .await;
    let expected = problem("invalid_scope", "\"admin\" is an invalid scope");
    assert_eq!(refused, (400, expected));
}

#[tokio::test]
async fn endpoints_are_posted_to() {
    let gateway = Gateway::new(json!({"realm": "r"}));
    for (path, endpoint) in [
        ("/oauth2/token", "token"),
        ("/oauth2/authorize", "authorization"),
    ] {
        let (status, body, response) = answered(gateway.ask(&mut exchange("GET", path)).await);
        let description = format!("The HTTP method GET is invalid for the {endpoint} endpoint");
        assert_eq!(
            (status, body),
            (405, problem("invalid_method", &description))
        );
        let challenge = format!(
            "Bearer realm=\"r\" error=\"invalid_method\" error_description=\"{description}\""
        );
        assert_eq!(values(&response.headers, "www-authenticate"), [challenge]);
    }
}

#[tokio::test]
async fn requests_without_a_good_token_are_refused() {
    let gateway = Gateway::new(json!({}));
    let (status, body, response) = answered(gateway.ask(&mut exchange("GET", "/a")).await);
    let missing = problem("invalid_request", "The access token is missing");
    assert_eq!((status, body), (401, missing));
    assert_eq!(values(&response.headers, "www-authenticate"), ["Bearer"]);
    let (response, request) = gateway.bearer("nope").await;
    let (status, body, response) = answered(response);
    let description = "The access token is invalid or has expired";
    assert_eq!((status, body), (401, problem("invalid_token", description)));
    let challenge = format!("Bearer error=\"invalid_token\" error_description=\"{description}\"");
    assert_eq!(values(&response.headers, "www-authenticate"), [challenge]);
    assert!(request.consumer.is_none());
}

#[tokio::test]
async fn tokens_are_found_wherever_they_may_stand() {
    let gateway = Gateway::new(json!({"hide_credentials": true}));
    let body = password_token(&gateway).await;
    let token = text(&body, "access_token");
    let query = format!("/a?x=1&access_token={token}");
    let mut in_query = exchange("GET", &query);
    assert!(gateway.ask(&mut in_query).await.is_none());
    assert_eq!(in_query.query.as_deref(), Some("x=1"));
    let form = format!("access_token={token}&y=2");
    let kind = "application/x-www-form-urlencoded";
    let mut in_form = with_body(exchange("POST", "/a"), kind, &form);
    assert!(gateway.plugin.wants_request_body(&in_form));
    assert!(gateway.ask(&mut in_form).await.is_none());
    assert_eq!(in_form.request_body.as_deref(), Some(&b"y=2"[..]));
    for authorization in [
        format!("token {token}"),
        format!("bearer  {token} "),
        token.to_owned(),
    ] {
        let mut request =
            with_headers(exchange("GET", "/a"), &[("authorization", &*authorization)]);
        assert!(gateway.ask(&mut request).await.is_none(), "{authorization}");
        let is_named = authorization.contains(' ');
        assert_eq!(request.headers.contains_key("authorization"), !is_named);
    }
    let mut json = with_body(
        exchange("PUT", "/a"),
        "application/json",
        r#"{"access_token":5}"#,
    );
    let (status, ..) = answered(gateway.ask(&mut json).await);
    assert_eq!(status, 401);
}

#[tokio::test]
async fn a_token_that_was_seen_is_no_good_once_it_is_gone() {
    let gateway = Gateway::new(json!({}));
    let body = password_token(&gateway).await;
    let token = text(&body, "access_token");
    for _ in 0..2 {
        assert!(gateway.is_good(token).await);
    }
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", text(&body, "refresh_token")),
    ];
    assert_eq!(gateway.token_for_app(&refresh).await.0, 200);
    assert!(!gateway.is_good(token).await, "it was exchanged");
}

#[tokio::test]
async fn a_token_may_stand_in_another_header() {
    let gateway = Gateway::new(json!({"auth_header_name": "x-token"}));
    let body = password_token(&gateway).await;
    let token = text(&body, "access_token");
    assert!(!gateway.is_good(token).await);
    let mut request = with_headers(exchange("GET", "/a"), &[("x-token", token)]);
    assert!(gateway.ask(&mut request).await.is_none());
}

#[tokio::test]
async fn tokens_are_for_one_service_or_for_all_that_say_so() {
    let gateway = Gateway::new(json!({}));
    let of_one = text(&password_token(&gateway).await, "access_token").to_owned();
    let elsewhere = async |gateway: &Gateway, token: &str| {
        let authorization = format!("Bearer {token}");
        let request = exchange("GET", "/a");
        let mut request = with_headers(request, &[("authorization", &*authorization)]);
        request.service = Some(service(2));
        gateway.ask(&mut request).await
    };
    assert!(elsewhere(&gateway, &of_one).await.is_some());
    let global = Gateway::beside(&gateway.records, json!({"global_credentials": true}));
    assert!(elsewhere(&global, &of_one).await.is_some());
    assert!(global.is_good(&of_one).await);
    let of_all = text(&password_token(&global).await, "access_token").to_owned();
    assert!(elsewhere(&global, &of_all).await.is_none());
    let (_, body, _) = answered(elsewhere(&gateway, &of_all).await);
    assert_eq!(
        text(&body, "error_description"),
        "The access token is global, but the current plugin is configured without \
         'global_credentials'"
    );
}

#[tokio::test]
async fn who_has_no_token_may_be_anonymous() {
    let gateway = Gateway::new(json!({"anonymous": "bob"}));
    let spoofed = [
        ("x-authenticated-userid", "root"),
        ("x-authenticated-scope", "all"),
    ];
    let mut request = with_headers(exchange("GET", "/a"), &spoofed);
    assert!(gateway.ask(&mut request).await.is_none());
    assert_eq!(request.consumer.unwrap().id, BOB);
    assert!(!request.headers.contains_key("x-authenticated-userid"));
    assert!(!request.headers.contains_key("x-authenticated-scope"));
    let mut known = with_headers(exchange("GET", "/a"), &spoofed);
    known.credential = Some(crate::exchange::Credential { id: KEY });
    assert!(gateway.ask(&mut known).await.is_none());
    assert!(known.consumer.is_none() && !known.headers.contains_key("x-authenticated-userid"));
}

#[tokio::test]
async fn without_records_nobody_is_let_through() {
    let without = compiled_for(people(), "oauth2", config(json!({})));
    let away = Gateway::new(json!({}));
    let body = password_token(&away).await;
    away.records.go_away();
    for plugin in [without, away.plugin] {
        let authorization = format!("Bearer {}", text(&body, "access_token"));
        let request = exchange("GET", "/a");
        let mut request = with_headers(request, &[("authorization", &*authorization)]);
        request.service = Some(service(1));
        let response = access_waiting(plugin, &mut request).await.unwrap();
        assert_eq!(response.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(request.consumer.is_none());
    }
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
