//! The parameters of PutObject, as a real server keeps them and as a server that only records sees
//! them.

#![allow(clippy::unwrap_used)]

mod s3_proxy;
mod s3_server;

use std::time::Duration;

use keelgate_fallback::{Location, S3PutOptions, StorageSettings, open};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use object_store::{Attribute, GetOptions, ObjectStore};
use serde_json::json;

use s3_proxy::Proxy;

const LIMIT: u64 = 1 << 20;

/// Settings with these parameters of PutObject.
fn with_options(settings: StorageSettings, options: serde_json::Value) -> StorageSettings {
    let serde_json::Value::Object(options) = options else {
        unreachable!()
    };
    StorageSettings {
        put_options: S3PutOptions::new(&options).unwrap(),
        ..settings
    }
}

#[tokio::test]
async fn put_options_are_kept_by_the_server() {
    let (location, settings) = s3_server::fresh();
    let storage = open(
        &location,
        &with_options(
            settings,
            json!({
                "Metadata": {"team": "edge", "purpose": "backup"},
                "CacheControl": "max-age=5",
                "ContentDisposition": "attachment",
                "ContentLanguage": "en",
                "StorageClass": "REDUCED_REDUNDANCY",
                "Tagging": {"cost centre": "a=b"},
                "ChecksumAlgorithm": "SHA256",
            }),
        ),
    )
    .unwrap();
    let first = storage
        .put_if_absent("v/config.json", "one".into())
        .await
        .unwrap();
    storage
        .put_if_match("v/config.json", "two".into(), &first)
        .await
        .unwrap();
    // Other requests go on without them.
    assert_eq!(
        storage
            .get("v/config.json", None, LIMIT)
            .await
            .unwrap()
            .bytes,
        "two"
    );
    assert_eq!(storage.list("v").await.unwrap().len(), 1);

    let Location::S3 { bucket, prefix } = &location else {
        unreachable!()
    };
    let (key, secret) = s3_server::credentials();
    let direct = AmazonS3Builder::new()
        .with_endpoint(s3_server::endpoint())
        .with_allow_http(true)
        .with_bucket_name(bucket)
        .with_access_key_id(key)
        .with_secret_access_key(secret)
        .build()
        .unwrap();
    let path = Path::from(format!("{prefix}/v/config.json"));
    let kept = direct
        .get_opts(&path, GetOptions::default())
        .await
        .unwrap()
        .attributes;
    for (attribute, value) in [
        (Attribute::Metadata("team".into()), "edge"),
        (Attribute::Metadata("purpose".into()), "backup"),
        (Attribute::CacheControl, "max-age=5"),
        (Attribute::ContentDisposition, "attachment"),
        (Attribute::ContentLanguage, "en"),
        (Attribute::ContentType, "application/json"),
    ] {
        assert_eq!(
            kept.get(&attribute).map(|kept| &**kept),
            Some(value),
            "{attribute:?}"
        );
    }
    let get = async |query: &[(&str, &str)]| {
        let options = SignedUrlOptions::default().with_query(query.iter().copied());
        let url =
            direct.signed_url_opts(http::Method::GET, &path, Duration::from_secs(60), &options);
        reqwest::get(url.await.unwrap()).await.unwrap()
    };
    let object = get(&[]).await;
    assert_eq!(
        object.headers()["x-amz-storage-class"],
        "REDUCED_REDUNDANCY"
    );
    let tagging = get(&[("tagging", "")]).await.text().await.unwrap();
    assert!(
        tagging.contains("<Key>cost centre</Key><Value>a=b</Value>"),
        "{tagging}"
    );

    storage.delete("v/config.json").await.unwrap();
}

#[tokio::test]
async fn put_options_become_signed_headers_of_writes_alone() {
    let recorder = Proxy::recording().await;
    let key = "0123456789abcdef0123456789abcdef";
    let settings = with_options(
        recorder.settings(),
        json!({
            "ACL": "bucket-owner-full-control",
            "GrantRead": "id=\"abc\"",
            "ServerSideEncryption": "aws:kms",
            "SSEKMSKeyId": "alias/backup",
            "SSEKMSEncryptionContext": {"cluster": "one"},
            "BucketKeyEnabled": true,
            "ExpectedBucketOwner": "111122223333",
            "ObjectLockMode": "GOVERNANCE",
            "ObjectLockRetainUntilDate": "2035-01-01T00:00:00Z",
            "ObjectLockLegalHoldStatus": "ON",
            "Expires": "2035-01-01T00:00:00Z",
            "WebsiteRedirectLocation": "/elsewhere",
            "RequestPayer": "requester",
            "ChecksumAlgorithm": "CRC64NVME",
        }),
    );
    let storage = open(&"s3://bucket/p".parse().unwrap(), &settings).unwrap();
    storage.put("v/x", "x".into()).await.unwrap();
    storage.get("v/x", None, LIMIT).await.unwrap_err();
    storage.delete("v/x").await.unwrap();
    let seen = recorder.seen();
    let (put, others) = seen.split_first().unwrap();
    for (header, value) in [
        ("x-amz-acl", "bucket-owner-full-control"),
        ("x-amz-grant-read", "id=\"abc\""),
        ("x-amz-server-side-encryption", "aws:kms"),
        (
            "x-amz-server-side-encryption-aws-kms-key-id",
            "alias/backup",
        ),
        (
            "x-amz-server-side-encryption-context",
            "eyJjbHVzdGVyIjoib25lIn0=",
        ),
        ("x-amz-server-side-encryption-bucket-key-enabled", "true"),
        ("x-amz-expected-bucket-owner", "111122223333"),
        ("x-amz-object-lock-mode", "GOVERNANCE"),
        (
            "x-amz-object-lock-retain-until-date",
            "2035-01-01T00:00:00Z",
        ),
        ("x-amz-object-lock-legal-hold", "ON"),
        ("expires", "Mon, 01 Jan 2035 00:00:00 GMT"),
        ("x-amz-website-redirect-location", "/elsewhere"),
        ("cache-control", "no-cache"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(put.header(header), value, "{header}");
        let signed = put.header("authorization").split(['=', ';', ',']);
        assert!(signed.clone().any(|name| name == header), "{header}");
        for other in others {
            assert_eq!(other.header(header), "", "{header} of {}", other.method);
        }
    }
    assert!(!put.header("x-amz-checksum-crc64nvme").is_empty());
    for request in &seen {
        assert_eq!(request.header("x-amz-request-payer"), "requester");
    }

    let recorder = Proxy::recording().await;
    let settings = with_options(
        recorder.settings(),
        json!({"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}),
    );
    let storage = open(&"s3://bucket/p".parse().unwrap(), &settings).unwrap();
    storage.put("v/x", "x".into()).await.unwrap();
    storage.get("v/x", None, LIMIT).await.unwrap_err();
    for request in recorder.seen() {
        let algorithm = "x-amz-server-side-encryption-customer-algorithm";
        assert_eq!(request.header(algorithm), "AES256", "{}", request.method);
    }
    assert!(!format!("{storage:?} {settings:?}").contains(key));
}
