//! What is particular to S3: what its servers and their proxies answer, endpoints, and authorities.

#![allow(clippy::unwrap_used)]

mod played_server;
mod s3_proxy;
mod s3_server;

use std::sync::Arc;
use std::time::Duration;

use keelgate_fallback::{
    Environment, ErrorKind, Storage, StorageError, StorageSettings, TimeOuts, Version, open,
};
use played_server::{Authority, Played, answer};
use s3_proxy::{Fault, Proxy, When};

const LIMIT: u64 = 1 << 20;

/// Answers every request with `answer`, or never when it is empty.
async fn server(answer: &'static str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    if !answer.is_empty() {
                        let _ = stream.write_all(answer.as_bytes()).await;
                        return;
                    }
                }
            });
        }
    });
    format!("http://{address}/")
}

/// Settings with which nothing takes longer than half a second.
fn impatient(mut settings: StorageSettings) -> StorageSettings {
    settings.time_outs = TimeOuts {
        connect: Duration::from_millis(500),
        operation: Duration::from_millis(500),
    };
    settings
}

async fn failure_of(endpoint: &str) -> StorageError {
    let settings = impatient(s3_server::settings(endpoint, "key", "secret"));
    let storage = open(&"s3://bucket/prefix".parse().unwrap(), &settings).unwrap();
    storage
        .put_if_match("v/config.json", "x".into(), &Version("\"e\"".into()))
        .await
        .unwrap_err()
}

#[tokio::test]
async fn failures_of_the_server_have_a_meaning() {
    for (answer, kind) in [
        (
            "HTTP/1.1 503 Slow\r\ncontent-length: 36\r\nconnection: close\r\n\r\n<Error><Code>SlowDown</Code></Error>",
            ErrorKind::Throttled,
        ),
        (
            "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            ErrorKind::Unavailable,
        ),
        (
            "HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            ErrorKind::Unavailable,
        ),
        (
            "HTTP/1.1 412 Lost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            ErrorKind::Precondition,
        ),
        (
            "HTTP/1.1 403 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            ErrorKind::Denied,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            ErrorKind::Unavailable,
        ),
        ("garbage", ErrorKind::Unreachable),
        ("", ErrorKind::TimedOut),
    ] {
        let error = failure_of(&server(answer).await).await;
        assert_eq!(error.kind, kind, "{answer:?}: {error}");
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = failure_of(&format!("http://{closed}/")).await;
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
}

#[test]
fn an_endpoint_that_is_no_url_or_holds_credentials_is_refused() {
    for endpoint in [
        "minio:9000",
        "ftp://minio/",
        "http://me:hunter2@minio:9000/",
    ] {
        let settings = s3_server::settings(endpoint, "key", "secret");
        let error = open(&"s3://bucket/prefix".parse().unwrap(), &settings).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        let text = error.to_string();
        assert!(text.contains("AWS_CONFIG_STORAGE_ENDPOINT"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

/// A storage behind a proxy, and the same storage without it.
async fn behind_a_proxy() -> (Proxy, Arc<dyn Storage>, Arc<dyn Storage>) {
    let proxy = Proxy::start(&s3_server::endpoint()).await;
    let (location, direct) = s3_server::fresh();
    let storage = open(&location, &impatient(proxy.settings())).unwrap();
    (proxy, storage, open(&location, &direct).unwrap())
}

#[tokio::test]
async fn what_passes_through_the_proxy_is_what_the_server_does() {
    let (_proxy, storage, direct) = behind_a_proxy().await;
    let version = storage.put_if_absent("v/x", "one".into()).await.unwrap();
    let error = storage
        .put_if_absent("v/x", "two".into())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists);
    storage
        .put_if_match("v/x", "two".into(), &version)
        .await
        .unwrap();
    assert_eq!(direct.get("v/x", None, LIMIT).await.unwrap().bytes, "two");
}

#[tokio::test]
async fn a_store_that_ignores_conditions_writes_whatever_is_there() {
    let (proxy, storage, direct) = behind_a_proxy().await;
    proxy.add(When::conditional(), Fault::IgnoreConditions);
    let version = storage.put_if_absent("v/x", "one".into()).await.unwrap();
    storage.put_if_absent("v/x", "two".into()).await.unwrap();
    storage
        .put_if_match("v/x", "three".into(), &version)
        .await
        .unwrap();
    assert_eq!(direct.get("v/x", None, LIMIT).await.unwrap().bytes, "three");
    // A conditional read that lost its condition still tells that nothing is new.
    let object = storage.get("v/x", None, LIMIT).await.unwrap();
    let error = storage
        .get("v/x", Some(&object.version), LIMIT)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotModified);
}

#[tokio::test]
async fn what_a_proxy_answers_to_a_condition_has_a_meaning() {
    for (status, code, create, replace) in [
        (
            409,
            "ConditionalRequestConflict",
            ErrorKind::AlreadyExists,
            ErrorKind::Unavailable,
        ),
        (
            412,
            "PreconditionFailed",
            ErrorKind::AlreadyExists,
            ErrorKind::Precondition,
        ),
        (
            501,
            "NotImplemented",
            ErrorKind::Unsupported,
            ErrorKind::Unsupported,
        ),
        (
            400,
            "InvalidArgument",
            ErrorKind::Invalid,
            ErrorKind::Invalid,
        ),
        (403, "AccessDenied", ErrorKind::Denied, ErrorKind::Denied),
        (
            500,
            "InternalError",
            ErrorKind::Unavailable,
            ErrorKind::Unavailable,
        ),
        (504, "", ErrorKind::TimedOut, ErrorKind::TimedOut),
    ] {
        let (proxy, storage, _) = behind_a_proxy().await;
        proxy.add(When::conditional(), Fault::Refuse(status, code));
        let error = storage.put_if_absent("v/x", "x".into()).await.unwrap_err();
        assert_eq!(error.kind, create, "{status} to a create: {error}");
        let version = Version("\"e\"".into());
        let error = storage
            .put_if_match("v/x", "x".into(), &version)
            .await
            .unwrap_err();
        assert_eq!(error.kind, replace, "{status} to a replace: {error}");
    }
}

#[tokio::test]
async fn a_server_that_asks_to_wait_is_understood() {
    for (status, code) in [(429, ""), (503, "SlowDown"), (503, "")] {
        let (proxy, storage, _) = behind_a_proxy().await;
        proxy.add(When::put("x"), Fault::RefuseFor(status, code, 7));
        let error = storage.put("v/x", "x".into()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Throttled, "{error}");
        assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
    }
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_done_and_in_doubt() {
    for fault in [Fault::FailAfterwards(500), Fault::StallAfterwards] {
        let (proxy, storage, direct) = behind_a_proxy().await;
        proxy.add(When::put("x").once(), fault.clone());
        let error = storage
            .put_if_absent("v/x", "one".into())
            .await
            .unwrap_err();
        assert!(!error.is_definite(), "{fault:?}: {error}");
        assert_eq!(direct.get("v/x", None, LIMIT).await.unwrap().bytes, "one");
    }
}

#[tokio::test]
async fn a_write_that_the_network_repeats_answers_lost_to_the_winner() {
    let (proxy, storage, direct) = behind_a_proxy().await;
    proxy.add(When::put("x").once(), Fault::Repeat);
    let error = storage
        .put_if_absent("v/x", "one".into())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists);
    assert!(!error.is_definite());
    assert_eq!(direct.get("v/x", None, LIMIT).await.unwrap().bytes, "one");
}

#[tokio::test]
async fn a_stalled_or_broken_answer_is_a_failure_in_time() {
    for (fault, kind) in [
        (Fault::Stall, ErrorKind::TimedOut),
        (Fault::Cut, ErrorKind::Unreachable),
        (Fault::Truncate, ErrorKind::Unavailable),
    ] {
        let (proxy, storage, direct) = behind_a_proxy().await;
        direct.put("v/x", "content".into()).await.unwrap();
        proxy.add(When::get("x"), fault.clone());
        let error = storage.get("v/x", None, LIMIT).await.unwrap_err();
        assert_eq!(error.kind, kind, "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn nothing_is_retried_below_the_protocol() {
    for fault in [
        Fault::Refuse(500, ""),
        Fault::Refuse(503, "SlowDown"),
        Fault::Refuse(409, ""),
    ] {
        let (proxy, storage, _) = behind_a_proxy().await;
        proxy.add(When::any(), fault);
        let version = Version("\"e\"".into());
        storage
            .put_if_match("v/x", "x".into(), &version)
            .await
            .unwrap_err();
        storage.get("v/x", None, LIMIT).await.unwrap_err();
        assert_eq!(proxy.seen().len(), 2);
    }
}

/// A storage on a server whose certificate is of a private authority.
async fn behind_a_private_authority(trusted: bool) -> Result<bytes::Bytes, StorageError> {
    let authority = Authority::new("localhost");
    let server = Played::tls(&authority, |_| answer(200, &[("etag", "\"e\"")], "content")).await;
    let endpoint = format!("https://localhost:{}/", server.address.port());
    let mut settings = s3_server::settings(&endpoint, "key", "secret");
    if trusted {
        settings.trusted_certificates = vec![authority.certificate];
    }
    let storage = open(&"s3://bucket/p".parse().unwrap(), &settings).unwrap();
    let object = storage.get("v/x", None, LIMIT).await?;
    Ok(object.bytes)
}

#[test]
fn a_region_that_is_no_part_of_a_host_is_refused() {
    let variables = [
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "evil.example/"),
    ];
    let settings = StorageSettings {
        environment: Environment::new(
            variables.map(|(name, value)| (name.to_owned(), value.to_owned())),
        ),
        ..StorageSettings::default()
    };
    let error = open(&"s3://bucket/p".parse().unwrap(), &settings).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.to_string().contains("AWS_REGION"), "{error}");
}

#[tokio::test]
async fn a_private_authority_is_trusted_if_it_is_named() {
    assert_eq!(behind_a_private_authority(true).await.unwrap(), "content");
    let error = behind_a_private_authority(false).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    let text = error.to_string();
    assert!(text.contains("certificate"), "{text}");
    assert!(text.contains("lua_ssl_trusted_certificate"), "{text}");
}

#[test]
fn an_authority_that_is_no_certificate_is_told_at_the_start() {
    let mut settings = s3_server::settings("https://localhost/", "key", "secret");
    settings.trusted_certificates =
        vec!["-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n".into()];
    let error = open(&"s3://bucket/p".parse().unwrap(), &settings).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(
        error.to_string().contains("lua_ssl_trusted_certificate"),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let endless = "<Contents/>".repeat(1 << 20);
    let server = Played::plain(move |asked| match asked.target.contains("list-type") {
        true => answer(200, &[], &endless),
        false => answer(500, &[], &endless),
    })
    .await;
    let settings = s3_server::settings(&server.url(), "key", "secret");
    let storage = open(&"s3://bucket/p".parse().unwrap(), &settings).unwrap();
    let error = storage.list("v").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    let error = storage.get("v/x", None, LIMIT).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
}
