//! The Admin API of a node with SQLite, as clients see it.

use e2e::{Node, Role, Upstream};
use serde_json::{Value, json};

async fn traditional() -> Node {
    let node = Node::start(Role::Traditional, &[], &[]);
    node.up().await;
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_made_through_the_admin_api_is_served() {
    let upstream = Upstream::start().await;
    let node = traditional().await;
    node.change(
        "POST",
        "/services",
        json!({"name": "echo", "url": upstream.url()}),
    )
    .await;
    let route = node
        .change(
            "POST",
            "/services/echo/routes",
            json!({"name": "echo", "paths": ["/echo"]}),
        )
        .await;
    node.serves("/echo", 200).await;
    let id = route["id"].as_str().expect("an id");
    assert_eq!(
        node.change("GET", &format!("/routes/{id}"), Value::Null)
            .await,
        route
    );
    node.change("DELETE", "/routes/echo", Value::Null).await;
    node.serves("/echo", 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_in_kongs_shape_and_nothing_is_written() {
    let node = traditional().await;
    let (status, answer) = node
        .ask(
            "POST",
            "/services",
            json!({"name": "bad", "host": "h", "port": 70_000, "x": 1}),
        )
        .await;
    assert_eq!(status, 400);
    assert_eq!(answer["name"], "schema violation");
    assert_eq!(answer["code"], 2);
    assert_eq!(
        answer["fields"]["port"],
        "value should be between 0 and 65535"
    );
    assert_eq!(answer["fields"]["x"], "unknown field");
    let (status, _) = node.ask("GET", "/services/bad", Value::Null).await;
    assert_eq!(status, 404);
    let (status, answer) = node
        .ask(
            "POST",
            "/routes",
            json!({"paths": ["/x"], "service": {"id": uuid::Uuid::new_v4()}}),
        )
        .await;
    assert_eq!(
        (status, &answer["name"]),
        (400, &json!("foreign key violation"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_sigkill() {
    let mut node = traditional().await;
    let mut names = Vec::new();
    for number in 0..30 {
        let name = format!("s{number}");
        node.change("POST", "/services", json!({"name": name, "host": "h"}))
            .await;
        names.push(name);
    }
    node.kill();
    node.start_again();
    node.up().await;
    for name in names {
        let service = node
            .change("GET", &format!("/services/{name}"), Value::Null)
            .await;
        assert_eq!(service["name"], name.as_str());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_paged_and_filtered_by_tag() {
    let node = traditional().await;
    for number in 0..25 {
        let tag = if number % 5 == 0 { "five" } else { "other" };
        node.change(
            "POST",
            "/services",
            json!({"name": format!("s{number}"), "host": "h", "tags": [tag]}),
        )
        .await;
    }
    let mut path = "/services?size=10".to_owned();
    let mut seen = std::collections::BTreeSet::new();
    let mut pages = 0;
    loop {
        let page = node.change("GET", &path, Value::Null).await;
        for service in page["data"].as_array().expect("data") {
            assert!(
                seen.insert(service["id"].as_str().expect("an id").to_owned()),
                "an entity came twice"
            );
        }
        pages += 1;
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut path),
            None => break,
        }
    }
    assert_eq!((seen.len(), pages), (25, 3));
    let tagged = node.change("GET", "/services?tags=five", Value::Null).await;
    assert_eq!(tagged["data"].as_array().map(Vec::len), Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_can_be_created_changed_and_deleted() {
    let node = traditional().await;
    node.change("PUT", "/services/s", json!({"host": "h"}))
        .await;
    node.change("PUT", "/consumers/ann", json!({})).await;
    node.change("PUT", "/upstreams/u", json!({})).await;
    let kinds = [
        ("/services", json!({"host": "h"}), json!({"retries": 1})),
        (
            "/routes",
            json!({"paths": ["/x"]}),
            json!({"strip_path": false}),
        ),
        (
            "/consumers",
            json!({"username": "bob"}),
            json!({"custom_id": "7"}),
        ),
        (
            "/consumers/ann/key-auth",
            json!({"key": "k1"}),
            json!({"tags": ["t"]}),
        ),
        (
            "/plugins",
            json!({"name": "cors"}),
            json!({"enabled": false}),
        ),
        (
            "/services/s/plugins",
            json!({"name": "key-auth"}),
            json!({"config": {"key_names": ["x-key"]}}),
        ),
        (
            "/upstreams",
            json!({"name": "up.test"}),
            json!({"slots": 100}),
        ),
        (
            "/upstreams/u/targets",
            json!({"target": "127.0.0.1:80"}),
            json!({"weight": 7}),
        ),
    ];
    for (path, body, patch) in kinds {
        let made = node.change("POST", path, body).await;
        let one = format!("{path}/{}", made["id"].as_str().expect("an id"));
        let changed = node.change("PATCH", &one, patch.clone()).await;
        for (field, value) in patch.as_object().expect("an object") {
            match value.as_object() {
                Some(nested) => nested
                    .iter()
                    .for_each(|(key, value)| assert_eq!(&changed[field][key], value, "{one}")),
                None => assert_eq!(&changed[field], value, "{one}"),
            }
        }
        assert_eq!(node.change("GET", &one, Value::Null).await, changed);
        let (status, _) = node.ask("DELETE", &one, Value::Null).await;
        assert_eq!(status, 204, "{one}");
        assert_eq!(node.ask("GET", &one, Value::Null).await.0, 404, "{one}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_served_by_its_sni() {
    let upstream = Upstream::start().await;
    let node = traditional().await;
    node.change("PUT", "/services/echo", json!({"url": upstream.url()}))
        .await;
    node.change("POST", "/services/echo/routes", json!({"paths": ["/"]}))
        .await;
    let made =
        rcgen::generate_simple_self_signed(vec!["secure.test".into()]).expect("make a certificate");
    let body = json!({"cert": made.cert.pem(), "key": made.signing_key.serialize_pem(), "snis": ["secure.test"]});
    node.change("POST", "/certificates", body).await;
    node.serves("/", 200).await;
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).expect("PEM")])
        .resolve("secure.test", ([127, 0, 0, 1], node.ports.proxy_tls).into())
        .build()
        .expect("a client");
    let url = format!("https://secure.test:{}/tls", node.ports.proxy_tls);
    let answer = e2e::wait::until("an answer over TLS", || async {
        client
            .get(&url)
            .send()
            .await
            .map_err(|error| format!("{error:?}"))
    })
    .await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_its_authority_is_told_and_holds_nothing_up() {
    let upstream = Upstream::start().await;
    let node = traditional().await;
    let missing = uuid::Uuid::new_v4().to_string();
    node.change(
        "PUT",
        "/services/broken",
        json!({"url": "https://127.0.0.1:1", "ca_certificates": [missing]}),
    )
    .await;
    node.change("PUT", "/services/echo", json!({"url": upstream.url()}))
        .await;
    for name in ["broken", "echo"] {
        node.change(
            "POST",
            &format!("/services/{name}/routes"),
            json!({"paths": [format!("/{name}")]}),
        )
        .await;
    }
    node.serves("/echo", 200).await;
    node.serves("/broken", 502).await;
    let report = node.report().await;
    assert!(
        report["flaws"].to_string().contains(&missing),
        "the report does not name the missing certificate: {report}"
    );
}
