use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::exchange::MadeBy;
use crate::response::Body;
use crate::testing::*;
use crate::{Exchange, HeaderMap, Plugin};

fn plugin(more: Value) -> &'static dyn Plugin {
    let mut config = json!({"strategy": "memory"});
    let more = more.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(more);
    compiled("proxy-cache", config)
}

/// What a client gets.
struct Got {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    from_cache: bool,
}

impl Got {
    /// `X-Cache-Status`.
    fn cache(&self) -> String {
        values(&self.headers, "x-cache-status").join("+")
    }
}

/// Runs a request through the plugin, and the response of the upstream, which is `body` with these
/// headers.
fn run<'r>(
    plugin: &'r dyn Plugin,
    mut exchange: Exchange<'r>,
    of_upstream: &[(&str, &str)],
    body: &[&str],
) -> Got {
    if let Some(response) = access(plugin, &mut exchange) {
        let body = match response.body {
            Body::Bytes(body) => body,
            other => panic!("{other:?}"),
        };
        return Got {
            status: response.status.as_u16(),
            headers: response.headers,
            body,
            from_cache: response.made_by == MadeBy::Cache,
        };
    }
    let headers = headers(of_upstream);
    for (name, value) in &headers {
        exchange.response.headers.append(name, value.clone());
    }
    plugin.header_filter(&mut exchange);
    let mut sent = Vec::new();
    for piece in body {
        let piece = Bytes::copy_from_slice(piece.as_bytes());
        sent.extend_from_slice(&plugin.body_filter(&mut exchange, piece, false));
    }
    sent.extend_from_slice(&plugin.body_filter(&mut exchange, Bytes::new(), true));
    Got {
        status: exchange.response.status.as_u16(),
        headers: exchange.response.headers,
        body: sent.into(),
        from_cache: false,
    }
}

const TEXT: (&str, &str) = ("content-type", "text/plain");

/// The cache's verdict about a request, when the upstream answers with text and these headers.
fn status(
    plugin: &'static dyn Plugin,
    exchange: Exchange<'static>,
    of_upstream: &[(&str, &str)],
) -> String {
    let of_upstream = [&[TEXT][..], of_upstream].concat();
    run(plugin, exchange, &of_upstream, &["x"]).cache()
}

fn get(target: &str) -> Exchange<'static> {
    exchange("GET", target)
}

fn asking(directives: &str) -> Exchange<'static> {
    with_headers(get("/a"), &[("cache-control", directives)])
}

fn later(mut exchange: Exchange<'static>, seconds: u64) -> Exchange<'static> {
    exchange.times.received_at = UNIX_EPOCH + Duration::from_secs(NOW + seconds);
    exchange
}

#[test]
fn a_response_is_kept_and_answers_later_requests() {
    let plugin = plugin(json!({}));
    let of_upstream = [
        TEXT,
        ("content-length", "4"),
        ("connection", "close"),
        ("age", "7"),
        ("set-cookie", "a=b"),
        ("x-one", "1"),
        ("x-one", "2"),
        ("x-ratelimit-remaining-hour", "3"),
    ];
    let first = run(plugin, get("/a"), &of_upstream, &["bo", "dy"]);
    assert_eq!((first.status, &*first.body), (200, &b"body"[..]));
    assert_eq!(first.cache(), "Miss");
    let key = values(&first.headers, "x-cache-key")[0].to_owned();
    assert_eq!(key.len(), 64);

    let second = run(plugin, later(get("/a"), 9), &[], &[]);
    assert!(second.from_cache);
    assert_eq!((second.status, &*second.body), (200, &b"body"[..]));
    let expected = headers(&[
        TEXT,
        ("set-cookie", "a=b"),
        ("x-one", "1"),
        ("x-one", "2"),
        ("age", "9"),
        ("x-cache-status", "Hit"),
        ("x-cache-key", &key),
    ]);
    assert_eq!(second.headers, expected);
}

#[test]
fn only_some_responses_are_kept() {
    let plugin = plugin(json!({"content_type": ["text/plain", "image/*"]}));
    let run = |target: &str, code: u16, headers: &[(&str, &str)]| {
        let mut exchange = get(target);
        exchange.response.status = code.try_into().unwrap();
        run(plugin, exchange, headers, &["x"]).cache()
    };
    assert_eq!(run("/500", 500, &[TEXT]), "Bypass");
    assert_eq!(run("/500", 500, &[TEXT]), "Bypass");
    assert_eq!(run("/404", 404, &[TEXT]), "Miss");
    assert_eq!(run("/404", 404, &[TEXT]), "Hit");
    assert_eq!(run("/none", 200, &[]), "Bypass");
    let charset = ("content-type", "text/plain; charset=utf-8");
    assert_eq!(run("/charset", 200, &[charset]), "Bypass");
    assert_eq!(run("/image", 200, &[("content-type", "image/png")]), "Miss");
    assert_eq!(run("/image", 200, &[]), "Hit");
    let mut exchange = get("/gateway");
    exchange.response.made_by = MadeBy::Gateway;
    assert_eq!(status(plugin, exchange, &[]), "Bypass");
}

#[test]
fn a_body_that_is_cut_short_or_too_long_is_not_kept() {
    let plugin = plugin(json!({}));
    let mut cut = get("/a");
    assert!(access(plugin, &mut cut).is_none());
    cut.response.headers = headers(&[TEXT]);
    plugin.header_filter(&mut cut);
    plugin.body_filter(&mut cut, Bytes::from_static(b"half"), false);
    drop(cut);
    let long = "x".repeat(5 * 1024 * 1024);
    for _ in 0..2 {
        let got = run(plugin, get("/a"), &[TEXT], &[&long, &long]);
        assert_eq!(
            (got.cache().as_str(), got.body.len()),
            ("Miss", 2 * long.len())
        );
    }
}

#[test]
fn requests_are_told_apart() {
    let miss = |config: Value, first: Exchange<'static>, second: Exchange<'static>| {
        let plugin = plugin(config);
        assert_eq!(status(plugin, first, &[]), "Miss");
        status(plugin, second, &[]) == "Miss"
    };
    assert!(!miss(json!({}), get("/a?x=1&y=2"), get("/a?y=2&x=1")));
    assert!(!miss(json!({}), get("/a?x=1&x=2"), get("/a?x=2&x=1")));
    assert!(!miss(json!({}), get("/a?x=%61"), get("/a?x=a")));
    assert!(miss(json!({}), get("/a?x=1"), get("/a?x=2")));
    assert!(miss(json!({}), get("/a?x"), get("/a?x=")));
    assert!(miss(json!({}), get("/a"), get("/A")));
    assert!(miss(json!({}), get("/a"), exchange("HEAD", "/a")));
    assert!(!miss(
        json!({"ignore_uri_case": true}),
        get("/a"),
        get("/A")
    ));
    let some = || json!({"vary_query_params": ["x"]});
    assert!(!miss(some(), get("/a?x=1&y=1"), get("/a?x=1&y=2")));
    assert!(miss(some(), get("/a?x=1"), get("/a?x=2")));
    let header = |value: &str| with_headers(get("/a"), &[("x-v", value)]);
    assert!(!miss(json!({}), header("1"), header("2")));
    assert!(miss(
        json!({"vary_headers": ["X_V"]}),
        header("1"),
        header("2")
    ));
    assert!(miss(
        json!({"vary_headers": ["x-v"]}),
        header("1"),
        get("/a")
    ));
}

#[test]
fn some_methods_are_passed_over() {
    let plugin = plugin(json!({}));
    let got = run(plugin, exchange("POST", "/a"), &[TEXT], &["x"]);
    assert_eq!(got.cache(), "Bypass");
    assert!(!got.headers.contains_key("x-cache-key"));
    let with_login = || with_headers(get("/a"), &[("authorization", "x")]);
    assert_eq!(status(plugin, with_login(), &[]), "Miss");
    assert_eq!(status(plugin, with_login(), &[]), "Hit");
}

#[test]
fn a_response_is_good_for_a_while() {
    let plugin = plugin(json!({"cache_ttl": 10, "storage_ttl": 60}));
    let at = |seconds| status(plugin, later(get("/a"), seconds), &[]);
    assert_eq!(at(0), "Miss");
    assert_eq!(at(10), "Hit");
    assert_eq!(at(11), "Refresh");
    assert_eq!(at(21), "Hit");
    assert_eq!(at(71), "Miss");
}

#[test]
fn directives_of_responses_count_when_they_are_to() {
    let told = |cache_control: bool, directives: &str| {
        let plugin = plugin(json!({"cache_control": cache_control}));
        status(plugin, get("/a"), &[("cache-control", directives)])
    };
    for directives in [
        "no-store",
        "no-cache",
        "private, max-age=60",
        "max-age=0",
        "s-maxage=0, max-age=60",
        "",
    ] {
        assert_eq!(told(true, directives), "Bypass", "{directives}");
        assert_eq!(told(false, directives), "Miss", "{directives}");
    }
    assert_eq!(told(true, "max-age=60"), "Miss");
    assert_eq!(told(true, "s-maxage=60, max-age=0"), "Miss");
}

#[test]
fn directives_of_requests_count_when_they_are_to() {
    let plugin = plugin(json!({"cache_control": true, "storage_ttl": 900}));
    let run = |directives: &str, seconds| {
        let exchange = later(asking(directives), seconds);
        status(plugin, exchange, &[("cache-control", "max-age=60")])
    };
    let missing = access(plugin, &mut asking("only-if-cached")).unwrap();
    assert_eq!(missing.status, 504);
    assert_eq!(run("no-store", 0), "Bypass");
    assert_eq!(run("max-age=5", 0), "Miss");
    assert_eq!(run("only-if-cached", 0), "Hit");
    assert_eq!(run("max-age=5", 5), "Hit");
    assert_eq!(run("max-age=5", 6), "Refresh");
    assert_eq!(run("min-fresh=60", 6), "Hit");
    assert_eq!(run("min-fresh=60", 7), "Refresh");
    assert_eq!(run("max-stale=1", 68), "Hit");
    assert_eq!(run("max-stale=1", 69), "Refresh");
    assert_eq!(run("no-cache", 69), "Bypass");
    let login = with_headers(get("/a"), &[("authorization", "x")]);
    assert_eq!(status(plugin, login, &[]), "Bypass");
}

#[test]
fn clients_may_be_told_less() {
    let told = json!({"X-Cache-Status": false, "X-Cache-Key": false, "age": false});
    let plugin = plugin(json!({"response_headers": told}));
    for _ in 0..2 {
        let got = run(plugin, get("/a"), &[TEXT], &["x"]);
        assert_eq!(got.headers, headers(&[TEXT]));
    }
    let debugging = with_headers(get("/a"), &[("kong-debug", "1")]);
    assert_eq!(status(plugin, debugging, &[]), "Hit");
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("proxy-cache", json!({"strategy": "memory"})).unwrap();
    let expected = json!({
        "response_code": [200, 301, 404], "request_method": ["GET", "HEAD"],
        "content_type": ["text/plain", "application/json"], "cache_ttl": 300,
        "strategy": "memory", "cache_control": false, "ignore_uri_case": false,
        "storage_ttl": null, "memory": {"dictionary_name": "kong_db_cache"},
        "vary_query_params": null, "vary_headers": null,
        "response_headers": {"age": true, "X-Cache-Status": true, "X-Cache-Key": true},
    });
    assert_eq!(config, expected);
    compiled("proxy-cache", config);
    let problems = |config| validated("proxy-cache", config).unwrap_err()["fields"].clone();
    assert_eq!(
        problems(json!({})),
        json!({"config": {"strategy": "required field missing"}})
    );
    let config = json!({"strategy": "memory", "memory": {"dictionary_name": "nope"}});
    assert_eq!(
        problems(config),
        json!({"@entity": ["missing shared dict 'nope'"]})
    );
}
