use ::base64::Engine;
use ::base64::prelude::BASE64_STANDARD;
use aws_lc_rs::hmac;
use serde_json::json;

use crate::response::Body;
use crate::testing::*;

const SECRET: &str = "webhook secret";

fn sign(secret: &str, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!(
        "v1,{}",
        BASE64_STANDARD.encode(hmac::sign(&key, text.as_bytes()))
    )
}

/// Whether a webhook with these headers is let through.
fn passes(headers: &[(&str, &str)], body: &str) -> bool {
    let config = json!({"secret_v1": SECRET, "tolerance_second": 60});
    let plugin = compiled("standard-webhooks", config);
    let mut exchange = with_headers(with_body(exchange("POST", "/a"), "a/b", body), headers);
    match access(plugin, &mut exchange) {
        None => true,
        Some(response) => {
            assert_eq!(response.status, 400);
            assert!(matches!(response.body, Body::Error(m) if m == "Bad request"));
            false
        }
    }
}

/// Whether a webhook that is signed as its headers say is let through.
fn passes_at(timestamp: &str) -> bool {
    let signature = sign(SECRET, &format!("id.{timestamp}.body"));
    let headers = [
        ("webhook-id", "id"),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", &*signature),
    ];
    passes(&headers, "body")
}

#[test]
fn a_webhook_is_let_through_until_it_is_too_old() {
    for age in [0, 1, 60] {
        assert!(passes_at(&(NOW - age).to_string()), "{age}");
    }
    assert!(passes_at(&(NOW + 3600).to_string()));
    for age in [61, 3600, NOW] {
        assert!(!passes_at(&(NOW - age).to_string()), "{age}");
    }
}

#[test]
fn a_timestamp_is_a_number_of_seconds() {
    let now = NOW.to_string();
    let huge = "9".repeat(40);
    let odd = [
        "",
        "x",
        "inf",
        "nan",
        "-1",
        "0x7fffffffff",
        "1e300",
        "18446744073709551615",
        &huge,
    ];
    for timestamp in odd
        .into_iter()
        .chain([&*format!("+{now}"), &format!("{now}.5")])
    {
        assert!(!passes_at(timestamp), "{timestamp}");
    }
}

#[test]
fn nothing_of_a_webhook_can_be_changed() {
    let now = NOW.to_string();
    let signature = sign(SECRET, &format!("id.{now}.body"));
    let passes = |id: &str, timestamp: &str, signature: &str, body: &str| {
        let headers = [
            ("webhook-id", id),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signature),
        ];
        passes(&headers, body)
    };
    assert!(passes("id", &now, &signature, "body"));
    assert!(!passes("id2", &now, &signature, "body"));
    assert!(!passes("id", &(NOW + 1).to_string(), &signature, "body"));
    assert!(!passes("id", &now, &signature, "bodY"));
    for wrong in [
        sign("another secret", &format!("id.{now}.body")),
        signature.replace("v1,", "v2,"),
        signature.replace("v1,", ""),
        "v1,".to_owned(),
        "v1,!".to_owned(),
        String::new(),
    ] {
        assert!(!passes("id", &now, &wrong, "body"), "{wrong}");
    }
    assert!(!passes(
        "id",
        &now,
        &sign(SECRET, &format!("id.{now}.")),
        ""
    ));
}

#[test]
fn every_header_is_needed() {
    let now = NOW.to_string();
    let signature = sign(SECRET, &format!("id.{now}.body"));
    let all = [
        ("webhook-id", "id"),
        ("webhook-timestamp", &*now),
        ("webhook-signature", &*signature),
    ];
    assert!(passes(&all, "body"));
    for missing in 0..all.len() {
        let mut some = all.to_vec();
        some.remove(missing);
        assert!(!passes(&some, "body"), "{missing}");
    }
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("standard-webhooks", json!({"secret_v1": "s"})).unwrap();
    assert_eq!(config, json!({"secret_v1": "s", "tolerance_second": 300}));
    compiled("standard-webhooks", config);
    validated("standard-webhooks", json!({})).unwrap_err();
    validated(
        "standard-webhooks",
        json!({"secret_v1": "s", "tolerance_second": -1}),
    )
    .unwrap_err();
}
