//! What is particular to Google Cloud Storage: where its credentials come from, and how tokens are
//! had. The storage and the token endpoints are played.

#![allow(clippy::unwrap_used)]

mod cloud_servers;
mod played_server;

use std::path::Path;
use std::time::Duration;

use cloud_servers::{gcs, settings};
use keelgate_fallback::{
    ErrorKind, Location, StorageError, StorageSettings, TimeOuts, Version, open,
};
use played_server::{Asked, Played, answer};
use serde_json::{Value, json};

const LIMIT: u64 = 1 << 20;
const KEY: &str = "0.1.0/config.json";

fn bucket() -> Location {
    "gcs://bucket/prefix".parse().unwrap()
}

/// Plays the storage and every kind of token endpoint; each gives another token, and the storage
/// takes only `expected`.
async fn played(expected: &'static str) -> Played {
    Played::plain(move |asked| match asked.target.split('?').next().unwrap() {
        "/token" if asked.form("refresh_token").as_deref() == Some("refresh-right") => {
            granted("person")
        }
        "/sts" if asked.form("subject_token").as_deref() == Some("subject-right") => {
            granted("federated")
        }
        "/token" | "/sts" => {
            let said = json!({"error": "invalid_grant", "error_description": "Bad Request"});
            answer(400, &[], &said.to_string())
        }
        "/subject" => answer(200, &[], r#"{"id_token":"subject-right"}"#),
        "/impersonate" => {
            let by = asked.header("authorization").unwrap_or_default();
            match by.trim_start_matches("Bearer ") {
                "person" | "federated" => answer(200, &[], r#"{"accessToken":"account"}"#),
                _ => answer(
                    403,
                    &[],
                    r#"{"error":{"status":"PERMISSION_DENIED","message":"no"}}"#,
                ),
            }
        }
        "/computeMetadata/v1/instance/service-accounts/default/token" => {
            match asked.header("metadata-flavor") {
                Some("Google") => granted("machine"),
                _ => answer(403, &[], ""),
            }
        }
        _ => stored(asked, expected),
    })
    .await
}

fn granted(token: &str) -> http::Response<played_server::Body> {
    let body = json!({"access_token": token, "expires_in": 3600, "token_type": "Bearer"});
    answer(200, &[], &body.to_string())
}

fn stored(asked: &Asked, expected: &str) -> http::Response<played_server::Body> {
    let bearer = asked.header("authorization").unwrap_or_default();
    if bearer.strip_prefix("Bearer ") != Some(expected) {
        let said = "<Error><Code>AccessDenied</Code><Message>Access denied.</Message></Error>";
        return answer(403, &[], said);
    }
    let headers = [
        ("etag", "\"e\""),
        ("x-goog-generation", "7"),
        ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ];
    answer(200, &headers, "content")
}

fn with(server: &Played, variables: &[(&str, &str)]) -> StorageSettings {
    let endpoint = server.url();
    let endpoint = [("GCP_CONFIG_STORAGE_ENDPOINT", &*endpoint)];
    settings(endpoint.into_iter().chain(variables.iter().copied()))
}

async fn read(settings: &StorageSettings) -> Result<(), StorageError> {
    let storage = open(&bucket(), settings)?;
    let object = storage.get(KEY, None, LIMIT).await?;
    assert_eq!(object.bytes, "content");
    Ok(())
}

/// Writes a credential file.
fn file(directory: &Path, credential: &Value) -> String {
    let path = directory.join("credential.json");
    std::fs::write(&path, credential.to_string()).unwrap();
    path.display().to_string()
}

fn person(server: &Played, refresh_token: &str) -> Value {
    json!({
        "type": "authorized_user",
        "client_id": "client",
        "client_secret": "hunter2-client",
        "refresh_token": refresh_token,
        "token_uri": format!("{}/token", server.url()),
    })
}

#[tokio::test]
async fn a_token_of_the_environment_is_used() {
    let server = played("given").await;
    let settings = with(&server, &[("GOOGLE_OAUTH_ACCESS_TOKEN", "given")]);
    read(&settings).await.unwrap();
}

#[tokio::test]
async fn a_service_account_signs_its_own_tokens() {
    let server = Played::plain(|asked| {
        let bearer = asked.header("authorization").unwrap_or_default().to_owned();
        stored(asked, bearer.trim_start_matches("Bearer "))
    })
    .await;
    let settings = with(&server, &[("GCP_SERVICE_ACCOUNT", gcs::service_account())]);
    read(&settings).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    let bearer = asked[0].header("authorization").unwrap();
    assert_eq!(bearer.split('.').count(), 3, "{bearer}");
    assert_eq!(
        asked[0].target,
        "/bucket/prefix%2F0%2E1%2E0%2Fconfig%2Ejson"
    );
}

#[tokio::test]
async fn the_file_of_a_person_is_used_wherever_it_is_named() {
    let server = played("person").await;
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), &person(&server, "refresh-right"));
    let settings = with(&server, &[("GOOGLE_APPLICATION_CREDENTIALS", &path)]);
    read(&settings).await.unwrap();

    let home = tempfile::tempdir().unwrap();
    let gcloud = home.path().join(".config/gcloud");
    std::fs::create_dir_all(&gcloud).unwrap();
    let well_known = gcloud.join("application_default_credentials.json");
    std::fs::copy(&path, well_known).unwrap();
    let settings = with(&server, &[("HOME", home.path().to_str().unwrap())]);
    read(&settings).await.unwrap();
    let settings = with(&server, &[("CLOUDSDK_CONFIG", gcloud.to_str().unwrap())]);
    read(&settings).await.unwrap();
}

#[tokio::test]
async fn a_token_is_fetched_once_for_many_requests() {
    let server = played("person").await;
    let credential = person(&server, "refresh-right").to_string();
    let settings = with(&server, &[("GCP_SERVICE_ACCOUNT", &credential)]);
    let storage = open(&bucket(), &settings).unwrap();
    for _ in 0..5 {
        storage.get(KEY, None, LIMIT).await.unwrap();
    }
    let tokens = server.asked().into_iter().filter(|a| a.target == "/token");
    assert_eq!(tokens.count(), 1);
}

#[tokio::test]
async fn a_person_may_act_as_a_service_account() {
    let server = played("account").await;
    let credential = json!({
        "type": "impersonated_service_account",
        "service_account_impersonation_url": format!("{}/impersonate", server.url()),
        "source_credentials": person(&server, "refresh-right"),
    });
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), &credential);
    let settings = with(&server, &[("GOOGLE_APPLICATION_CREDENTIALS", &path)]);
    read(&settings).await.unwrap();
}

#[tokio::test]
async fn a_federated_identity_is_exchanged_for_a_token() {
    let directory = tempfile::tempdir().unwrap();
    let subject = directory.path().join("subject");
    std::fs::write(&subject, "subject-right\n").unwrap();
    let federated = |server: &Played, source: Value, impersonate: bool| {
        let mut credential = json!({
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": format!("{}/sts", server.url()),
            "credential_source": source,
        });
        if impersonate {
            let url = format!("{}/impersonate", server.url());
            credential["service_account_impersonation_url"] = url.into();
        }
        credential
    };
    let by_file = json!({"file": subject.display().to_string()});
    for (expected, impersonate) in [("federated", false), ("account", true)] {
        let server = played(expected).await;
        let by_server = json!({
            "url": format!("{}/subject", server.url()),
            "headers": {"x-secret": "1"},
            "format": {"type": "json", "subject_token_field_name": "id_token"},
        });
        for source in [by_file.clone(), by_server] {
            let path = file(directory.path(), &federated(&server, source, impersonate));
            let settings = with(&server, &[("GOOGLE_APPLICATION_CREDENTIALS", &path)]);
            read(&settings).await.unwrap();
        }
    }
    let server = played("federated").await;
    for (source, named) in [
        (json!({"environment_id": "aws1"}), "identity of AWS"),
        (json!({"executable": {"command": "x"}}), "runs a program"),
        (json!({}), "lacks `url`"),
    ] {
        let path = file(directory.path(), &federated(&server, source, false));
        let settings = with(&server, &[("GOOGLE_APPLICATION_CREDENTIALS", &path)]);
        let error = read(&settings).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.to_string().contains(named), "{error}");
    }
    std::fs::remove_file(&subject).unwrap();
    let path = file(directory.path(), &federated(&server, by_file, false));
    let settings = with(&server, &[("GOOGLE_APPLICATION_CREDENTIALS", &path)]);
    let error = read(&settings).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.to_string().contains("subject token"), "{error}");
}

#[tokio::test]
async fn without_credentials_the_metadata_server_is_asked() {
    let server = played("machine").await;
    let host = server.address.to_string();
    read(&with(&server, &[("GCE_METADATA_HOST", &host)]))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_metadata_server_that_is_not_there_is_told_in_good_time() {
    let server = played("machine").await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = closed.local_addr().unwrap().to_string();
    // It takes connections and answers nothing.
    let mut settings = with(&server, &[("GCE_METADATA_HOST", &host)]);
    settings.time_outs = TimeOuts {
        operation: Duration::from_millis(600),
        ..TimeOuts::default()
    };
    let error = read(&settings).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
    assert!(error.to_string().contains("metadata server"), "{error}");
    drop(closed);
    let error = read(&settings).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    let text = error.to_string();
    for part in [
        "metadata server",
        "GCP_SERVICE_ACCOUNT",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn refused_credentials_are_told_and_never_shown() {
    let server = played("right").await;
    let wrong = person(&server, "hunter2-refresh").to_string();
    for (variables, said) in [
        (("GCP_SERVICE_ACCOUNT", &*wrong), "invalid_grant"),
        (
            ("GOOGLE_OAUTH_ACCESS_TOKEN", "hunter2-token"),
            "AccessDenied",
        ),
    ] {
        let settings = with(&server, &[variables]);
        let storage = open(&bucket(), &settings).unwrap();
        let errors = [
            storage.get(KEY, None, LIMIT).await.unwrap_err(),
            storage.put(KEY, "x".into()).await.unwrap_err(),
            storage.list("0.1.0").await.unwrap_err(),
            storage.delete(KEY).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind, ErrorKind::Denied, "{error}");
            let text = error.to_string();
            for part in [
                said,
                "gcs://bucket/prefix",
                "GCP_SERVICE_ACCOUNT",
                "roles/storage.",
            ] {
                assert!(text.contains(part), "{part}: {text}");
            }
            let all = format!("{text} {error:?} {storage:?} {settings:?}");
            assert!(!all.contains("hunter2"), "{all}");
        }
    }
}

#[tokio::test]
async fn a_token_endpoint_that_repeats_a_secret_is_not_quoted() {
    let server = Played::plain(|asked| {
        let said = json!({"error": "invalid_grant", "error_description": asked.body});
        answer(400, &[], &said.to_string())
    })
    .await;
    let credential = person(&server, "hunter2").to_string();
    let error = read(&with(&server, &[("GCP_SERVICE_ACCOUNT", &credential)]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("status 400"), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn credentials_that_are_none_are_refused_at_the_start_without_being_shown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing").display().to_string();
    let plain_http = json!({
        "type": "authorized_user",
        "client_id": "c",
        "client_secret": "hunter2",
        "refresh_token": "hunter2",
        "token_uri": "http://tokens.example/",
    });
    let unsigned = json!({
        "type": "service_account",
        "client_email": "a@b",
        "private_key_id": "1",
        "private_key": "hunter2",
    });
    for (name, value, said) in [
        ("GCP_SERVICE_ACCOUNT", "hunter2", "is not the JSON"),
        ("GCP_SERVICE_ACCOUNT", r#""hunter2""#, "lacks `type`"),
        (
            "GCP_SERVICE_ACCOUNT",
            r#"{"type":"service_account"}"#,
            "lacks `client_email`",
        ),
        (
            "GCP_SERVICE_ACCOUNT",
            r#"{"type":"mainframe"}"#,
            "`mainframe`",
        ),
        (
            "GCP_SERVICE_ACCOUNT",
            &plain_http.to_string(),
            "`token_uri`",
        ),
        ("GCP_SERVICE_ACCOUNT", &unsigned.to_string(), "private_key"),
        ("GOOGLE_APPLICATION_CREDENTIALS", &path, "cannot be read"),
        (
            "GCP_CONFIG_STORAGE_ENDPOINT",
            "minio:9000",
            "GCP_CONFIG_STORAGE_ENDPOINT",
        ),
        (
            "GCP_CONFIG_STORAGE_ENDPOINT",
            "https://a:hunter2@h/",
            "must not hold credentials",
        ),
    ] {
        let error = open(&bucket(), &settings([(name, value)])).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
        let text = error.to_string();
        assert!(text.contains(said), "{said}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn failures_of_the_server_have_a_meaning() {
    use ErrorKind::{
        AlreadyExists, Denied, NoContainer, NotFound, Precondition, Throttled, Unavailable,
    };
    for (status, code, read, create, replace) in [
        (404, "NoSuchKey", NotFound, NotFound, NotFound),
        (404, "NoSuchBucket", NoContainer, NoContainer, NoContainer),
        (
            412,
            "PreconditionFailed",
            Precondition,
            AlreadyExists,
            Precondition,
        ),
        (401, "AuthenticationRequired", Denied, Denied, Denied),
        (403, "AccessDenied", Denied, Denied, Denied),
        (429, "SlowDown", Throttled, Throttled, Throttled),
        (503, "ServiceUnavailable", Throttled, Throttled, Throttled),
        (500, "InternalError", Unavailable, Unavailable, Unavailable),
    ] {
        let server = Played::plain(move |_| {
            let said = format!("<Error><Code>{code}</Code><Message>words</Message></Error>");
            answer(status, &[("retry-after", "3")], &said)
        })
        .await;
        let settings = with(&server, &[("GOOGLE_OAUTH_ACCESS_TOKEN", "token")]);
        let storage = open(&bucket(), &settings).unwrap();
        let version = Version("7 \"e\"".into());
        let results = [
            (storage.get(KEY, None, LIMIT).await.map(|_| ()), read),
            (
                storage.put_if_absent(KEY, "x".into()).await.map(|_| ()),
                create,
            ),
            (
                storage
                    .put_if_match(KEY, "x".into(), &version)
                    .await
                    .map(|_| ()),
                replace,
            ),
        ];
        for (result, kind) in results {
            let error = result.unwrap_err();
            assert_eq!(error.kind, kind, "{status} {code}: {error}");
            assert_eq!(error.retry_after, Some(Duration::from_secs(3)), "{error}");
        }
        // Nothing was tried twice, and the generation was compared.
        let asked = server.asked();
        let generations = asked
            .iter()
            .map(|asked| asked.header("x-goog-if-generation-match"));
        assert!(
            generations.eq([None, Some("0"), Some("7")]),
            "{status} {code}"
        );
    }
}
