//! The node through the Admin API and the status API, over real sockets.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[allow(dead_code)]
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keelgate_admin::{DataPlanes, Listener, Mode, Patience, serve};
use serde_json::{Value, json};
use support::{Api, request};

#[tokio::test]
async fn the_root_tells_of_the_node() {
    let api = Api::database().await;
    api.send("POST", "/plugins", json!({"name": "echo"}))
        .await
        .expect(201);
    let root = api.get("/").await.expect(200);
    assert_eq!(root["version"], keelgate_entities::KONG_API_VERSION);
    assert_eq!(root["hostname"], "node.test");
    assert_eq!(root["configuration"]["role"], "traditional");
    assert_eq!(
        root["plugins"],
        json!({
            "available_on_server": {"echo": {"version": "1.0.0", "priority": 10}},
            "enabled_in_cluster": ["echo"],
        })
    );
    let status = api.get("/status").await.expect(200);
    assert_eq!(status["database"], json!({"reachable": true}));
    assert_eq!(status["keelgate"], json!({"state": "following"}));
    let endpoints = api.get("/endpoints").await.expect(200);
    let endpoints = endpoints["data"].as_array().unwrap().clone();
    for path in [
        "/",
        "/services/{services}/routes/{routes}",
        "/key-auths",
        "/schemas/{name}",
    ] {
        assert!(endpoints.contains(&json!(path)), "{path}");
    }
    let enabled = api.get("/plugins/enabled").await.expect(200);
    assert_eq!(enabled, json!({"enabled_plugins": ["echo"]}));
    assert_eq!(api.get("/metrics").await.text, "up 1\n");
}

#[tokio::test]
async fn schemas_are_shown_and_tried() {
    let api = Api::database().await;
    let schema = api.get("/schemas/services").await.expect(200);
    let fields = schema["fields"].as_array().unwrap();
    assert!(
        fields
            .iter()
            .any(|field| field.get("connect_timeout").is_some())
    );
    api.get("/schemas/plugins/echo").await.expect(200);
    let missing = api.get("/schemas/plugins/nope").await.expect(404);
    assert_eq!(missing, json!({"message": "No plugin named 'nope'"}));
    let missing = api.get("/schemas/nope").await.expect(404);
    assert_eq!(missing, json!({"message": "No entity named 'nope'"}));

    let good = api
        .send("POST", "/schemas/services/validate", json!({"host": "h"}))
        .await;
    assert_eq!(
        good.expect(200),
        json!({"message": "schema validation successful"})
    );
    let bad = api
        .send("POST", "/schemas/plugins/validate", json!({"name": "nope"}))
        .await;
    assert_eq!(bad.expect(400)["code"], 2);
    assert_eq!(api.store.position().await.unwrap().revision, 0);
}

#[tokio::test]
async fn tags_are_listed_over_all_kinds() {
    let api = Api::database().await;
    let consumer = json!({"username": "a", "tags": ["x", "y"]});
    let id = api.send("POST", "/consumers", consumer).await.expect(201)["id"].clone();
    let row = |tag: &str| json!({"tag": tag, "entity_name": "consumers", "entity_id": id});
    let all = api.get("/tags").await.expect(200);
    assert_eq!(all["data"], json!([row("x"), row("y")]));
    let one = api.get("/tags/y").await.expect(200);
    assert_eq!(one, json!({"data": [row("y")], "next": null}));
}

#[tokio::test]
async fn the_level_of_the_log_can_be_changed() {
    let api = Api::database().await;
    let path = "/debug/node/log-level";
    let level = async || api.get(path).await.expect(200)["message"].clone();
    assert_eq!(level().await, "log level: notice");
    let changed = api
        .bare("PUT", "/debug/node/log-level/debug")
        .await
        .expect(200);
    assert_eq!(changed, json!({"message": "log level changed"}));
    assert_eq!(level().await, "log level: debug");
    let unknown = api
        .bare("PUT", "/debug/node/log-level/zzz")
        .await
        .expect(400);
    assert_eq!(unknown, json!({"message": "unknown log level: zzz"}));
    let early = api
        .bare("PUT", "/debug/node/log-level/info?timeout=-1")
        .await
        .expect(400);
    let message = "timeout must be greater than or equal to 0";
    assert_eq!(early, json!({ "message": message }));
}

#[tokio::test]
async fn the_level_of_the_log_holds_as_long_as_was_asked_for() {
    let database = Api::database().await;
    let (seen, set) = (Arc::new(Mutex::new(Vec::new())), "notice".to_owned());
    let changes = Arc::clone(&seen);
    let mut admin = support::admin(Arc::clone(&database.store), Mode::Database);
    admin.node.is_control_plane = true;
    admin.log = keelgate_admin::LogLevel {
        level: Arc::new(move || set.clone()),
        set_level: Arc::new(move |level, time: Option<Duration>| {
            changes.lock().unwrap().push((level.to_owned(), time));
        }),
    };
    let address = support::start(admin.router()).await;
    let put = async |path: &str, body: &'static str| {
        let json = [("content-type", "application/json")];
        let headers = if body.is_empty() { &json[..0] } else { &json };
        request(address, "PUT", path, headers, body).await
    };
    let node = "/debug/node/log-level";
    for (path, body) in [
        (format!("{node}/debug"), ""),
        (format!("{node}/info?timeout=2.5"), ""),
        (format!("{node}/warn"), r#"{"timeout": 7}"#),
        (format!("{node}/error?timeout=0"), ""),
        (
            "/debug/cluster/control-planes-nodes/log-level/crit?timeout=9".to_owned(),
            "",
        ),
    ] {
        let changed = put(&path, body).await.expect(200);
        assert_eq!(changed, json!({"message": "log level changed"}), "{path}");
    }
    let already = put(&format!("{node}/notice"), "").await.expect(200);
    let message = "log level is already notice";
    assert_eq!(already, json!({ "message": message }));
    let seconds = |level: &str, seconds| (level.to_owned(), Some(Duration::from_secs(seconds)));
    let expected = [
        seconds("debug", 60),
        seconds("info", 3),
        seconds("warn", 7),
        ("error".to_owned(), None),
        seconds("crit", 9),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
    let of_others = put("/debug/cluster/log-level/debug", "").await;
    assert_eq!(of_others.status, 404, "the path of nodes of other roles");

    let cluster = "/debug/cluster/log-level/debug";
    database.bare("PUT", cluster).await.expect(200);
    for path in [cluster, "/debug/node/log-level/debug"] {
        let refused = Api::dbless().await.bare("PUT", path).await.expect(405);
        let message = "cannot change log level when not using a database";
        assert_eq!(refused, json!({ "message": message }));
    }
}

#[tokio::test]
async fn caches_and_timers_that_are_not_there_are_empty() {
    let api = Api::database().await;
    let key = "/cache/services:s:::::";
    assert_eq!(api.get(key).await.status, 404);
    for path in [key, "/cache"] {
        assert_eq!(api.bare("DELETE", path).await.status, 204);
    }
    let timers = api.get("/timers").await.expect(200);
    assert_eq!(timers["worker"]["count"], 2);
    assert_eq!(timers["stats"], json!({}));
}

const CONFIG: &str = "_format_version: '3.0'\nservices:\n- name: s\n  host: h.test\n  routes:\n  \
                      - name: r\n    paths: [/]\n";

#[tokio::test]
async fn a_whole_configuration_is_posted_as_json_yaml_or_form() {
    let api = Api::dbless().await;
    let document = json!({"_format_version": "3.0", "services": [{"name": "j", "host": "h"}]});
    let loaded = api.send("POST", "/config", document).await.expect(201);
    assert_eq!(loaded["services"].as_object().unwrap().len(), 1);
    assert_eq!(api.get("/services/j").await.status, 200);

    let yaml = [("content-type", "text/yaml")];
    request(api.address, "POST", "/config", &yaml, CONFIG)
        .await
        .expect(201);
    assert_eq!(api.get("/services/j").await.status, 404);
    assert_eq!(api.get("/services/s/routes/r").await.status, 200);

    let wrapped = api.send("POST", "/config", json!({"config": CONFIG})).await;
    wrapped.expect(201);
    let again = json!({"config": CONFIG, "check_hash": 1});
    assert_eq!(api.send("POST", "/config", again).await.status, 304);
    let status = api.get("/status").await.expect(200);
    assert_eq!(
        status["configuration_hash"],
        keelgate_admin::config_hash(CONFIG)
    );

    let shown = api.get("/config").await.expect(200);
    assert!(shown["config"].as_str().unwrap().contains("h.test"));
    let empty = api.form("POST", "/config", "x=1").await.expect(400);
    assert_eq!(
        empty,
        json!({"message": "expected a declarative configuration"})
    );
}

#[tokio::test]
async fn what_was_posted_is_answered_as_its_author_wrote_it() {
    let api = Api::dbless().await;
    let config = json!({
        "_format_version": "3.0",
        "services": [{"name": "s", "host": "h.test", "retries": null}],
        "consumers": [{
            "username": "c",
            "basicauth_credentials": [{"username": "u", "password": "p"}],
            "keyauth_credentials": [{"key": "k"}],
        }],
    });
    let answer = api.send("POST", "/config", config).await.expect(201);
    let only = |kind: &str| {
        let mut entities = answer[kind].as_object().unwrap().values();
        entities.next().cloned().unwrap()
    };
    assert_eq!(only("services")["retries"], Value::Null);
    assert_eq!(only("basicauth_credentials")["password"], "p");
    let stored = api.get("/basic-auths").await.expect(200);
    assert_ne!(stored["data"][0]["password"], "p");
    let key = api.get("/key-auths/k").await.expect(200);
    assert_eq!(key.get("ttl"), None);
}

#[tokio::test]
async fn pages_of_strangers_cannot_use_the_credentials_of_a_client() {
    let api = Api::database().await;
    let origin = [("origin", "https://evil.test")];
    let answer = support::request(api.address, "GET", "/services", &origin, "").await;
    assert_eq!(
        answer.headers["access-control-allow-origin"],
        "https://evil.test"
    );
    assert!(
        !answer
            .headers
            .contains_key("access-control-allow-credentials")
    );
}

#[tokio::test]
async fn a_bad_configuration_leaves_the_old_one() {
    let api = Api::dbless().await;
    api.send("POST", "/config", json!({"config": CONFIG}))
        .await
        .expect(201);
    let bad = json!({"_format_version": "3.0", "services": [{"name": "b", "host": 5}]});
    let refused = api.send("POST", "/config", bad.clone()).await.expect(400);
    assert_eq!(refused["code"], 14);
    assert_eq!(
        refused["fields"],
        json!({"services": [{"host": "expected a string"}]})
    );
    let flat = api
        .send("POST", "/config?flatten_errors=1", bad)
        .await
        .expect(400);
    assert_eq!(flat["flattened_errors"][0]["entity_name"], "b");
    assert_eq!(api.get("/services/s").await.status, 200);
}

#[tokio::test]
async fn without_a_database_nothing_else_is_written() {
    let api = Api::dbless().await;
    api.send("POST", "/config", json!({"config": CONFIG}))
        .await
        .expect(201);
    let created = api
        .send("POST", "/services", json!({"host": "h"}))
        .await
        .expect(405);
    assert_eq!(
        created,
        json!({
            "code": 12,
            "name": "operation unsupported",
            "message": "cannot create 'services' entities when not using a database",
        })
    );
    let patched = api
        .send("PATCH", "/services/s", json!({"retries": 1}))
        .await
        .expect(405);
    assert_eq!(
        patched["message"],
        "cannot update 'services' entities when not using a database"
    );
    assert_eq!(
        api.send("PATCH", "/services/x", json!({"retries": 1}))
            .await
            .status,
        404
    );
    assert_eq!(api.bare("DELETE", "/services/x").await.status, 204);
    assert_eq!(api.bare("DELETE", "/routes/r").await.status, 405);
    assert_eq!(
        api.get("/services/s/routes").await.expect(200)["data"][0]["name"],
        "r"
    );
}

#[tokio::test]
async fn with_a_database_there_is_no_configuration_to_post() {
    let api = Api::database().await;
    let refused = api
        .send("POST", "/config", json!({"config": CONFIG}))
        .await
        .expect(400);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("not use a database")
    );
}

struct Two;

impl DataPlanes for Two {
    fn list(&self) -> Vec<Value> {
        let plane = |id: &str| json!({"id": id, "hostname": "dp", "config_hash": "x"});
        vec![plane("b"), plane("a")]
    }
}

#[tokio::test]
async fn a_control_plane_tells_of_its_data_planes() {
    let database = Api::database().await;
    for path in ["/clustering/data-planes", "/clustering/status"] {
        let refused = database.get(path).await.expect(400);
        let message = "this endpoint is only available when Kong is configured to run as Control \
                       Plane for the cluster";
        assert_eq!(refused, json!({ "message": message }));
    }

    let mut admin = support::admin(Arc::clone(&database.store), Mode::Database);
    admin.data_planes = Some(Arc::new(Two));
    let address = support::start(admin.router()).await;
    let get = async |path: &str| request(address, "GET", path, &[], "").await.expect(200);
    let page = get("/clustering/data-planes?size=1").await;
    assert_eq!(page["data"][0]["id"], "a");
    let next = get(page["next"].as_str().unwrap()).await;
    assert_eq!(
        (&next["data"][0]["id"], &next["next"]),
        (&json!("b"), &Value::Null)
    );
    assert_eq!(get("/clustering/status").await["b"]["config_hash"], "x");
    let old = request(address, "GET", "/clustering/status", &[], "").await;
    assert_eq!(old.header("deprecation"), "true");
    let sizes = ["0", "1001", "x"].map(|size| format!("/clustering/data-planes?size={size}"));
    for path in sizes {
        let refused = request(address, "GET", &path, &[], "").await;
        assert_eq!(refused.status, 400, "{path}");
    }
}

#[tokio::test]
async fn the_status_api_is_ready_when_the_node_is() {
    let ready = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&ready);
    let report = move || match asked.load(Ordering::Relaxed) {
        true => Ok(()),
        false => Err("no configuration yet".to_owned()),
    };
    let address = support::status_api(Arc::new(report)).await;
    let get = async |path: &str| request(address, "GET", path, &[], "").await;
    let waiting = get("/status/ready").await.expect(503);
    assert_eq!(waiting, json!({"message": "no configuration yet"}));
    ready.store(true, Ordering::Relaxed);
    assert_eq!(
        get("/status/ready").await.expect(200),
        json!({"message": "ready"})
    );
    assert_eq!(
        get("/status").await.expect(200)["keelgate"]["state"],
        "following"
    );
    assert_eq!(get("/metrics").await.text, "up 1\n");
    assert_eq!(get("/services").await.status, 404);
}

#[tokio::test]
async fn a_tls_listener_serves_those_who_trust_its_certificate() {
    let api = Api::database().await;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = || Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let router = support::admin(Arc::clone(&api.store), Mode::Database).router();
    let tls = Some(Arc::new(config));
    let listeners = vec![Listener { socket, tls }];
    tokio::spawn(serve(
        listeners,
        router,
        Patience::default(),
        std::future::pending(),
    ));

    let mut trusted = rustls::RootCertStore::empty();
    trusted.add(certificate).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let stream = connector.connect(name, socket).await.unwrap();
    let answer = support::request_on(stream, "GET", "/services", &[], "").await;
    assert_eq!(answer.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn a_stopping_server_ends_when_its_requests_have() {
    let api = Api::database().await;
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = support::admin(Arc::clone(&api.store), Mode::Database).router();
    let listeners = vec![Listener { socket, tls: None }];
    let server = tokio::spawn(serve(listeners, router, Patience::default(), async {
        let _ = stopped.await;
    }));
    request(address, "GET", "/services", &[], "")
        .await
        .expect(200);
    stop.send(()).unwrap();
    server.await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
