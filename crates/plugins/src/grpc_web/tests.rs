use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::exchange::MadeBy;
use crate::grpc::frame;
use crate::response::Body;
use crate::testing::*;
use crate::{Exchange, Plugin};

const PROTO: &str = r#"
syntax = "proto3";
package greet;
service Greeter { rpc Greet(Name) returns (Greeting); }
message Name { string first_name = 1; int64 age = 2; }
message Greeting { string text = 1; int64 count = 2; repeated string more = 3; }
"#;

const PATH: &str = "/greet.Greeter/Greet";

/// `Name { first_name: "ann", age: 7 }` and `Greeting { text: "hi" }` as their services write them.
const NAME: &[u8] = b"\x0a\x03ann\x10\x07";
const GREETING: &[u8] = b"\x0a\x02hi";

fn with_proto(mut config: Value) -> &'static dyn Plugin {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("greet.proto");
    std::fs::write(&file, PROTO).unwrap();
    config["proto"] = file.to_str().unwrap().into();
    compiled("grpc-web", config)
}

fn framed(flags: u8, message: &[u8]) -> Vec<u8> {
    let mut framed = Vec::new();
    frame::write(flags, message, &mut framed);
    framed
}

fn call(path: &str, kind: &str, body: &[u8]) -> Exchange<'static> {
    let mut exchange = with_headers(exchange("POST", path), &[("content-type", kind)]);
    exchange.request_body = Some(Bytes::copy_from_slice(body));
    exchange
}

/// What goes on to the service.
fn asked(plugin: &'static dyn Plugin, exchange: &mut Exchange<'static>) -> Vec<u8> {
    let refused = access(plugin, exchange);
    assert!(refused.is_none(), "{refused:?}");
    assert_eq!(exchange.headers["content-type"], "application/grpc");
    assert_eq!(exchange.headers["te"], "trailers");
    let body = exchange.request_body.clone().unwrap();
    assert_eq!(exchange.headers["content-length"], body.len().to_string());
    body.to_vec()
}

/// What comes back when the service answers in these pieces, with these trailers.
fn answered(
    plugin: &'static dyn Plugin,
    exchange: &mut Exchange<'static>,
    pieces: &[&[u8]],
    trailers: &[(&'static str, &'static str)],
) -> Vec<u8> {
    let headers = &mut exchange.response.headers;
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("content-length", HeaderValue::from_static("99"));
    plugin.header_filter(exchange);
    assert!(!exchange.response.headers.contains_key("content-length"));
    let mut body = Vec::new();
    for piece in pieces {
        let piece = Bytes::copy_from_slice(piece);
        body.extend_from_slice(&plugin.body_filter(exchange, piece, false));
    }
    let mut told = HeaderMap::new();
    for (name, value) in trailers {
        told.insert(*name, HeaderValue::from_static(value));
    }
    exchange.trailers = (!told.is_empty()).then(|| Box::new(told));
    body.extend_from_slice(&plugin.body_filter(exchange, Bytes::new(), true));
    body
}

fn refusal(plugin: &'static dyn Plugin, mut exchange: Exchange<'static>) -> (u16, String) {
    let response = access(plugin, &mut exchange).expect("it is refused");
    match response.body {
        Body::Bytes(text) => {
            let text = String::from_utf8(text.to_vec()).unwrap();
            (response.status.as_u16(), text)
        }
        Body::ErrorPage => (response.status.as_u16(), String::new()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_pass_as_they_are_and_the_status_follows_them() {
    let plugin = compiled("grpc-web", json!({}));
    for kind in ["application/grpc-web", "application/grpc-web+proto"] {
        let mut exchange = call(PATH, kind, &framed(0, NAME));
        assert_eq!(asked(plugin, &mut exchange), framed(0, NAME));
        let message = framed(0, GREETING);
        let (one, two) = message.split_at(3);
        let body = answered(plugin, &mut exchange, &[one, two], &[("grpc-status", "0")]);
        let end = framed(0x80, b"grpc-status:0\r\ngrpc-message:\r\n");
        assert_eq!(body, [message, end].concat());
        assert_eq!(exchange.response.headers["content-type"], kind);
        let origin = &exchange.response.headers["access-control-allow-origin"];
        assert_eq!(origin, "*");
    }
}

#[test]
fn everything_is_in_base64_for_clients_that_read_text() {
    let plugin = compiled("grpc-web", json!({}));
    let sent = BASE64_STANDARD.encode(framed(0, NAME));
    let mut exchange = call(PATH, "application/grpc-web-text", sent.as_bytes());
    assert_eq!(asked(plugin, &mut exchange), framed(0, NAME));
    let trailers = [
        ("grpc-status", "5"),
        ("grpc-message", "no%20such"),
        ("x-more", "1"),
    ];
    let body = answered(plugin, &mut exchange, &[&framed(0, GREETING)], &trailers);
    let end = framed(
        0x80,
        b"grpc-status:5\r\ngrpc-message:no%20such\r\nx-more:1\r\n",
    );
    let expected = BASE64_STANDARD.encode(framed(0, GREETING)) + &BASE64_STANDARD.encode(end);
    assert_eq!(String::from_utf8(body).unwrap(), expected);

    let odd = call(PATH, "application/grpc-web-text", b"?");
    assert_eq!(refusal(plugin, odd).0, 400);
}

#[test]
fn json_is_translated_both_ways() {
    let plugin = with_proto(json!({}));
    let sent = br#"{"first_name": "ann", "age": 7, "unknown": true}"#;
    let mut exchange = call(PATH, "application/json", sent);
    assert_eq!(asked(plugin, &mut exchange), framed(0, NAME));
    let message = framed(0, GREETING);
    let body = answered(plugin, &mut exchange, &[&message[..6], &message[6..]], &[]);
    let greeting: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(greeting, json!({"text": "hi", "count": 0, "more": []}));

    let kind = "application/grpc-web-text+json";
    let sent = BASE64_STANDARD.encode(framed(0, br#"{"firstName": "ann", "age": "7"}"#));
    let mut exchange = call(PATH, kind, sent.as_bytes());
    assert_eq!(asked(plugin, &mut exchange), framed(0, NAME));
    let body = answered(plugin, &mut exchange, &[&message], &[("grpc-status", "0")]);
    let body = super::form::from_base64(&body).unwrap();
    let json = framed(0, br#"{"text":"hi","count":0,"more":[]}"#);
    let end = framed(0x80, b"grpc-status:0\r\ngrpc-message:\r\n");
    assert_eq!(body, [json, end].concat());
}

#[test]
fn what_cannot_be_translated_is_refused() {
    let plugin = with_proto(json!({}));
    let bare = compiled("grpc-web", json!({}));
    let missing = compiled("grpc-web", json!({"proto": "/nonexistent.proto"}));
    let json = |path: &str, body: &[u8]| call(path, "application/json", body);
    let no_file = "transcoding requests require a .proto file defining the service";
    assert_eq!(refusal(bare, json(PATH, b"{}")), (400, no_file.to_owned()));
    assert_eq!(refusal(bare, exchange("POST", PATH)).1, no_file);
    assert_eq!(refusal(missing, json(PATH, b"{}")).0, 500);
    let unknown = refusal(plugin, json("/greet.Greeter/Leave", b"{}"));
    let expected = r#"Unknown path "/greet.Greeter/Leave""#.to_owned();
    assert_eq!(unknown, (400, expected));
    for odd in [&b""[..], b"{", b"[]", br#"{"age": "x"}"#, b"{} {}"] {
        assert_eq!(refusal(plugin, json(PATH, odd)).0, 400);
    }
    let cut = call(PATH, "application/grpc-web+json", &framed(0, b"{}")[..6]);
    assert_eq!(refusal(plugin, cut).0, 400);
    assert_eq!(refusal(plugin, call(PATH, "text/plain", b"")).0, 415);
    // Where nothing is translated, no file is needed.
    let mut plain = call(PATH, "application/grpc-web+proto", b"");
    assert!(access(missing, &mut plain).is_none());
}

#[test]
fn a_message_that_does_not_fit_ends_the_response_with_an_error() {
    let plugin = with_proto(json!({}));
    for odd in [framed(0, b"\xff"), framed(1, b"x"), vec![0, 0xff, 0, 0, 0]] {
        let mut exchange = call(PATH, "application/grpc-web+json", &framed(0, b"{}"));
        asked(plugin, &mut exchange);
        let body = answered(plugin, &mut exchange, &[&odd], &[("grpc-status", "0")]);
        assert_eq!(body[0], 0x80);
        assert!(body[5..].starts_with(b"grpc-status:13\r\n"));
    }
}

#[test]
fn the_status_is_told_whoever_ended_the_call() {
    let plugin = compiled("grpc-web", json!({}));
    let end = |prepare: &dyn Fn(&mut Exchange<'static>)| {
        let mut exchange = call(PATH, "application/grpc-web", b"");
        asked(plugin, &mut exchange);
        let headers = &mut exchange.response.headers;
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        prepare(&mut exchange);
        plugin.header_filter(&mut exchange);
        let body = Bytes::from_static(b"an error page");
        let body = plugin.body_filter(&mut exchange, body, true);
        String::from_utf8_lossy(&body).into_owned()
    };
    // There is nothing after a response without a body: its headers tell.
    let told = end(&|exchange| {
        let headers = &mut exchange.response.headers;
        headers.insert("grpc-status", HeaderValue::from_static("7"));
    });
    assert!(told.contains("grpc-status:7\r\n"), "{told}");
    let failed = end(&|exchange| {
        exchange.response.made_by = MadeBy::Gateway;
        exchange.response.status = StatusCode::BAD_GATEWAY;
    });
    assert!(failed.contains("grpc-status:14\r\n"), "{failed}");
    assert!(!failed.contains("an error page"), "{failed}");
}

#[test]
fn browsers_are_told_that_they_may_call() {
    for (config, origin) in [
        (json!({}), "*"),
        (
            json!({"allow_origin_header": "https://a.test"}),
            "https://a.test",
        ),
    ] {
        let plugin = compiled("grpc-web", config);
        let mut exchange = exchange("OPTIONS", PATH);
        assert!(!plugin.wants_request_body(&exchange));
        let response = access(plugin, &mut exchange).unwrap();
        assert_eq!(response.status, 200);
        let headers = &response.headers;
        assert_eq!(headers["access-control-allow-origin"], origin);
        assert_eq!(headers["access-control-allow-methods"], "POST");
        plugin.header_filter(&mut exchange);
        let body = plugin.body_filter(&mut exchange, Bytes::from_static(b"OK"), true);
        assert_eq!(body, "OK");
    }
}

#[test]
fn the_service_is_called_by_the_whole_path_unless_the_rest_is_asked_for() {
    for (config, expected) in [
        (json!({}), "/api/greet.Greeter/Greet"),
        (json!({"pass_stripped_path": true}), PATH),
    ] {
        let plugin = compiled("grpc-web", config);
        let target = format!("/api{PATH}");
        let mut exchange = call(&target, "application/grpc-web", b"");
        exchange.upstream.path = PATH.to_owned();
        asked(plugin, &mut exchange);
        assert_eq!(exchange.upstream.path, expected);
    }
}

#[test]
fn settings_are_completed_and_checked() {
    let config = validated("grpc-web", json!({})).unwrap();
    let expected = json!({
        "proto": null, "pass_stripped_path": null, "allow_origin_header": "*",
    });
    assert_eq!(config, expected);
    compiled("grpc-web", config);
    let message = refused("grpc-web", json!({"allow_origin_header": "a\nb"}));
    assert!(message.contains("config.allow_origin_header"), "{message}");
}
