//! Tokens, sessions and counts that nodes keep in their database, beside the configuration.

use e2e::{Node, Postgres, Role, Upstream, wait};
use reqwest::header::{COOKIE, SET_COOKIE};
use serde_json::{Value, json};

/// Lets a test speak for a proxy that has ended TLS.
const TRUSTING: &[(&str, &str)] = &[("trusted_ips", "127.0.0.1")];

/// Routes `/0`, `/1`, … with a plugin each, of one service; and a consumer with an application and
/// a key.
async fn furnish(node: &Node, upstream: &Upstream, plugins: &[Value]) {
    let service = json!({"name": "s", "url": upstream.url()});
    node.change("POST", "/services", service).await;
    let consumer = json!({"username": "alice"});
    node.change("POST", "/consumers", consumer).await;
    let key = json!({"key": "ka"});
    node.change("POST", "/consumers/alice/key-auth", key).await;
    let application = json!({
        "name": "app", "client_id": "app", "client_secret": "s3cret", "hash_secret": true,
        "redirect_uris": ["https://app.test/back"],
    });
    let path = "/consumers/alice/oauth2";
    node.change("POST", path, application).await;
    for (at, plugins) in plugins.iter().enumerate() {
        let route = json!({"name": format!("r{at}"), "paths": [format!("/{at}")]});
        node.change("POST", "/services/s/routes", route).await;
        let path = format!("/routes/r{at}/plugins");
        for plugin in plugins.as_array().expect("a list") {
            node.change("POST", &path, plugin.clone()).await;
        }
    }
}

fn oauth2() -> Value {
    json!({"name": "oauth2", "config": {
        "enable_authorization_code": true, "enable_client_credentials": true,
        "scopes": ["email"], "provision_key": "prov", "accept_http_if_already_terminated": true,
    }})
}

/// What one of the endpoints answers.
async fn post(node: &Node, path: &str, fields: &[(&str, &str)]) -> (u16, Value) {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    let request = reqwest::Client::new()
        .post(node.proxy(path))
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-forwarded-proto", "https")
        .body(form.finish());
    let answer = request.send().await;
    let answer = answer.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

/// Waits until the node knows the application, and gets it a token.
async fn token(node: &Node) -> String {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", "app"),
        ("client_secret", "s3cret"),
        ("scope", "email"),
    ];
    let answer = wait::until("a token", || async {
        match post(node, "/0/oauth2/token", &fields).await {
            // Before the plugin serves, the upstream answers.
            (200, body) if body["access_token"].is_string() => Ok(body),
            (status, body) => Err(format!("{status} {body}")),
        }
    });
    let answer = answer.await;
    let token = answer["access_token"].as_str().expect("a token");
    token.to_owned()
}

async fn get(node: &Node, path: &str, header: (&str, &str)) -> reqwest::Response {
    let request = reqwest::Client::new().get(node.proxy(path));
    let answer = request.header(header.0, header.1).send().await;
    answer.expect("an answer")
}

async fn bearer(node: &Node, token: &str) -> u16 {
    let authorization = format!("Bearer {token}");
    let answer = get(node, "/0", ("authorization", &authorization)).await;
    answer.status().as_u16()
}

/// Waits until the node has the routes.
async fn serves(node: &Node, path: &str, status: u16) {
    node.serves(path, status).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_consents_and_the_application_gets_tokens_that_no_configuration_knows_of() {
    let upstream = Upstream::start().await;
    let mut node = Node::start(Role::Traditional, TRUSTING, &[]);
    node.up().await;
    furnish(&node, &upstream, &[json!([oauth2()])]).await;
    let own = token(&node).await;
    let identity = async |node: &Node| {
        let identity = node.report().await["source"]["serving"]["identity"].clone();
        assert!(identity["revision"].is_u64(), "{identity}");
        identity
    };
    let before = identity(&node).await;

    let consent = [
        ("client_id", "app"),
        ("response_type", "code"),
        ("scope", "email"),
        ("provision_key", "prov"),
        ("authenticated_userid", "u1"),
        ("state", "s"),
    ];
    let (status, answer) = post(&node, "/0/oauth2/authorize", &consent).await;
    assert_eq!(status, 200, "{answer}");
    let address = answer["redirect_uri"].as_str().expect("an address");
    let code = address
        .strip_prefix("https://app.test/back?code=")
        .and_then(|rest| rest.strip_suffix("&state=s"));
    let code = code.unwrap_or_else(|| panic!("{address}"));
    let application = [("client_id", "app"), ("client_secret", "s3cret")];
    let exchange = [("grant_type", "authorization_code"), ("code", code)];
    let exchange = [application, exchange].concat();
    let (status, first) = post(&node, "/0/oauth2/token", &exchange).await;
    assert_eq!(status, 200, "{first}");
    let (status, _) = post(&node, "/0/oauth2/token", &exchange).await;
    assert_eq!(status, 400, "a code is good once");

    let access = first["access_token"].as_str().expect("a token");
    let authorization = format!("Bearer {access}");
    let answer = get(&node, "/0", ("authorization", &authorization)).await;
    let seen: Value = answer.json().await.expect("an echo");
    let headers = &seen["headers"];
    assert_eq!(headers["x-authenticated-userid"], "u1", "{seen}");
    assert_eq!(headers["x-authenticated-scope"], "email");
    assert_eq!(headers["x-consumer-username"], "alice");
    assert_eq!(headers["x-credential-identifier"], "app");

    let refresh = first["refresh_token"].as_str().expect("a token");
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    let refresh = [application, refresh].concat();
    let (status, second) = post(&node, "/0/oauth2/token", &refresh).await;
    assert_eq!(status, 200, "{second}");
    assert_eq!(bearer(&node, access).await, 401, "it was exchanged");

    // They are found in the database, and nothing of the configuration has changed.
    let tokens = node
        .change("GET", "/oauth2_tokens?size=1", Value::Null)
        .await;
    assert_eq!(tokens["data"].as_array().map(Vec::len), Some(1));
    assert!(tokens["offset"].is_string());
    assert_eq!(identity(&node).await, before);
    node.kill();
    node.start_again();
    node.ready().await;
    assert_eq!(bearer(&node, &own).await, 200);
    let path = format!("/oauth2_tokens/{own}");
    node.change("DELETE", &path, Value::Null).await;
    assert_eq!(bearer(&node, &own).await, 401);
    let second = second["access_token"].as_str().expect("a token");
    assert_eq!(bearer(&node, second).await, 200);
    node.change("DELETE", "/consumers/alice", Value::Null).await;
    assert_eq!(bearer(&node, second).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_database_gives_out_no_tokens() {
    let upstream = Upstream::start().await;
    let node = Node::start(Role::Dbless, TRUSTING, &[]);
    node.up().await;
    let config = json!({
        "_format_version": "3.0",
        "services": [{"name": "s", "url": upstream.url(),
            "routes": [{"name": "r", "paths": ["/0"], "plugins": [oauth2()]}]}],
        "consumers": [{"username": "alice", "oauth2_credentials": [
            {"id": "8a6c1d52-0000-4000-8000-000000000001", "name": "app", "client_id": "app",
                "client_secret": "s3cret", "redirect_uris": ["https://app.test/back"]}]}],
        "oauth2_tokens": [{"access_token": "known", "expires_in": 0, "service": "s",
            "credential": {"id": "8a6c1d52-0000-4000-8000-000000000001"}}],
    });
    node.change("POST", "/config", config).await;
    serves(&node, "/0", 401).await;
    // What the configuration brings is good.
    assert_eq!(bearer(&node, "known").await, 200);
    assert_eq!(bearer(&node, "unknown").await, 401);
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", "app"),
        ("client_secret", "s3cret"),
    ];
    let (status, answer) = post(&node, "/0/oauth2/token", &fields).await;
    assert_eq!(status, 500, "{answer}");
    assert_eq!(answer["message"], "An unexpected error occurred");
    assert!(node.log().contains("oauth2 cannot answer"));
    let config = json!({
        "_format_version": "3.0",
        "plugins": [{"name": "rate-limiting", "config": {"minute": 5, "policy": "cluster"}}],
    });
    let (status, answer) = node.ask("POST", "/config", config).await;
    assert_eq!(status, 400, "{answer}");
}

/// A login beside `session`, and a limit; in the database.
fn kept() -> [Value; 2] {
    let session = json!({"name": "session", "config": {
        "storage": "kong", "secret": "s3cret", "cookie_secure": false,
    }});
    let key_auth = json!({"name": "key-auth"});
    let limit = json!({"name": "rate-limiting", "config": {"year": 4, "policy": "cluster"}});
    [json!([session, key_auth]), json!([limit])]
}

/// Logs in with the key, and answers the cookie.
async fn login(node: &Node) -> String {
    let answer = wait::until("a login", || async {
        let answer = get(node, "/0", ("apikey", "ka")).await;
        match answer.status().as_u16() {
            // Before the plugins serve, the upstream answers.
            200 if answer.headers().contains_key(SET_COOKIE) => Ok(answer),
            other => Err(other.to_string()),
        }
    });
    let answer = answer.await;
    let cookie = answer.headers().get(SET_COOKIE).expect("a cookie");
    let cookie = cookie.to_str().expect("text");
    cookie.split(';').next().expect("a value").to_owned()
}

/// Waits until the session of a cookie is known; `key-auth` asks for a key all the same.
async fn knows(node: &Node, cookie: &str) {
    wait::until("the session", || async {
        let answer = get(node, "/2", (COOKIE.as_str(), cookie)).await;
        let seen: Value = answer.json().await.map_err(|error| error.to_string())?;
        match seen["headers"]["x-consumer-username"].as_str() {
            Some("alice") => Ok(()),
            _ => Err(seen.to_string()),
        }
    })
    .await;
}

async fn remaining(node: &Node) -> (u16, Option<String>) {
    let answer = reqwest::get(node.proxy("/1")).await.expect("an answer");
    let left = answer.headers().get("x-ratelimit-remaining-year");
    let left = left.map(|left| left.to_str().expect("text").to_owned());
    (answer.status().as_u16(), left)
}

fn left(number: u32) -> (u16, Option<String>) {
    (200, Some(number.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_counts_outlast_a_restart() {
    let upstream = Upstream::start().await;
    let mut node = Node::start(Role::Traditional, TRUSTING, &[]);
    node.up().await;
    let [login_plugins, limit] = kept();
    let only_session = json!([login_plugins[0]]);
    furnish(&node, &upstream, &[login_plugins, limit, only_session]).await;
    let cookie = login(&node).await;
    knows(&node, &cookie).await;
    let sessions = node.change("GET", "/sessions", Value::Null).await;
    let [session] = &sessions["data"].as_array().expect("a list")[..] else {
        panic!("{sessions}");
    };
    assert!(!session["data"].as_str().expect("data").contains("alice"));
    for number in [3, 2] {
        assert_eq!(remaining(&node).await, left(number));
    }
    node.stop().await;
    node.start_again();
    node.ready().await;
    knows(&node, &cookie).await;
    assert_eq!(remaining(&node).await, left(1));
    assert_eq!(remaining(&node).await, left(0));
    assert_eq!(remaining(&node).await, (429, Some("0".to_owned())));
    let path = format!("/sessions/{}", session["id"].as_str().expect("an id"));
    node.change("DELETE", &path, Value::Null).await;
    let answer = get(&node, "/2", (COOKIE.as_str(), &cookie)).await;
    let seen: Value = answer.json().await.expect("an echo");
    assert!(seen["headers"]["x-consumer-username"].is_null(), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_one_database_share_tokens_sessions_and_counts() {
    let (server, upstream) = (Postgres::start().await, Upstream::start().await);
    server.bootstrap().await;
    let start = || Node::start(Role::Traditional, TRUSTING, &server.environment());
    let (one, other) = (start(), start());
    one.up().await;
    other.up().await;
    let [login_plugins, limit] = kept();
    let only_session = json!([login_plugins[0]]);
    furnish(&one, &upstream, &[login_plugins, limit, only_session]).await;
    one.change(
        "POST",
        "/services/s/routes",
        json!({"name": "r3", "paths": ["/3"]}),
    )
    .await;
    one.change("POST", "/routes/r3/plugins", oauth2()).await;
    for node in [&one, &other] {
        serves(node, "/3", 401).await;
        serves(node, "/2", 200).await;
    }
    let cookie = login(&one).await;
    knows(&one, &cookie).await;
    knows(&other, &cookie).await;
    for (node, number) in [(&one, 3), (&other, 2), (&one, 1), (&other, 0)] {
        assert_eq!(remaining(node).await, left(number));
    }
    for node in [&one, &other] {
        assert_eq!(remaining(node).await.0, 429);
    }
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", "app"),
        ("client_secret", "s3cret"),
    ];
    let (status, answer) = post(&one, "/3/oauth2/token", &fields).await;
    assert_eq!(status, 200, "{answer}");
    let token = answer["access_token"].as_str().expect("a token");
    let authorization = format!("Bearer {token}");
    for node in [&one, &other] {
        let answer = get(node, "/3", ("authorization", &authorization)).await;
        assert_eq!(answer.status(), 200);
    }
    let path = format!("/oauth2_tokens/{token}");
    other.change("DELETE", &path, Value::Null).await;
    let answer = get(&other, "/3", ("authorization", &authorization)).await;
    assert_eq!(answer.status(), 401);
    // What another node has removed is remembered for a second.
    wait::until("the token to be forgotten", || async {
        let answer = get(&one, "/3", ("authorization", &authorization)).await;
        match answer.status().as_u16() {
            401 => Ok(()),
            other => Err(other),
        }
    })
    .await;
}
