//! Counts that nodes share over Redis, and what becomes of requests while it is away.

use axum::Router;
use e2e::{Node, Redis, Role, Upstream, wait};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

const ROUTE: &str = "8a6c1d52-0000-4000-8000-000000000001";

/// A node that counts as these plugins say, each on a route of its own: `/0`, `/1`, …
async fn node(upstream: &str, settings: &[(&str, &str)], plugins: &[Value]) -> Node {
    let routes: Vec<_> = plugins
        .iter()
        .enumerate()
        .map(|(at, plugin)| {
            let plugins = match plugin {
                Value::Null => json!([]),
                plugin => json!([plugin]),
            };
            let id = format!("{}{at}", &ROUTE[..ROUTE.len() - 1]);
            json!({"id": id, "name": format!("r{at}"), "paths": [format!("/{at}")],
                "plugins": plugins})
        })
        .collect();
    let config = json!({
        "_format_version": "3.0",
        "services": [{"name": "s", "url": upstream, "routes": routes}],
    });
    let node = Node::start(Role::Dbless, settings, &[]);
    node.up().await;
    node.change("POST", "/config", config).await;
    // Whatever the plugins answer, the routes are there.
    wait::until("the routes", || async {
        let url = node.proxy("/nowhere");
        let answer = reqwest::get(url).await.map_err(|error| error.to_string())?;
        match answer.headers().get("server") {
            Some(_) if answer.status() == 404 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    node
}

fn rate_limiting(redis: &Redis, more: &Value) -> Value {
    plugin("rate-limiting", redis, &json!({"year": 3}), more)
}

fn plugin(name: &str, redis: &Redis, limits: &Value, more: &Value) -> Value {
    let mut config = json!({
        "policy": "redis",
        "redis": {"host": "127.0.0.1", "port": redis.port, "timeout": 30_000},
    });
    for part in [limits, more] {
        merge(&mut config, part);
    }
    json!({"name": name, "config": config})
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

async fn get(node: &Node, path: &str) -> (u16, HeaderMap, String) {
    let answer = reqwest::get(node.proxy(path)).await.expect("an answer");
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, answer.text().await.expect("a body"))
}

async fn status(node: &Node, path: &str) -> u16 {
    get(node, path).await.0
}

/// What remains, as the client is told.
fn remaining(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-ratelimit-remaining-year")?.to_str().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_share_what_they_count_under_the_keys_of_kong() {
    let (redis, upstream) = (Redis::start().await, Upstream::start().await);
    let mut plugin = rate_limiting(&redis, &json!({}));
    let one = node(&upstream.url(), &[], std::slice::from_ref(&plugin)).await;
    let config = plugin["config"].as_object_mut().expect("an object");
    config.remove("redis");
    config.insert("redis_host".to_owned(), json!("127.0.0.1"));
    config.insert("redis_port".to_owned(), json!(redis.port));
    let other = node(&upstream.url(), &[], &[plugin]).await;
    for (node, left) in [(&one, "2"), (&other, "1"), (&one, "0")] {
        let (status, headers, _) = get(node, "/0").await;
        assert_eq!((status, remaining(&headers)), (200, Some(left)));
    }
    for node in [&other, &one] {
        let (status, headers, body) = get(node, "/0").await;
        assert_eq!((status, remaining(&headers)), (429, Some("0")));
        assert!(body.contains("API rate limit exceeded"), "{body}");
    }
    let keys = redis.keys().await;
    let [(key, count, left)] = &keys[..] else {
        panic!("{keys:?}");
    };
    // Kong counts what it refuses, too.
    assert_eq!(*count, 5);
    assert!((31_536_000 - 600..=31_536_000).contains(left), "{left}");
    let nobody = "00000000-0000-0000-0000-000000000000";
    let (route, _) = ROUTE.rsplit_once('1').expect("the id ends with 1");
    let begins = format!("ratelimit:{route}0:{nobody}:127.0.0.1:");
    let window = key
        .strip_prefix(&begins)
        .and_then(|rest| rest.strip_suffix(":year"));
    let window: u64 = window
        .unwrap_or_else(|| panic!("{key}"))
        .parse()
        .expect("milliseconds");
    assert_eq!(window % 86_400_000, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_pass_or_fail_while_redis_is_away_and_count_once_it_is_back() {
    let (mut redis, upstream) = (Redis::start().await, Upstream::start().await);
    let tolerant = rate_limiting(&redis, &json!({"year": 1000}));
    let strict = rate_limiting(&redis, &json!({"year": 1000, "fault_tolerant": false}));
    let node = node(&upstream.url(), &[], &[tolerant, strict]).await;
    for path in ["/0", "/1"] {
        let (status, headers, _) = get(&node, path).await;
        assert_eq!((status, remaining(&headers)), (200, Some("999")));
    }
    redis.kill();
    for _ in 0..20 {
        let (status, headers, _) = get(&node, "/0").await;
        assert_eq!((status, remaining(&headers)), (200, None));
        let (status, _, body) = get(&node, "/1").await;
        assert_eq!(status, 500);
        assert!(body.contains("An unexpected error occurred"), "{body}");
    }
    redis.start_again().await;
    for path in ["/0", "/1"] {
        // Each thread of the node finds the server by itself.
        wait::until("all threads to count", || async {
            for _ in 0..20 {
                let (_, headers, _) = get(&node, path).await;
                remaining(&headers).ok_or("not counted")?;
            }
            Ok::<_, &str>(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_holds_up_only_who_asks_it_and_not_for_long() {
    let (redis, upstream) = (Redis::start().await, Upstream::start().await);
    let patient = rate_limiting(&redis, &json!({"year": 1000}));
    let hasty = json!({"year": 1000, "fault_tolerant": false, "redis": {"timeout": 300}});
    let hasty = rate_limiting(&redis, &hasty);
    let node = node(&upstream.url(), &[], &[patient, hasty, Value::Null]).await;
    assert_eq!(status(&node, "/0").await, 200);
    assert_eq!(status(&node, "/1").await, 200);
    redis.pause();
    let waiting: Vec<_> = (0..20)
        .map(|_| tokio::spawn(reqwest::get(node.proxy("/0"))))
        .collect();
    for _ in 0..40 {
        assert_eq!(status(&node, "/2").await, 200);
    }
    for _ in 0..20 {
        assert_eq!(status(&node, "/1").await, 500);
    }
    assert!(waiting.iter().all(|request| !request.is_finished()));
    redis.resume();
    for request in waiting {
        let answer = request.await.expect("a request").expect("an answer");
        assert_eq!(answer.status(), 200);
        assert!(remaining(answer.headers()).is_some());
    }
    wait::until("answers in time", || async {
        match status(&node, "/1").await {
            200 => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_synchronised_at_intervals() {
    let (redis, upstream) = (Redis::start().await, Upstream::start().await);
    let plugin = rate_limiting(&redis, &json!({"sync_rate": 0.05}));
    let plugins = std::slice::from_ref(&plugin);
    let one = node(&upstream.url(), &[], plugins).await;
    let other = node(&upstream.url(), &[], plugins).await;
    for _ in 0..2 {
        assert_eq!(status(&one, "/0").await, 200);
    }
    wait::until("the counts of the first node", || async {
        match &redis.keys().await[..] {
            [(_, 2, _)] => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let (status_of_third, headers, _) = get(&other, "/0").await;
    assert_eq!((status_of_third, remaining(&headers)), (200, Some("0")));
    assert_eq!(status(&other, "/0").await, 429);
    wait::until("the first node to hear of it", || async {
        match status(&one, "/0").await {
            429 => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_asked_over_tls_by_a_user_and_verified() {
    let (redis, upstream) = (Redis::with_tls().await, Upstream::start().await);
    let (username, password) = Redis::user();
    let with = |more: &Value| {
        let mut redis_settings = json!({
            "fault_tolerant": false,
            "redis": {"host": "localhost", "ssl": true, "ssl_verify": true, "database": 1,
                "username": username, "password": password},
        });
        merge(&mut redis_settings, &json!({ "redis": more }));
        rate_limiting(&redis, &redis_settings)
    };
    let plugins = [
        with(&json!({})),
        with(&json!({"server_name": "other.test"})),
        with(&json!({"ssl_verify": false, "server_name": "other.test"})),
        with(&json!({"password": "wrong"})),
        with(&json!({"ssl": false, "timeout": 500})),
    ];
    let certificate = redis.certificate().display().to_string();
    let trusting = [("lua_ssl_trusted_certificate", certificate.as_str())];
    let trusting = node(&upstream.url(), &trusting, &plugins).await;
    for (path, expected) in [
        ("/0", 200),
        ("/1", 500),
        ("/2", 200),
        ("/3", 500),
        ("/4", 500),
    ] {
        assert_eq!(status(&trusting, path).await, expected, "{path}");
    }
    assert!(!trusting.log().contains(password));
    let doubtful = node(&upstream.url(), &[], &plugins[..1]).await;
    assert_eq!(status(&doubtful, "/0").await, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_responses_cost_is_shared() {
    let mut redis = Redis::start().await;
    let app = Router::new().fallback(async || ([("x-kong-limit", "video=2")], "ok"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bind");
    let upstream = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let limits = json!({"limits": {"video": {"year": 3}, "audio": {"year": 5}}});
    let strict = plugin(
        "response-ratelimiting",
        &redis,
        &limits,
        &json!({"fault_tolerant": false, "block_on_first_violation": true}),
    );
    let tolerant = plugin("response-ratelimiting", &redis, &limits, &json!({}));
    let plugins = [strict, tolerant];
    let (one, other) = (
        node(&upstream, &[], &plugins).await,
        node(&upstream, &[], &plugins).await,
    );
    let costs = |total: i64| {
        let redis = &redis;
        async move {
            wait::until("the cost to be counted", || async {
                match &redis.keys().await[..] {
                    [(key, count, left)]
                        if *count == total
                            && key.starts_with("response-ratelimit:")
                            && key.ends_with(":video:year")
                            && *left > 31_500_000 =>
                    {
                        Ok(())
                    }
                    other => Err(format!("{other:?}")),
                }
            })
            .await;
        }
    };
    let left = |headers: &HeaderMap| {
        let left = headers.get("x-ratelimit-remaining-video-year")?;
        left.to_str().ok().map(str::to_owned)
    };
    let (status_of_first, headers, _) = get(&one, "/0").await;
    assert_eq!(
        (status_of_first, left(&headers)),
        (200, Some("1".to_owned()))
    );
    costs(2).await;
    let (status_of_second, headers, _) = get(&other, "/0").await;
    assert_eq!(
        (status_of_second, left(&headers)),
        (200, Some("0".to_owned()))
    );
    costs(4).await;
    let (status_of_third, _, body) = get(&one, "/0").await;
    assert_eq!(status_of_third, 429);
    assert!(
        body.contains("API rate limit exceeded for 'video'"),
        "{body}"
    );
    redis.kill();
    assert_eq!(status(&one, "/0").await, 500);
    let (status_without, headers, _) = get(&one, "/1").await;
    assert_eq!((status_without, left(&headers)), (200, None));
}
