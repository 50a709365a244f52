use bytes::Bytes;
use http::HeaderValue;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};

use crate::exchange::MadeBy;
use crate::grpc::{frame, proto};
use crate::response::Body;
use crate::testing::*;
use crate::{Exchange, Plugin};

const PROTO: &str = r#"
syntax = "proto3";
package shelf;
import "google/api/annotations.proto";
import "google/protobuf/timestamp.proto";
service Library {
  rpc GetBook(BookRequest) returns (Book) {
    option (google.api.http) = {
      get: "/v1/{name=shelves/*/books/*}"
      additional_bindings { get: "/v1/books/{id}" }
    };
  }
  rpc PutBook(PutRequest) returns (Book) {
    option (google.api.http) = { put: "/v1/books/{book.id}" body: "book" };
  }
  rpc Find(BookRequest) returns (Book) {
    option (google.api.http) = { post: "/v1/books:find" body: "*" };
  }
  rpc Unbound(Book) returns (Book);
}
enum Kind { UNKNOWN = 0; NOVEL = 1; }
message Filter { Kind kind = 1; bool old = 2; repeated string words = 3; }
message BookRequest { string name = 1; int64 id = 2; Filter filter = 3; }
message PutRequest { Book book = 1; bool dry = 2; }
message Book { int64 id = 1; string title = 2; google.protobuf.Timestamp at = 3; }
"#;

/// The plugin, and what it read.
fn library() -> (&'static dyn Plugin, prost_reflect::DescriptorPool) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("library.proto");
    std::fs::write(&file, PROTO).unwrap();
    let file = file.to_str().unwrap();
    let plugin = compiled("grpc-gateway", json!({"proto": file}));
    (plugin, proto::load(file).unwrap())
}

fn request(method: &str, target: &str, body: &str) -> Exchange<'static> {
    let mut exchange = exchange(method, target);
    exchange.request_body = Some(Bytes::copy_from_slice(body.as_bytes()));
    exchange
}

/// What the service is called by, and the message that it gets, as JSON without defaults.
fn called(method: &str, target: &str, body: &str) -> (String, Value) {
    let (plugin, pool) = library();
    let mut exchange = request(method, target, body);
    let refused = access(plugin, &mut exchange);
    assert!(refused.is_none(), "{refused:?}");
    assert_eq!(exchange.method, "POST");
    assert_eq!(exchange.query, None);
    assert_eq!(exchange.headers["content-type"], "application/grpc");
    assert_eq!(exchange.headers["te"], "trailers");
    let path = exchange.upstream.path.clone();
    let kind = proto::by_path(&pool)[&path].input();
    let body = exchange.request_body.unwrap();
    let mut frames = frame::Frames::default();
    frames.push(&body);
    let message = frames.next().unwrap().unwrap();
    assert!(frames.is_empty());
    let message = DynamicMessage::decode(kind, message).unwrap();
    (path, serde_json::to_value(&message).unwrap())
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
fn the_path_and_the_query_fill_the_message() {
    let get = "/shelf.Library/GetBook";
    assert_eq!(
        called("GET", "/v1/shelves/a%20b/books/2", ""),
        (get.to_owned(), json!({"name": "shelves/a b/books/2"}))
    );
    let target = "/v1/books/7?filter.kind=NOVEL&filter.old=1&filter.words=a&filter.words=b+c&odd=1";
    let filter = json!({"kind": "NOVEL", "old": true, "words": ["a", "b c"]});
    assert_eq!(
        called("GET", target, ""),
        (get.to_owned(), json!({"id": "7", "filter": filter}))
    );
    let number = called("GET", "/v1/books/7?filter.kind=1&filter.old=false", "");
    assert_eq!(number.1["filter"], json!({"kind": "NOVEL"}));
}

#[test]
fn the_body_fills_a_field_or_the_message() {
    let target = "/v1/books/7?dry=true";
    let body = r#"{"title": "t", "at": "2024-02-29T12:34:56Z", "odd": 1}"#;
    let (path, message) = called("PUT", target, body);
    assert_eq!(path, "/shelf.Library/PutBook");
    let book = json!({"title": "t", "at": "2024-02-29T12:34:56Z"});
    assert_eq!(message, json!({"book": book, "dry": true}));
    let (path, message) = called("POST", "/v1/books:find?id=9", r#"{"name": "n", "id": 3}"#);
    assert_eq!(path, "/shelf.Library/Find");
    assert_eq!(message, json!({"name": "n", "id": "3"}));
    assert_eq!(called("POST", "/v1/books:find", "").1, json!({}));
}

#[test]
fn what_cannot_be_translated_is_refused() {
    let (plugin, _) = library();
    let told = |method: &str, target: &str, body: &str| {
        let (status, text) = refusal(plugin, request(method, target, body));
        assert_eq!(status, 400, "{text}");
        text
    };
    assert_eq!(
        told("GET", "/v1/nothing", ""),
        r#"failed to transcode .proto file Unknown path "/v1/nothing""#
    );
    assert_eq!(
        told("DELETE", "/v1/books/7", ""),
        r#"failed to transcode .proto file Unknown method "delete""#
    );
    assert!(told("POST", "/v1/books:find", "{").starts_with("decode json err: "));
    assert_eq!(told("POST", "/v1/books:find", "[]"), "body must be a table");
    assert_eq!(told("GET", "/v1/books/x", ""), "failed to encode payload");
    let bare = compiled("grpc-gateway", json!({}));
    assert_eq!(
        refusal(bare, request("GET", "/v1/books/7", "")).1,
        "transcoding requests require a .proto file defining the service"
    );
    let missing = compiled("grpc-gateway", json!({"proto": "/nonexistent.proto"}));
    assert_eq!(refusal(missing, request("GET", "/v1/books/7", "")).0, 500);
}

/// What a client gets when the service answers so.
fn answered(code: Option<&'static str>, pieces: &[&[u8]]) -> (u16, String) {
    let (plugin, _) = library();
    let mut exchange = request("GET", "/v1/books/7", "");
    assert!(access(plugin, &mut exchange).is_none());
    let headers = &mut exchange.response.headers;
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    if let Some(code) = code {
        headers.insert("grpc-status", HeaderValue::from_static(code));
    }
    plugin.header_filter(&mut exchange);
    let headers = &exchange.response.headers;
    assert_eq!(headers["content-type"], "application/json");
    let mut body = Vec::new();
    for piece in pieces {
        let piece = Bytes::copy_from_slice(piece);
        body.extend_from_slice(&plugin.body_filter(&mut exchange, piece, false));
    }
    body.extend_from_slice(&plugin.body_filter(&mut exchange, Bytes::new(), true));
    let status = exchange.response.status.as_u16();
    (status, String::from_utf8(body).unwrap())
}

#[test]
fn messages_come_back_as_json() {
    let mut message = Vec::new();
    frame::write(0, b"\x08\x07\x12\x01t", &mut message);
    let json = r#"{"id":7,"title":"t"}"#.to_owned();
    let pieces: Vec<&[u8]> = message.chunks(4).collect();
    assert_eq!(answered(None, &pieces), (200, json.clone()));
    let twice = [message.clone(), message.clone()].concat();
    assert_eq!(answered(None, &[&twice]), (200, json.repeat(2)));
    let mut odd = Vec::new();
    frame::write(0, b"\xff", &mut odd);
    let cut = [message, odd, twice].concat();
    assert_eq!(answered(None, &[&cut]), (200, json));
}

#[test]
fn codes_become_statuses() {
    for (code, status) in [("0", 200), ("5", 404), ("16", 401), ("99", 500)] {
        assert_eq!(answered(Some(code), &[]), (status, String::new()));
    }
}

#[test]
fn answers_of_the_gateway_stay_as_they_are() {
    let (plugin, _) = library();
    let mut exchange = request("GET", "/v1/books/7", "");
    assert!(access(plugin, &mut exchange).is_none());
    exchange.response.made_by = MadeBy::Gateway;
    plugin.header_filter(&mut exchange);
    let body = Bytes::from_static(b"{\"message\":\"no\"}");
    assert_eq!(plugin.body_filter(&mut exchange, body.clone(), true), body);
}

#[test]
fn browsers_are_told_that_they_may_call() {
    let plugin = compiled("grpc-gateway", json!({}));
    let response = access(plugin, &mut exchange("OPTIONS", "/v1/books/7")).unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(response.headers["access-control-allow-origin"], "*");
    let methods = &response.headers["access-control-allow-methods"];
    assert_eq!(methods, "GET,POST,PATCH,DELETE");
}

#[test]
fn a_template_that_cannot_be_read_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("odd.proto");
    std::fs::write(&file, PROTO.replace("/v1/books/{id}", "/v1/books/{id")).unwrap();
    let plugin = compiled("grpc-gateway", json!({"proto": file.to_str().unwrap()}));
    assert_eq!(refusal(plugin, request("GET", "/v1/books/7", "")).0, 500);
}
