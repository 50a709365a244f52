use std::time::{Duration, UNIX_EPOCH};

use ::base64::Engine;
use ::base64::prelude::BASE64_STANDARD;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use http::Version;
use keelgate_entities::Reference;
use keelgate_entities::kinds::HmacAuthCredential;
use serde_json::{Value, json};

use crate::response::Body;
use crate::testing::*;
use crate::{Directory, Exchange, Plugin};

/// The date of [`NOW`].
const DATE: &str = "Thu, 29 Feb 2024 12:34:56 GMT";

fn callers() -> Directory {
    let signer = |username: &str, secret: Option<&str>| HmacAuthCredential {
        id: KEY,
        consumer: Reference(ALICE),
        username: username.to_owned(),
        secret: secret.map(str::to_owned),
        tags: None,
    };
    directory().with_hmac_auth(vec![signer("alice", Some("hs")), signer("mute", None)])
}

fn plugin(config: Value) -> &'static dyn Plugin {
    compiled_for(callers(), "hmac-auth", config)
}

fn sign(method: hmac::Algorithm, secret: &str, text: &str) -> String {
    let key = hmac::Key::new(method, secret.as_bytes());
    BASE64_STANDARD.encode(hmac::sign(&key, text.as_bytes()))
}

fn parameters(algorithm: &str, headers: &str, signature: &str) -> String {
    format!(
        "hmac username=\"alice\", algorithm=\"{algorithm}\", headers=\"{headers}\", \
         signature=\"{signature}\""
    )
}

/// Alice's signature over a text that stands for these headers.
fn signature(headers: &str, text: &str) -> String {
    parameters("hmac-sha256", headers, &sign(hmac::HMAC_SHA256, "hs", text))
}

/// Alice's signature over [`DATE`].
fn over_date() -> String {
    signature("date", &format!("date: {DATE}"))
}

fn request(headers: &[(&str, &str)]) -> Exchange<'static> {
    with_headers(exchange("GET", "/a"), headers)
}

/// Who the caller is taken for, or why it is refused.
fn caller(plugin: &'static dyn Plugin, exchange: &mut Exchange<'static>) -> Result<String, String> {
    match access(plugin, exchange) {
        None => Ok(exchange.consumer.unwrap().username.clone().unwrap()),
        Some(response) => {
            assert!(exchange.consumer.is_none() && exchange.credential.is_none());
            assert_eq!(response.status, 401);
            assert_eq!(values(&response.headers, "www-authenticate"), ["hmac"]);
            match response.body {
                Body::Error(message) => Err(message),
                other => panic!("{other:?}"),
            }
        }
    }
}

fn alice() -> Result<String, String> {
    Ok("alice".to_owned())
}

fn refused(message: &str) -> Result<String, String> {
    Err(message.to_owned())
}

const UNDATED: &str = "HMAC signature cannot be verified, a valid date or x-date header is required for HMAC Authentication";
const UNVERIFIABLE: &str = "HMAC signature cannot be verified";
const DIFFERENT: &str = "HMAC signature does not match";

#[test]
fn a_signed_request_is_let_through() {
    let plugin = plugin(json!({}));
    for header in ["authorization", "proxy-authorization"] {
        let mut exchange = request(&[("date", DATE), (header, &over_date())]);
        assert_eq!(caller(plugin, &mut exchange), alice());
        assert_eq!(exchange.credential.unwrap().id, KEY);
        assert_eq!(
            values(&exchange.headers, "x-credential-identifier"),
            ["alice"]
        );
        assert_eq!(
            values(&exchange.headers, "x-consumer-custom-id"),
            ["alice-cid"]
        );
        assert!(exchange.headers.contains_key(header));
    }
}

#[test]
fn every_algorithm_signs() {
    let text = format!("date: {DATE}");
    for (name, method) in [
        ("hmac-sha1", hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        ("hmac-sha256", hmac::HMAC_SHA256),
        ("hmac-sha384", hmac::HMAC_SHA384),
        ("hmac-sha512", hmac::HMAC_SHA512),
    ] {
        let right = sign(method, "hs", &text);
        let run = |config: Value, signature: &str| {
            let header = parameters(name, "date", signature);
            let headers = [("date", DATE), ("authorization", &*header)];
            caller(plugin(config), &mut request(&headers))
        };
        assert_eq!(run(json!({}), &right), alice(), "{name}");
        assert_eq!(
            run(json!({}), right.trim_end_matches('=')),
            alice(),
            "{name}"
        );
        let wrong = sign(method, "other", &text);
        assert_eq!(run(json!({}), &wrong), refused(DIFFERENT), "{name}");
        let others = ["hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512"];
        let others: Vec<_> = others.into_iter().filter(|other| *other != name).collect();
        assert_eq!(
            run(json!({"algorithms": others}), &right),
            refused(UNVERIFIABLE)
        );
    }
}

#[test]
fn the_algorithm_cannot_be_chosen_apart_from_the_signature() {
    let plugin = plugin(json!({}));
    let text = format!("date: {DATE}");
    let run = |algorithm: &str, signature: &str| {
        let header = parameters(algorithm, "date", signature);
        caller(
            plugin,
            &mut request(&[("date", DATE), ("authorization", &header)]),
        )
    };
    let sha256 = sign(hmac::HMAC_SHA256, "hs", &text);
    assert_eq!(run("hmac-sha1", &sha256), refused(DIFFERENT));
    assert_eq!(run("hmac-sha512", &sha256), refused(DIFFERENT));
    for unknown in ["none", "HMAC-SHA256", "hmac-md5", "hmac-sha224", " "] {
        assert_eq!(run(unknown, &sha256), refused(UNVERIFIABLE), "{unknown}");
    }
    for broken in [
        "=",
        "AAAA",
        "!!!!",
        &sha256[1..],
        &format!("{sha256}AAAA")[..sha256.len() - 4],
    ] {
        assert_eq!(run("hmac-sha256", broken), refused(DIFFERENT), "{broken}");
    }
}

#[test]
fn what_cannot_be_verified_is_refused() {
    let plugin = plugin(json!({}));
    assert_eq!(caller(plugin, &mut request(&[])), refused("Unauthorized"));
    let dated = |value: &str| {
        caller(
            plugin,
            &mut request(&[("date", DATE), ("authorization", value)]),
        )
    };
    for value in ["hmac", "Basic x", "hmac username=\"alice\"", ""] {
        assert_eq!(dated(value), refused(UNVERIFIABLE), "{value}");
    }
    let of = |username: &str| over_date().replace("\"alice\"", &format!("\"{username}\""));
    for unknown in ["nobody", "mute", "Alice", "alice ", "../alice"] {
        assert_eq!(dated(&of(unknown)), refused(UNVERIFIABLE), "{unknown}");
    }
}

#[test]
fn a_request_must_be_dated_before_its_signature_counts() {
    let plugin = plugin(json!({"clock_skew": 10}));
    let run = |date: &str, x_date: Option<&str>| {
        let signature = signature("date", &format!("date: {date}"));
        let mut headers = vec![("date", date), ("authorization", &*signature)];
        headers.extend(x_date.map(|date| ("x-date", date)));
        caller(plugin, &mut request(&headers))
    };
    for near in [
        DATE,
        "Thu, 29 Feb 2024 12:34:46 GMT",
        "Thu, 29 Feb 2024 12:35:06 GMT",
        "Thu, 29 Feb 2024 12:34:56 -0000",
        "Mon, 29 Feb 2024 12:34:56 GMT",
        "Thursday, 29-Feb-24 12:34:56 GMT",
        "Thu Feb 29 12:34:56 2024",
    ] {
        assert_eq!(run(near, None), alice(), "{near}");
    }
    for far in [
        "Thu, 29 Feb 2024 12:34:45 GMT",
        "Thu, 29 Feb 2024 12:35:07 GMT",
        "Wed, 28 Feb 2024 12:34:56 GMT",
        "Thu, 30 Feb 2024 12:34:56 GMT",
        "2024-02-29T12:34:56Z",
        "1709210096",
        "nonsense",
        "",
    ] {
        assert_eq!(run(far, None), refused(UNDATED), "{far}");
        assert_eq!(run(far, Some(DATE)), alice(), "{far}");
        assert_eq!(run(DATE, Some(far)), alice(), "{far}");
    }
    // Before a signature is even looked for.
    assert_eq!(
        caller(plugin, &mut request(&[("authorization", "x")])),
        refused(UNDATED)
    );
}

#[test]
fn a_recorded_request_is_void_after_a_while() {
    let plugin = plugin(json!({}));
    let replayed = |later: u64| {
        let mut exchange = request(&[("date", DATE), ("authorization", &over_date())]);
        exchange.times.received_at = UNIX_EPOCH + Duration::from_secs(NOW + later);
        caller(plugin, &mut exchange)
    };
    assert_eq!(replayed(300), alice());
    assert_eq!(replayed(301), refused(UNDATED));
    // A new date does not go with the old signature.
    let now = "Thu, 29 Feb 2024 12:40:00 GMT";
    let mut exchange = request(&[("date", now), ("authorization", &over_date())]);
    exchange.times.received_at = UNIX_EPOCH + Duration::from_secs(NOW + 304);
    assert_eq!(caller(plugin, &mut exchange), refused(DIFFERENT));
}

#[test]
fn the_target_may_be_signed() {
    let plugin = plugin(json!({}));
    let run = |target: &str, version: Version, names: &str, line: &str| {
        let text = format!("date: {DATE}\n{line}");
        let signature = signature(names, &text);
        let headers = [("date", DATE), ("authorization", &*signature)];
        let mut exchange = with_headers(exchange("POST", target), &headers);
        exchange.version = version;
        caller(plugin, &mut exchange)
    };
    let line = "date request-line";
    let old = Version::HTTP_10;
    assert_eq!(
        run(
            "/a%20b?x=1",
            Version::HTTP_11,
            line,
            "POST /a%20b?x=1 HTTP/1.1"
        ),
        alice()
    );
    assert_eq!(run("/a", old, line, "POST /a HTTP/1.0"), alice());
    assert_eq!(
        run("/a?", Version::HTTP_2, line, "POST /a? HTTP/2.0"),
        alice()
    );
    let other = run("/a?x=2", Version::HTTP_11, line, "POST /a?x=1 HTTP/1.1");
    assert_eq!(other, refused(DIFFERENT));
    let target = "date @request-target";
    let right = "@request-target: post /a?x=1";
    assert_eq!(run("/a?x=1", Version::HTTP_11, target, right), alice());
    assert_eq!(
        run("/a?x=2", Version::HTTP_11, target, right),
        refused(DIFFERENT)
    );
}

#[test]
fn headers_are_signed_as_they_are_named() {
    let plugin = plugin(json!({}));
    let run = |names: &str, text: &str| {
        let signature = signature(names, text);
        let headers = [
            ("date", DATE),
            ("x-a", "1"),
            ("x-a", "2"),
            ("authorization", &*signature),
        ];
        caller(plugin, &mut request(&headers))
    };
    assert_eq!(
        run("Date host", &format!("Date: {DATE}\nhost: example.test")),
        alice()
    );
    assert_eq!(run("x-a x_a", "x-a: 1\nx_a: 1"), alice());
    assert_eq!(
        run("x-none date", &format!("x-none:\ndate: {DATE}")),
        alice()
    );
    assert_eq!(run("date", &format!("Date: {DATE}")), refused(DIFFERENT));
}

#[test]
fn some_headers_may_have_to_be_signed() {
    let plugin = plugin(json!({"enforce_headers": ["date", "request-line"]}));
    let run = |names: &str, text: &str| {
        let signature = signature(names, text);
        caller(
            plugin,
            &mut request(&[("date", DATE), ("authorization", &signature)]),
        )
    };
    let both = format!("GET /a HTTP/1.1\ndate: {DATE}");
    assert_eq!(run("request-line date", &both), alice());
    assert_eq!(run("date", &format!("date: {DATE}")), refused(UNVERIFIABLE));
}

#[test]
fn the_digest_must_fit_the_body() {
    let plugin = plugin(json!({"validate_request_body": true}));
    assert!(plugin.phases().request_body);
    let digest_of = |body: &str| {
        let digest = digest(&SHA256, body.as_bytes());
        format!("SHA-256={}", BASE64_STANDARD.encode(digest))
    };
    let run = |body: &str, digest: Option<&str>| {
        let mut headers = vec![("date", DATE)];
        headers.extend(digest.map(|digest| ("digest", digest)));
        let mut exchange = with_headers(
            with_body(exchange("POST", "/a"), "text/plain", body),
            &headers,
        );
        let value = over_date();
        exchange
            .headers
            .insert("authorization", value.parse().unwrap());
        caller(plugin, &mut exchange)
    };
    assert_eq!(run("hello", Some(&digest_of("hello"))), alice());
    assert_eq!(run("", None), alice());
    assert_eq!(run("hello", None), refused(DIFFERENT));
    assert_eq!(run("hello", Some(&digest_of("hellO"))), refused(DIFFERENT));
    assert_eq!(run("hello", Some("SHA-256=")), refused(DIFFERENT));
}

#[test]
fn a_hidden_signature_does_not_reach_the_upstream() {
    let plugin = plugin(json!({"hide_credentials": true}));
    let value = over_date();
    let both = [
        ("date", DATE),
        ("authorization", &*value),
        ("proxy-authorization", "x"),
    ];
    let mut exchange = request(&both);
    assert_eq!(caller(plugin, &mut exchange), alice());
    assert!(!exchange.headers.contains_key("authorization"));
    assert!(exchange.headers.contains_key("proxy-authorization"));
    let both = [
        ("date", DATE),
        ("authorization", "x"),
        ("proxy-authorization", &*value),
    ];
    let mut exchange = request(&both);
    assert_eq!(caller(plugin, &mut exchange), alice());
    assert!(exchange.headers.contains_key("authorization"));
    assert!(!exchange.headers.contains_key("proxy-authorization"));
}

#[test]
fn requests_without_a_right_signature_may_be_anonymous() {
    let plugin = plugin(json!({"anonymous": "bob"}));
    assert_eq!(caller(plugin, &mut request(&[])), Ok("bob".to_owned()));
    let mut signed = request(&[("date", DATE), ("authorization", &over_date())]);
    assert_eq!(caller(plugin, &mut signed), alice());
}

#[test]
fn the_realm_is_named() {
    let plugin = plugin(json!({"realm": "r"}));
    let response = access(plugin, &mut request(&[])).unwrap();
    assert_eq!(
        values(&response.headers, "www-authenticate"),
        ["hmac realm=\"r\""]
    );
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("hmac-auth", json!({})).unwrap();
    let expected = json!({
        "hide_credentials": false, "clock_skew": 300, "anonymous": null,
        "validate_request_body": false, "enforce_headers": [], "realm": null,
        "algorithms": ["hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512"],
    });
    assert_eq!(config, expected);
    compiled("hmac-auth", config);
    let error = validated("hmac-auth", json!({"clock_skew": 0})).unwrap_err();
    assert_eq!(
        error["fields"]["config"]["clock_skew"],
        "value must be greater than 0"
    );
    validated("hmac-auth", json!({"algorithms": ["hmac-md5"]})).unwrap_err();
}

#[test]
fn secrets_do_not_show() {
    let shown = format!("{:?}", callers());
    assert!(!shown.contains("\"hs\""), "{shown}");
}
