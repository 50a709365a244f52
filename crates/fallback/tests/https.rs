//! Storages on web servers, against servers that are played over TLS.

#![allow(clippy::unwrap_used)]

mod played_server;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use keelgate_fallback::{
    ErrorKind, Location, SecretHeader, Storage, StorageSettings, TimeOuts, Version, open,
};
use played_server::{Authority, Played, answer};

const LIMIT: u64 = 1 << 20;
const KEY: &str = "0.1.0/config.json";

fn location(server: &Played) -> Location {
    let port = server.address.port();
    format!("https://localhost:{port}/backup").parse().unwrap()
}

/// Settings that trust the authority.
fn trusting(authority: &Authority) -> StorageSettings {
    StorageSettings {
        trusted_certificates: vec![authority.certificate.clone()],
        ..StorageSettings::default()
    }
}

/// A server and a storage on it.
async fn bed(
    respond: impl Fn(&played_server::Asked) -> Response<played_server::Body> + Send + Sync + 'static,
) -> (Played, Arc<dyn Storage>) {
    let authority = Authority::new("localhost");
    let server = Played::tls(&authority, respond).await;
    let storage = open(&location(&server), &trusting(&authority)).unwrap();
    (server, storage)
}

#[tokio::test]
async fn an_object_is_read_and_then_only_when_its_entity_tag_changes() {
    let (server, storage) = bed(|asked| match asked.header("if-none-match") {
        Some("\"one\"") => answer(304, &[("etag", "\"one\"")], ""),
        _ => answer(200, &[("etag", "\"one\"")], "content"),
    })
    .await;
    let object = storage.get(KEY, None, LIMIT).await.unwrap();
    assert_eq!(object.bytes, "content");
    let known = Some(&object.version);
    let error = storage.get(KEY, known, LIMIT).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotModified);
    let asked = server.asked();
    assert_eq!(asked[0].target, "/backup/0.1.0/config.json");
    assert_eq!(asked[0].header("if-none-match"), None);
    assert_eq!(asked[1].header("if-none-match"), Some("\"one\""));
}

#[tokio::test]
async fn a_weak_entity_tag_serves_as_well() {
    let (_server, storage) = bed(|asked| match asked.header("if-none-match") {
        Some("W/\"one\"") => answer(304, &[], ""),
        _ => answer(200, &[("etag", "W/\"one\"")], "content"),
    })
    .await;
    let object = storage.get(KEY, None, LIMIT).await.unwrap();
    let error = storage.get(KEY, Some(&object.version), LIMIT).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::NotModified);
}

#[tokio::test]
async fn without_an_entity_tag_the_time_of_the_last_change_is_compared() {
    const TIME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    let (_server, storage) = bed(|asked| match asked.header("if-modified-since") {
        Some(TIME) => answer(304, &[], ""),
        _ => answer(200, &[("last-modified", TIME)], "content"),
    })
    .await;
    let object = storage.get(KEY, None, LIMIT).await.unwrap();
    let error = storage.get(KEY, Some(&object.version), LIMIT).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::NotModified);
}

#[tokio::test]
async fn a_server_that_knows_no_versions_is_compared_by_content() {
    let (server, storage) = bed(|_| answer(200, &[], "content")).await;
    let object = storage.get(KEY, None, LIMIT).await.unwrap();
    let error = storage.get(KEY, Some(&object.version), LIMIT).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::NotModified);
    for asked in server.asked() {
        assert_eq!(asked.header("if-none-match"), None);
        assert_eq!(asked.header("if-modified-since"), None);
    }
    let other = Version("\"another\"".into());
    assert!(storage.get(KEY, Some(&other), LIMIT).await.is_ok());
}

#[tokio::test]
async fn a_server_that_ignores_conditions_is_noticed() {
    let (_server, storage) = bed(|_| answer(200, &[("etag", "\"one\"")], "content")).await;
    let object = storage.get(KEY, None, LIMIT).await.unwrap();
    let error = storage.get(KEY, Some(&object.version), LIMIT).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::NotModified);
}

#[tokio::test]
async fn no_answer_is_read_beyond_the_limit() {
    let (_server, storage) = bed(|asked| match asked.target.as_str() {
        "/backup/told" => answer(200, &[], &"x".repeat(101)),
        "/backup/fits" => answer(200, &[], &"x".repeat(100)),
        _ => {
            let endless = futures_util::stream::repeat(Bytes::from(vec![b'x'; 40]));
            let frames = endless.map(|bytes| Ok(Frame::data(bytes)));
            Response::new(BodyExt::boxed(StreamBody::new(frames)))
        }
    })
    .await;
    for key in ["told", "endless"] {
        let error = storage.get(key, None, 100).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooLarge, "{error}");
    }
    assert_eq!(
        storage.get("fits", None, 100).await.unwrap().bytes.len(),
        100
    );
}

#[tokio::test]
async fn redirects_are_not_followed_and_their_queries_not_told() {
    let elsewhere = Played::plain(|_| answer(200, &[], "stolen")).await;
    let target = format!("{}/x?signature=hunter2", elsewhere.url());
    let (_server, storage) = bed(move |_| answer(302, &[("location", &target)], "")).await;
    let error = storage.get(KEY, None, LIMIT).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    let text = error.to_string();
    assert!(text.contains("redirects are not followed"), "{text}");
    assert!(text.contains("127.0.0.1"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn headers_of_the_settings_are_sent_and_never_shown() {
    let authority = Authority::new("localhost");
    let server = Played::tls(&authority, |asked| match asked.header("authorization") {
        Some("Bearer right") => answer(200, &[], "content"),
        _ => answer(401, &[], "who?"),
    })
    .await;
    let with = |value: &str| StorageSettings {
        https_headers: vec![SecretHeader {
            name: "Authorization".into(),
            value: value.into(),
        }],
        ..trusting(&authority)
    };
    let storage = open(&location(&server), &with("Bearer right")).unwrap();
    assert_eq!(
        storage.get(KEY, None, LIMIT).await.unwrap().bytes,
        "content"
    );
    let settings = with("Bearer hunter2");
    let storage = open(&location(&server), &settings).unwrap();
    let error = storage.get(KEY, None, LIMIT).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    let text = error.to_string();
    assert!(
        text.contains("cluster_fallback_config_https_header"),
        "{text}"
    );
    let all = format!("{text} {error:?} {settings:?} {storage:?}");
    assert!(!all.contains("hunter2"), "{all}");
}

#[tokio::test]
async fn a_header_that_cannot_be_sent_is_refused_at_the_start() {
    let settings = StorageSettings {
        https_headers: vec![SecretHeader {
            name: "X-Token".into(),
            value: "hunter2\r\nx-other: 1".into(),
        }],
        ..StorageSettings::default()
    };
    let error = open(&"https://h/p".parse().unwrap(), &settings).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.to_string().contains("X-Token"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn certificates_are_verified() {
    let authority = Authority::new("localhost");
    let server = Played::tls(&authority, |_| answer(200, &[], "content")).await;
    let other = Authority::new("localhost");
    for settings in [StorageSettings::default(), trusting(&other)] {
        let storage = open(&location(&server), &settings).unwrap();
        let error = storage.get(KEY, None, LIMIT).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unreachable);
        let text = error.to_string();
        assert!(text.contains("certificate"), "{text}");
    }
    let misnamed = Authority::new("other.example");
    let server = Played::tls(&misnamed, |_| answer(200, &[], "content")).await;
    let storage = open(&location(&server), &trusting(&misnamed)).unwrap();
    let error = storage.get(KEY, None, LIMIT).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
}

#[tokio::test]
async fn nothing_is_written_or_listed() {
    let (server, storage) = bed(|_| answer(200, &[], "")).await;
    assert!(!storage.writable());
    let version = Version("\"one\"".into());
    let bytes = Bytes::from_static(b"x");
    let errors = [
        storage.put(KEY, bytes.clone()).await.unwrap_err(),
        storage.put_if_absent(KEY, bytes.clone()).await.unwrap_err(),
        storage
            .put_if_match(KEY, bytes, &version)
            .await
            .unwrap_err(),
        storage.delete(KEY).await.unwrap_err(),
        storage.list("0.1.0/history").await.unwrap_err(),
        storage.folders().await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind, ErrorKind::Unsupported);
        let text = error.to_string();
        assert!(text.contains("only read"), "{text}");
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn answers_that_are_no_object_have_a_meaning() {
    let (_server, storage) = bed(|asked| {
        let status = asked.target.rsplit('/').next().unwrap().parse().unwrap();
        let headers: &[_] = match status {
            429 => &[("retry-after", "7")],
            _ => &[],
        };
        answer(status, headers, "secret page")
    })
    .await;
    for (status, kind) in [
        ("404", ErrorKind::NotFound),
        ("410", ErrorKind::NotFound),
        ("403", ErrorKind::Denied),
        ("429", ErrorKind::Throttled),
        ("500", ErrorKind::Unavailable),
        ("503", ErrorKind::Unavailable),
        ("504", ErrorKind::TimedOut),
        ("204", ErrorKind::Unavailable),
        ("304", ErrorKind::Unavailable),
    ] {
        let error = storage.get(status, None, LIMIT).await.unwrap_err();
        assert_eq!(error.kind, kind, "{status}: {error}");
        assert!(!error.to_string().contains("secret page"), "{error}");
        let wait = (status == "429").then(|| Duration::from_secs(7));
        assert_eq!(error.retry_after, wait, "{status}");
    }
}

#[tokio::test]
async fn a_packed_object_is_refused() {
    let (_server, storage) = bed(|_| answer(200, &[("content-encoding", "gzip")], "x")).await;
    let error = storage.get(KEY, None, LIMIT).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.to_string().contains("Content-Encoding"), "{error}");
}

#[tokio::test]
async fn an_answer_that_never_ends_is_given_up() {
    let authority = Authority::new("localhost");
    let server = Played::tls(&authority, |_| {
        let frames = futures_util::stream::pending();
        Response::new(BodyExt::boxed(StreamBody::new(frames)))
    })
    .await;
    let settings = StorageSettings {
        time_outs: TimeOuts {
            connect: Duration::from_secs(5),
            operation: Duration::from_millis(300),
        },
        ..trusting(&authority)
    };
    let storage = open(&location(&server), &settings).unwrap();
    let error = storage.get(KEY, None, LIMIT).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
}
