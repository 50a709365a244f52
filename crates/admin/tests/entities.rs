//! Entities through the Admin API, over real sockets.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[allow(dead_code)]
mod support;

use keelgate_store::StoreExt;
use serde_json::{Value, json};
use support::Api;

const ID: &str = "a0000001-0000-4000-8000-000000000001";
const OTHER: &str = "a0000002-0000-4000-8000-000000000002";

#[tokio::test]
async fn an_entity_is_created_read_changed_replaced_and_removed() {
    let api = Api::database().await;
    let created = api
        .send("POST", "/services", json!({"name": "s", "host": "h.test"}))
        .await;
    assert_eq!(
        created.header("content-type"),
        "application/json; charset=utf-8"
    );
    assert_eq!(
        created.header("server"),
        concat!("keelgate/", env!("CARGO_PKG_VERSION"))
    );
    assert!(
        created
            .header("x-kong-admin-latency")
            .parse::<u64>()
            .is_ok()
    );
    let created = created.expect(201);
    assert_eq!(created["retries"], 5);
    let id = created["id"].as_str().unwrap();

    assert_eq!(api.get("/services/s").await.expect(200), created);
    assert_eq!(
        api.get(&format!("/services/{id}")).await.expect(200),
        created
    );
    let upper = id.to_ascii_uppercase();
    assert_eq!(
        api.get(&format!("/services/{upper}/")).await.expect(200),
        created
    );

    let patched = api
        .send("PATCH", "/services/s", json!({"retries": 7}))
        .await
        .expect(200);
    assert_eq!(
        (&patched["retries"], &patched["host"]),
        (&json!(7), &json!("h.test"))
    );

    let put = api
        .send("PUT", "/services/s", json!({"host": "x.test"}))
        .await
        .expect(200);
    assert_eq!((&put["retries"], &put["id"]), (&json!(5), &json!(id)));

    assert_eq!(api.bare("DELETE", "/services/s").await.status, 204);
    let gone = api.get("/services/s").await.expect(404);
    assert_eq!(gone, json!({"message": "Not found"}));
    assert_eq!(api.bare("DELETE", "/services/s").await.status, 204);
    assert_eq!(api.store.position().await.unwrap().revision, 4);
}

#[tokio::test]
async fn bad_input_is_refused_in_kongs_words_and_nothing_is_written() {
    let api = Api::database().await;
    let refused = api
        .send("POST", "/services", json!({"host": 5, "nope": 1}))
        .await
        .expect(400);
    assert_eq!(
        refused,
        json!({
            "code": 2,
            "name": "schema violation",
            "message": "2 schema violations (host: expected a string; nope: unknown field)",
            "fields": {"host": "expected a string", "nope": "unknown field"},
        })
    );
    let headers = [("content-type", "application/json")];
    let broken = support::request(api.address, "POST", "/services", &headers, "{").await;
    assert_eq!(
        broken.expect(400),
        json!({"message": "Cannot parse JSON body"})
    );
    let headers = [("content-type", "text/plain")];
    let text = support::request(api.address, "POST", "/services", &headers, "host=h").await;
    assert_eq!(
        (text.status, text.header("content-type")),
        (415, "text/html; charset=UTF-8")
    );
    let missing = api
        .send("PATCH", &format!("/services/{ID}"), json!({"retries": 1}))
        .await;
    assert_eq!(missing.expect(404)["code"], 6);
    let name = api.get("/services/a%3Ab").await.expect(400);
    assert_eq!(
        (&name["code"], &name["name"]),
        (&json!(10), &json!("invalid unique name"))
    );
    assert_eq!(api.store.position().await.unwrap().revision, 0);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let api = Api::database().await;
    let body = json!({"host": "h", "path": "/".to_owned() + &"x".repeat(9 << 20)});
    assert_eq!(api.send("POST", "/services", body).await.status, 413);
}

#[tokio::test]
async fn a_body_that_is_too_deep_is_refused() {
    let api = Api::database().await;
    let headers = [("content-type", "application/json")];
    let deep = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"{{"name": "echo", "config": {{"limit": {open}{close}}}}}"#)
    };
    for levels in [1_000, 1_000_000] {
        let answer = support::request(api.address, "POST", "/plugins", &headers, deep(levels));
        let refused = answer.await.expect(400);
        assert_eq!(refused, json!({"message": "Cannot parse JSON body"}));
    }
    let answer = support::request(api.address, "POST", "/plugins", &headers, deep(100));
    assert_eq!(answer.await.expect(400)["name"], "schema violation");
    assert_eq!(api.store.position().await.unwrap().revision, 0);
}

#[tokio::test]
async fn a_taken_name_and_a_loose_reference_are_refused() {
    let api = Api::database().await;
    api.send("POST", "/services", json!({"name": "s", "host": "h"}))
        .await
        .expect(201);
    let taken = api
        .send("POST", "/services", json!({"name": "s", "host": "h"}))
        .await;
    let taken = taken.expect(409);
    assert_eq!(
        taken["message"],
        r#"UNIQUE violation detected on '{name="s"}'"#
    );

    let loose = json!({"paths": ["/"], "service": {"id": OTHER}});
    let loose = api.send("POST", "/routes", loose).await.expect(400);
    assert_eq!(loose["fields"], json!({"service": {"id": OTHER}}));
    let unknown = json!({"paths": ["/"], "service": {"name": "zz"}});
    assert_eq!(
        api.send("POST", "/routes", unknown).await.expect(400)["code"],
        13
    );

    let by_name = json!({"paths": ["/"], "service": {"name": "s"}});
    api.send("POST", "/routes", by_name).await.expect(201);
    let used = api.bare("DELETE", "/services/s").await.expect(400);
    assert_eq!(used["fields"], json!({"@referenced_by": "routes"}));
}

#[tokio::test]
async fn entities_are_reached_through_what_they_refer_to() {
    let api = Api::database().await;
    api.send("POST", "/services", json!({"name": "s", "host": "h"}))
        .await
        .expect(201);
    api.send("POST", "/services", json!({"name": "other", "host": "h"}))
        .await
        .expect(201);
    let route = json!({"name": "r", "paths": ["/"]});
    let route = api
        .send("POST", "/services/s/routes", route)
        .await
        .expect(201);
    let service = api.get("/services/s").await.expect(200);
    assert_eq!(route["service"]["id"], service["id"]);

    let listed = api.get("/services/s/routes").await.expect(200);
    assert_eq!(listed, json!({"data": [route], "next": null}));
    assert_eq!(api.get("/services/s/routes/r").await.expect(200), route);
    assert_eq!(api.get("/services/other/routes/r").await.status, 404);
    assert_eq!(api.get("/routes/r/service").await.expect(200), service);
    assert_eq!(api.bare("DELETE", "/routes/r/service").await.status, 405);
    let patched = api
        .send("PATCH", "/routes/r/service", json!({"retries": 1}))
        .await;
    assert_eq!(patched.expect(200)["retries"], 1);
    assert_eq!(
        api.bare("DELETE", "/services/other/routes/r").await.status,
        404
    );
    assert_eq!(api.bare("DELETE", "/services/s/routes/r").await.status, 204);
    assert_eq!(api.get("/services/nope/routes").await.status, 404);
}

#[tokio::test]
async fn putting_the_service_of_a_route_without_one_ties_them() {
    let api = Api::database().await;
    api.send("POST", "/routes", json!({"name": "r", "paths": ["/"]}))
        .await
        .expect(201);
    let service = api
        .send("PUT", "/routes/r/service", json!({"host": "h"}))
        .await
        .expect(200);
    let route = api.get("/routes/r").await.expect(200);
    assert_eq!(route["service"]["id"], service["id"]);
}

#[tokio::test]
async fn lists_come_in_pages_that_link_to_the_next() {
    let api = Api::database().await;
    for name in ["a", "b", "c"] {
        let consumer = json!({"username": name, "tags": ["t", name]});
        api.send("POST", "/consumers", consumer).await.expect(201);
    }
    let mut names = Vec::new();
    let mut next = "/consumers?tags=t&size=2".to_owned();
    let mut pages = 0;
    loop {
        let page = api.get(&next).await.expect(200);
        pages += 1;
        let data = page["data"].as_array().unwrap().iter();
        names.extend(data.map(|consumer| consumer["username"].clone()));
        match page["next"].as_str() {
            Some(link) => {
                assert!(link.ends_with("&tags=t&size=2"), "{link}");
                next = link.to_owned();
            }
            None => break,
        }
    }
    names.sort_by_key(Value::to_string);
    assert_eq!(
        (pages, names),
        (2, vec![json!("a"), json!("b"), json!("c")])
    );
    let any = api.get("/consumers?tags=a/b").await.expect(200);
    assert_eq!(any["data"].as_array().unwrap().len(), 2);
    let bad = api.get("/consumers?tags=a,b/c").await.expect(400);
    assert_eq!(bad["options"], json!({"tags": "invalid filter syntax"}));
    assert_eq!(api.get("/consumers?size=1001").await.expect(400)["code"], 9);
    assert_eq!(
        api.get("/consumers?offset=xyz").await.expect(400)["code"],
        7
    );
}

#[tokio::test]
async fn forms_are_read_by_the_schema() {
    let api = Api::database().await;
    let form = "name=s&host=h.test&port=81&enabled=false&path=&tags[]=a&tags[]=b";
    let service = api.form("POST", "/services", form).await.expect(201);
    assert_eq!(
        [
            &service["port"],
            &service["enabled"],
            &service["path"],
            &service["tags"]
        ],
        [&json!(81), &json!(false), &Value::Null, &json!(["a", "b"])]
    );
    let plugin = api
        .form("POST", "/services/s/plugins", "name=echo&config.limit=9")
        .await;
    let plugin = plugin.expect(201);
    assert_eq!(plugin["config"]["limit"], 9);
    let path = format!("/plugins/{}", plugin["id"].as_str().unwrap());
    let patched = api
        .form("PATCH", &path, "config.loud=true")
        .await
        .expect(200);
    assert_eq!(patched["config"], json!({"limit": 9, "loud": true}));

    // Of parts with the same name the last one counts.
    let boundary = "xx";
    let body = "--xx\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\nalice\r\n\
                --xx\r\nContent-Disposition: form-data; name=\"tags[]\"\r\n\r\ns\r\n\
                --xx\r\nContent-Disposition: form-data; name=\"tags[]\"\r\n\r\nt\r\n--xx--\r\n";
    let kind = format!("multipart/form-data; boundary={boundary}");
    let headers = [("content-type", kind.as_str())];
    let consumer = support::request(api.address, "POST", "/consumers", &headers, body).await;
    let consumer = consumer.expect(201);
    assert_eq!(
        (&consumer["username"], &consumer["tags"]),
        (&json!("alice"), &json!(["t"]))
    );
}

#[tokio::test]
async fn credentials_live_below_their_consumer_and_go_with_it() {
    let api = Api::database().await;
    let consumer = json!({"username": "alice", "custom_id": "7"});
    api.send("POST", "/consumers", consumer).await.expect(201);
    let key = api
        .send("POST", "/consumers/alice/key-auth", json!({"key": "k"}))
        .await;
    let key = key.expect(201);
    assert_eq!(api.get("/key-auths/k").await.expect(200), key);
    assert_eq!(
        api.get("/consumers/alice/key-auth/k").await.expect(200),
        key
    );
    let owner = api.get("/key-auths/k/consumer").await.expect(200);
    assert_eq!(owner["username"], "alice");
    let found = api.get("/consumers?custom_id=7").await.expect(200);
    assert_eq!(found["data"], json!([owner]));

    let brief = json!({"key": "brief", "ttl": 100});
    let brief = api
        .send("POST", "/consumers/alice/key-auth", brief)
        .await
        .expect(201);
    assert_eq!(brief["ttl"], 99);
    let bad = json!({"ttl": 100_000_001});
    let bad = api
        .send("POST", "/consumers/alice/key-auth", bad)
        .await
        .expect(400);
    assert_eq!(bad["code"], 11);

    assert_eq!(api.bare("DELETE", "/consumers/alice").await.status, 204);
    assert_eq!(api.get("/key-auths").await.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn targets_are_listed_newest_first_and_found_by_address() {
    let api = Api::database().await;
    api.send("POST", "/upstreams", json!({"name": "u"}))
        .await
        .expect(201);
    for (target, created_at) in [("a.test:1", 1.0), ("b.test:2", 3.0), ("c.test:3", 2.0)] {
        let target = json!({"target": target, "created_at": created_at});
        api.send("POST", "/upstreams/u/targets", target)
            .await
            .expect(201);
    }
    let list = api.get("/upstreams/u/targets?size=2").await.expect(200);
    let shown: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| &t["target"])
        .collect();
    assert_eq!(shown, ["b.test:2", "c.test:3"]);
    let rest = api.get(list["next"].as_str().unwrap()).await.expect(200);
    assert_eq!(rest["data"][0]["target"], "a.test:1");

    let put = api
        .send("PUT", "/upstreams/u/targets/a.test:1", json!({"weight": 7}))
        .await;
    assert_eq!(put.expect(200)["weight"], 7);
    let new = api
        .send("PUT", "/upstreams/u/targets/d.test:4", json!({"weight": 7}))
        .await;
    assert_eq!(new.status, 404);
    assert_eq!(api.get("/targets").await.status, 404);
    assert_eq!(
        api.bare("DELETE", "/upstreams/u/targets/a.test:1")
            .await
            .status,
        204
    );
    assert_eq!(
        api.bare("DELETE", "/upstreams/u/targets/a.test:1")
            .await
            .status,
        404
    );
}

fn certificate() -> (String, String) {
    let key = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    (key.cert.pem(), key.signing_key.serialize_pem())
}

#[tokio::test]
async fn certificates_carry_their_names() {
    let api = Api::database().await;
    let (cert, key) = certificate();
    let input = json!({"cert": cert, "key": key, "snis": ["b.test", "a.test"]});
    let created = api
        .send("POST", "/certificates", input.clone())
        .await
        .expect(201);
    assert_eq!(created["snis"], json!(["a.test", "b.test"]));
    assert_eq!(api.get("/certificates/b.test").await.expect(200), created);
    assert_eq!(
        api.get("/snis/a.test").await.expect(200)["certificate"]["id"],
        created["id"]
    );
    assert_eq!(
        api.get("/certificates").await.expect(200)["data"],
        json!([created])
    );

    let taken = api.send("POST", "/certificates", input).await.expect(400);
    let fields = taken["fields"]["snis"].as_str().unwrap();
    assert!(
        fields.starts_with("a.test already associated with"),
        "{fields}"
    );

    let fewer = json!({"snis": ["b.test", "c.test"]});
    let fewer = api
        .send("PATCH", "/certificates/a.test", fewer)
        .await
        .expect(200);
    assert_eq!(fewer["snis"], json!(["b.test", "c.test"]));
    let service = json!({"name": "s", "url": "https://h.test",
                         "client_certificate": {"id": created["id"]}});
    api.send("POST", "/services", service).await.expect(201);
    let presented = api.get("/services/s/client_certificate").await.expect(200);
    assert_eq!(
        (&presented["id"], &presented["snis"]),
        (&created["id"], &Value::Null)
    );
    assert_eq!(api.bare("DELETE", "/services/s").await.status, 204);
    let unknown = api.get("/certificates/a.test").await.expect(404);
    assert_eq!(unknown, json!({"message": "SNI not found"}));
    assert_eq!(api.bare("DELETE", "/certificates/c.test").await.status, 204);
    assert_eq!(api.get("/snis").await.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn concurrent_changes_of_different_fields_all_stay() {
    let api = Api::database().await;
    api.send("PUT", &format!("/services/{ID}"), json!({"host": "h"}))
        .await
        .expect(200);
    let path = format!("/services/{ID}");
    let patches = [
        json!({"retries": 1}),
        json!({"port": 2}),
        json!({"connect_timeout": 3}),
        json!({"read_timeout": 4}),
        json!({"write_timeout": 5}),
    ];
    let sent = patches
        .into_iter()
        .map(|patch| api.send("PATCH", &path, patch));
    for answer in futures_util::future::join_all(sent).await {
        answer.expect(200);
    }
    let service = api.get(&path).await.expect(200);
    let fields = [
        "retries",
        "port",
        "connect_timeout",
        "read_timeout",
        "write_timeout",
    ];
    assert_eq!(
        fields.map(|field| service[field].as_u64().unwrap()),
        [1, 2, 3, 4, 5]
    );
}

#[tokio::test]
async fn methods_are_listed_and_wrong_ones_refused() {
    let api = Api::database().await;
    let options = api.bare("OPTIONS", "/services/x").await;
    assert_eq!(options.status, 204);
    assert_eq!(
        options.header("allow"),
        "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"
    );
    let wrong = api.bare("DELETE", "/services").await;
    assert_eq!(wrong.expect(405), json!({"message": "Method not allowed"}));
    for path in ["/nope", "/SERVICES", "//services", "/services//x"] {
        let missing = api.get(path).await;
        assert_eq!(
            missing.expect(404),
            json!({"message": "Not found"}),
            "{path}"
        );
    }
    let head = api.bare("HEAD", "/services").await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert_eq!(api.get("/%2e%2e/services").await.status, 400);
}

#[tokio::test]
async fn a_store_that_is_written_past_the_api_shows() {
    let api = Api::database().await;
    let consumer = json!({"id": ID, "username": "x", "custom_id": null});
    let consumer = consumer.as_object().unwrap().clone();
    api.store.insert("consumers", consumer).await.unwrap();
    assert_eq!(api.get("/consumers/x").await.expect(200)["id"], ID);
}

#[tokio::test]
async fn a_password_is_changed_below_its_consumer() {
    let api = Api::database().await;
    api.send("POST", "/consumers", json!({"username": "c"}))
        .await
        .expect(201);
    let credential = json!({"username": "c", "password": "one"});
    let made = api
        .send("POST", "/consumers/c/basic-auth", credential)
        .await
        .expect(201);
    let path = format!("/consumers/c/basic-auth/{}", made["id"].as_str().unwrap());
    let changed = api.form("PATCH", &path, "password=two").await.expect(200);
    assert_ne!(changed["password"], made["password"]);
    assert_eq!(changed["consumer"], made["consumer"]);
}
