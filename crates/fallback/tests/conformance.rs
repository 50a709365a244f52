//! One suite that every storage must pass, run against each of them.
//!
//! S3 runs against the server at `KEELGATE_TEST_S3_ENDPOINT`, which `cargo xtask test` sets.

#![allow(clippy::unwrap_used)]

mod s3_server;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keelgate_fallback::{
    ErrorKind, Location, Operation, Storage, StorageSettings, TimeOuts, Version, open,
};

const LIMIT: u64 = 64 << 20;

struct Bed {
    location: Location,
    settings: StorageSettings,
    _directory: Option<tempfile::TempDir>,
}

impl Bed {
    fn directory() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            location: Location::Directory {
                path: directory.path().join("backup"),
            },
            settings: StorageSettings::default(),
            _directory: Some(directory),
        }
    }

    fn s3() -> Option<Self> {
        let (location, settings) = s3_server::fresh()?;
        Some(Self {
            location,
            settings,
            _directory: None,
        })
    }

    fn open(&self) -> Arc<dyn Storage> {
        open(&self.location, &self.settings).unwrap()
    }
}

/// Makes one test per property and storage.
macro_rules! conformance {
    ($($property:ident),* $(,)?) => {
        mod directory {
            $(#[tokio::test]
            async fn $property() {
                super::$property(&super::Bed::directory()).await;
            })*
        }
        mod s3 {
            $(#[tokio::test]
            async fn $property() {
                if let Some(bed) = super::Bed::s3() {
                    super::$property(&bed).await;
                }
            })*
        }
    };
}

conformance![
    a_missing_object_is_not_found,
    what_was_created_is_read,
    a_create_never_overwrites,
    a_replace_needs_the_version_that_was_read,
    a_replace_of_a_deleted_object_fails,
    of_concurrent_creates_one_wins,
    of_concurrent_replaces_of_one_version_one_wins,
    no_increment_of_concurrent_writers_is_lost,
    an_unchanged_object_is_not_sent_again,
    a_large_object_survives_and_the_limit_holds,
    lists_name_the_objects_of_one_folder,
    folders_name_the_versions,
    a_deleted_object_is_gone_and_may_be_deleted_again,
];

async fn a_missing_object_is_not_found(bed: &Bed) {
    let error = bed
        .open()
        .get("0.1.0/config.json", None, LIMIT)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(error.operation, Operation::Read);
    let text = error.to_string();
    assert!(text.contains(&bed.location.to_string()), "{text}");
    assert!(text.contains("0.1.0/config.json"), "{text}");
}

async fn what_was_created_is_read(bed: &Bed) {
    let storage = bed.open();
    let version = storage
        .put_if_absent("v/config.json", "one".into())
        .await
        .unwrap();
    let object = storage.get("v/config.json", None, LIMIT).await.unwrap();
    assert_eq!(object.bytes, "one");
    assert_eq!(object.version, version);
}

async fn a_create_never_overwrites(bed: &Bed) {
    let storage = bed.open();
    storage
        .put_if_absent("v/config.json", "one".into())
        .await
        .unwrap();
    let error = storage
        .put_if_absent("v/config.json", "two".into())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists);
    assert_eq!(
        storage
            .get("v/config.json", None, LIMIT)
            .await
            .unwrap()
            .bytes,
        "one"
    );
}

async fn a_replace_needs_the_version_that_was_read(bed: &Bed) {
    let storage = bed.open();
    let first = storage
        .put_if_absent("v/config.json", "one".into())
        .await
        .unwrap();
    let second = storage
        .put_if_match("v/config.json", "two".into(), &first)
        .await
        .unwrap();
    assert_ne!(first, second);
    let error = storage
        .put_if_match("v/config.json", "late".into(), &first)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Precondition);
    let object = storage.get("v/config.json", None, LIMIT).await.unwrap();
    assert_eq!((object.bytes, object.version), (Bytes::from("two"), second));
}

async fn a_replace_of_a_deleted_object_fails(bed: &Bed) {
    let storage = bed.open();
    let version = storage
        .put_if_absent("v/config.json", "one".into())
        .await
        .unwrap();
    storage.delete("v/config.json").await.unwrap();
    let error = storage
        .put_if_match("v/config.json", "two".into(), &version)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Precondition);
}

async fn of_concurrent_creates_one_wins(bed: &Bed) {
    let storages: Vec<_> = (0..8).map(|_| bed.open()).collect();
    let results = futures_util::future::join_all(storages.iter().enumerate().map(
        |(n, storage)| async move {
            storage
                .put_if_absent("v/lease.json", format!("writer {n}").into())
                .await
        },
    ))
    .await;
    let winners: Vec<usize> = (0..8).filter(|n| results[*n].is_ok()).collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    let object = storages[0].get("v/lease.json", None, LIMIT).await.unwrap();
    assert_eq!(object.bytes, format!("writer {}", winners[0]));
}

async fn of_concurrent_replaces_of_one_version_one_wins(bed: &Bed) {
    let storage = bed.open();
    let version = storage
        .put_if_absent("v/lease.json", "start".into())
        .await
        .unwrap();
    let results = futures_util::future::join_all((0..8).map(|n| {
        let (storage, version) = (&storage, &version);
        async move {
            storage
                .put_if_match("v/lease.json", format!("{n}").into(), version)
                .await
        }
    }))
    .await;
    assert_eq!(
        results.iter().filter(|result| result.is_ok()).count(),
        1,
        "{results:?}"
    );
}

async fn no_increment_of_concurrent_writers_is_lost(bed: &Bed) {
    let storage = bed.open();
    storage.put_if_absent("v/count", "0".into()).await.unwrap();
    futures_util::future::join_all((0..4).map(|_| {
        let storage = bed.open();
        async move {
            for _ in 0..10 {
                loop {
                    let object = storage.get("v/count", None, LIMIT).await.unwrap();
                    let count: u32 = std::str::from_utf8(&object.bytes).unwrap().parse().unwrap();
                    let next = (count + 1).to_string().into();
                    match storage.put_if_match("v/count", next, &object.version).await {
                        Ok(_) => break,
                        Err(error) => assert!(
                            matches!(error.kind, ErrorKind::Precondition | ErrorKind::Unavailable),
                            "{error}"
                        ),
                    }
                }
            }
        }
    }))
    .await;
    assert_eq!(
        storage.get("v/count", None, LIMIT).await.unwrap().bytes,
        "40"
    );
}

async fn an_unchanged_object_is_not_sent_again(bed: &Bed) {
    let storage = bed.open();
    let first = storage
        .put_if_absent("v/config.json", "one".into())
        .await
        .unwrap();
    let error = storage
        .get("v/config.json", Some(&first), LIMIT)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotModified);
    storage
        .put_if_match("v/config.json", "two".into(), &first)
        .await
        .unwrap();
    let object = storage
        .get("v/config.json", Some(&first), LIMIT)
        .await
        .unwrap();
    assert_eq!(object.bytes, "two");
}

async fn a_large_object_survives_and_the_limit_holds(bed: &Bed) {
    let storage = bed.open();
    let large: Bytes = (0..20_u32 << 20)
        .map(|n| (n % 251) as u8)
        .collect::<Vec<_>>()
        .into();
    storage
        .put_if_absent("v/config.json", large.clone())
        .await
        .unwrap();
    assert!(
        storage
            .get("v/config.json", None, LIMIT)
            .await
            .unwrap()
            .bytes
            == large
    );
    let size = large.len() as u64;
    assert!(storage.get("v/config.json", None, size).await.is_ok());
    let error = storage
        .get("v/config.json", None, size - 1)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
}

async fn lists_name_the_objects_of_one_folder(bed: &Bed) {
    let storage = bed.open();
    assert!(storage.list("v/history").await.unwrap().is_empty());
    for key in [
        "v/config.json",
        "v/history/1-1-aa.json",
        "v/history/1-2-bb.json",
        "w/history/9-9-ff.json",
    ] {
        storage.put_if_absent(key, "x".into()).await.unwrap();
    }
    let mut names = storage.list("v/history").await.unwrap();
    names.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<_> = names
        .iter()
        .map(|listed| (&*listed.name, listed.bytes))
        .collect();
    assert_eq!(names, [("1-1-aa.json", 1), ("1-2-bb.json", 1)]);
}

async fn folders_name_the_versions(bed: &Bed) {
    let storage = bed.open();
    assert!(storage.folders().await.unwrap().is_empty());
    for key in [
        "0.1.0/config.json",
        "0.2.0/config.json",
        "0.2.0/history/1-1-aa.json",
    ] {
        storage.put_if_absent(key, "x".into()).await.unwrap();
    }
    let mut folders = storage.folders().await.unwrap();
    folders.sort();
    assert_eq!(folders, ["0.1.0", "0.2.0"]);
}

async fn a_deleted_object_is_gone_and_may_be_deleted_again(bed: &Bed) {
    let storage = bed.open();
    storage.put_if_absent("v/x", "x".into()).await.unwrap();
    storage.delete("v/x").await.unwrap();
    storage.delete("v/x").await.unwrap();
    assert_eq!(
        storage.get("v/x", None, LIMIT).await.unwrap_err().kind,
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn wrong_s3_credentials_are_told_without_the_secret() {
    let Some(bed) = Bed::s3() else { return };
    let endpoint = s3_server::endpoint().unwrap();
    let settings = s3_server::settings(&endpoint, "nobody-key", "hunter2-secret");
    let storage = open(&bed.location, &settings).unwrap();
    let error = storage
        .put_if_absent("v/config.json", "x".into())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    let text = format!("{error} {error:?} {settings:?} {storage:?}");
    assert!(!text.contains("hunter2-secret"), "{text}");
    assert!(error.to_string().contains("AWS_"), "{error}");
}

#[tokio::test]
async fn a_missing_bucket_is_told_apart_from_a_missing_object() {
    let Some(bed) = Bed::s3() else { return };
    let location: Location = "s3://keelgate-no-such-bucket/prefix".parse().unwrap();
    let storage = open(&location, &bed.settings).unwrap();
    let error = storage.get("v/config.json", None, LIMIT).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoContainer, "{error}");
    let error = storage
        .put_if_absent("v/config.json", "x".into())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoContainer, "{error}");
}

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

async fn failure_of(endpoint: &str) -> keelgate_fallback::StorageError {
    let mut settings = s3_server::settings(endpoint, "key", "secret");
    settings.time_outs = TimeOuts {
        connect: Duration::from_millis(500),
        operation: Duration::from_millis(500),
    };
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
            "HTTP/1.1 503 Slow\r\ncontent-length: 30\r\nconnection: close\r\n\r\n<Error><Code>SlowDown</Code></",
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

#[tokio::test]
async fn keys_cannot_leave_the_directory() {
    let bed = Bed::directory();
    for key in ["../x", "/etc/passwd", "a//b", "a/.hidden", ""] {
        let error = bed.open().put_if_absent(key, "x".into()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{key}");
    }
}

#[tokio::test]
async fn a_half_written_file_of_a_crashed_writer_is_neither_read_nor_listed() {
    let bed = Bed::directory();
    let Location::Directory { path } = &bed.location else {
        unreachable!()
    };
    std::fs::create_dir_all(path.join("v")).unwrap();
    std::fs::write(path.join("v/.config.json.partial"), "hal").unwrap();
    let storage = bed.open();
    assert!(storage.list("v").await.unwrap().is_empty());
    storage
        .put_if_absent("v/config.json", "whole".into())
        .await
        .unwrap();
    assert_eq!(
        storage
            .get("v/config.json", None, LIMIT)
            .await
            .unwrap()
            .bytes,
        "whole"
    );
}
