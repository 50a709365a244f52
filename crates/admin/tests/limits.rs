//! Clients that are slow, or send too much, on a real listener.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[allow(dead_code)]
mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use keelgate_admin::{Mode, Patience};
use keelgate_store::{MemoryStore, Store};
use serde_json::json;
use support::{Api, request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const BODY_LIMIT: usize = 8 << 20;

/// Sends bytes as they are, then reads to the end of the connection.
async fn tell(address: SocketAddr, sent: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(sent).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// An API that waits a moment for its clients.
async fn impatient() -> SocketAddr {
    let schemas = keelgate_entities::Schemas::new(support::plugin_schemas());
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(schemas)));
    let moment = Duration::from_millis(300);
    let patience = Patience {
        head: moment,
        body: moment,
    };
    support::start_within(support::admin(store, Mode::Database).router(), patience).await
}

#[tokio::test]
async fn a_head_that_does_not_come_to_its_end_is_answered_with_408() {
    let address = impatient().await;
    // What a stalled machine sends too late has not begun in time.
    let answer = loop {
        let answer = tell(address, b"GET /services HTTP/1.1\r\nhost: a\r\nx-slow: ").await;
        if !answer.is_empty() {
            break answer;
        }
    };
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_client_that_says_nothing_is_hung_up_on() {
    let address = impatient().await;
    assert_eq!(tell(address, b"").await, "");
    let served = "GET /status HTTP/1.1\r\nhost: a\r\n\r\n";
    let answer = tell(address, served.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(
        answer.matches("HTTP/1.1").count(),
        1,
        "no 408 between requests"
    );
}

#[tokio::test]
async fn a_body_that_does_not_come_to_its_end_is_answered_with_408() {
    let address = impatient().await;
    for framing in ["content-length: 20", "transfer-encoding: chunked"] {
        let head = format!(
            "POST /services HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n{framing}\r\n\r\n"
        );
        let answer = loop {
            let answer = tell(address, format!("{head}1\r\n{{").as_bytes()).await;
            // The head itself may have been late.
            if !answer.is_empty() && !answer.ends_with("content-length: 0\r\n\r\n") {
                break answer;
            }
        };
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("408 Request Timeout</h1>"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_answered_with_413_however_it_comes() {
    let api = Api::database().await;
    let body = format!("{{\"name\": \"{}\"}}", "x".repeat(2 * BODY_LIMIT));
    let head = "POST /services HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let whole = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    let chunks: Vec<String> = body
        .as_bytes()
        .chunks(1 << 20)
        .map(|chunk| {
            format!(
                "{:x}\r\n{}\r\n",
                chunk.len(),
                str::from_utf8(chunk).unwrap()
            )
        })
        .collect();
    let chunked = format!(
        "{head}transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunks.concat()
    );
    for sent in [whole, chunked] {
        // All of it is written before the answer is read.
        let answer = tell(api.address, sent.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("server: keelgate/"), "{answer}");
    }
    assert_eq!(api.get("/services").await.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn heads_above_the_limits_are_answered_with_431_or_414() {
    let api = Api::database().await;
    let address = api.address;
    let line = |name: &str, length: usize| format!("{name}: {}\r\n", "x".repeat(length));
    let ask = async |target: &str, headers: &str| {
        let head =
            format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n");
        let answer = tell(address, head.as_bytes()).await;
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(ask("/services", &line("x-long", 30_000)).await, "200");
    assert_eq!(ask("/services", &line("x-long", 300_000)).await, "431");
    let many: String = (0..500)
        .map(|number| line(&format!("x-{number}"), 1))
        .collect();
    assert_eq!(ask("/services", &many).await, "431");
    assert_eq!(
        ask(&format!("/services?tags={}", "x".repeat(30_000)), "").await,
        "200"
    );
    let status = ask(&format!("/{}", "x".repeat(300_000)), "").await;
    assert!(["414", "431"].contains(&&*status), "{status}");
    assert_eq!(ask("/services", "no colon\r\n").await, "400");
}

#[tokio::test]
async fn bodies_that_nest_without_end_are_refused() {
    let (database, dbless) = (Api::database().await, Api::dbless().await);
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for depth in [200, 100_000] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let body = format!("{{\"name\": \"echo\", \"config\": {nested}}}");
            let headers = [("content-type", "application/json")];
            let answer = request(database.address, "POST", "/plugins", &headers, body).await;
            let message = &answer.expect(400)["message"];
            assert_eq!(message, "Cannot parse JSON body", "{open} {depth}");
            for media_type in ["application/json", "text/yaml"] {
                let document = format!("{{\"_format_version\": \"3.0\", \"services\": {nested}}}");
                let headers = [("content-type", media_type)];
                let answer = request(dbless.address, "POST", "/config", &headers, document).await;
                assert_eq!(answer.status, 400, "{open} {depth} {media_type}");
            }
        }
    }
    let form = format!("name=echo&config.{}=1", "a.".repeat(5_000) + "a");
    let answer = database.form("POST", "/plugins", &form).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert_eq!(database.get("/status").await.status, 200);
}

#[tokio::test]
async fn http2_is_spoken_with_those_who_begin_with_it() {
    let api = Api::database().await;
    let address = api.address;
    let socket = TcpStream::connect(address).await.unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let stream = hyper_util::rt::TokioIo::new(socket);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let ask = |header: String| {
        http::Request::get("http://admin.test/services")
            .header("x-long", header)
            .body(String::new())
            .unwrap()
    };
    let answer = sender.send_request(ask("x".to_owned())).await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer = sender.send_request(ask("x".repeat(100_000))).await.unwrap();
    assert_eq!(answer.status(), 431);
}
