//! What is particular to Azure: where its credentials come from, and how tokens are had. The storage
//! and the token endpoints are played.

#![allow(clippy::unwrap_used)]

mod cloud_servers;
mod played_server;

use std::time::Duration;

use cloud_servers::settings;
use keelgate_fallback::{ErrorKind, Location, StorageError, StorageSettings, Version, open};
use played_server::{Asked, Played, answer};

const LIMIT: u64 = 1 << 20;
const KEY: &str = "0.1.0/config.json";

fn container() -> Location {
    "azure://account1/container/prefix".parse().unwrap()
}

/// Plays the storage and every kind of token endpoint; each gives another token, and the storage
/// takes only `expected`.
async fn played(expected: &'static str) -> Played {
    Played::plain(move |asked| match asked.target.split('?').next().unwrap() {
        "/tenant-1/oauth2/v2.0/token" => {
            let is_right = asked.form("client_secret").as_deref() == Some("right");
            let is_federated = asked.form("client_assertion").as_deref() == Some("assertion-right");
            match (asked.form("client_id").as_deref(), is_right, is_federated) {
                (Some("client-1"), true, _) => granted("application", "3600"),
                (Some("client-1"), _, true) => granted("workload", "3600"),
                _ => answer(
                    401,
                    &[],
                    r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}"#,
                ),
            }
        }
        "/metadata/identity/oauth2/token" if asked.header("metadata") == Some("true") => {
            match asked.target.contains("client_id=client-1") {
                true => granted("chosen-identity", r#""3599""#),
                false => granted("machine", r#""3599""#),
            }
        }
        "/msi/token" if asked.header("x-identity-header") == Some("hunter2-header") => {
            answer(200, &[], r#"{"access_token":"app-service","expires_on":"4102444800"}"#)
        }
        "/metadata/identity/oauth2/token" | "/msi/token" => answer(403, &[], ""),
        _ => stored(asked, expected),
    })
    .await
}

fn granted(token: &str, seconds: &str) -> http::Response<played_server::Body> {
    let body = format!(r#"{{"access_token":"{token}","expires_in":{seconds}}}"#);
    answer(200, &[], &body)
}

fn stored(asked: &Asked, expected: &str) -> http::Response<played_server::Body> {
    let bearer = asked.header("authorization").unwrap_or_default();
    if bearer.strip_prefix("Bearer ") != Some(expected) {
        let said = "<Error><Code>AuthorizationPermissionMismatch</Code><Message>This request is not authorized to perform this operation using this permission.</Message></Error>";
        return answer(403, &[], said);
    }
    let headers = [
        ("etag", "\"e\""),
        ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ];
    answer(200, &headers, "content")
}

fn with(server: &Played, variables: &[(&str, &str)]) -> StorageSettings {
    let url = server.url();
    let endpoint = format!("{url}/{{account}}");
    let common = [
        ("AZURE_CONFIG_STORAGE_ENDPOINT", &*endpoint),
        ("AZURE_AUTHORITY_HOST", &*url),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST", &*url),
    ];
    settings(common.into_iter().chain(variables.iter().copied()))
}

const APPLICATION: [(&str, &str); 2] = [
    ("AZURE_TENANT_ID", "tenant-1"),
    ("AZURE_CLIENT_ID", "client-1"),
];

fn application<'a>(proof: (&'a str, &'a str)) -> Vec<(&'a str, &'a str)> {
    APPLICATION.into_iter().chain([proof]).collect()
}

async fn read(settings: &StorageSettings) -> Result<(), StorageError> {
    let storage = open(&container(), settings)?;
    let object = storage.get(KEY, None, LIMIT).await?;
    assert_eq!(object.bytes, "content");
    Ok(())
}

#[tokio::test]
async fn an_application_proves_itself_by_its_secret() {
    let server = played("application").await;
    let variables = application(("AZURE_CLIENT_SECRET", "right"));
    read(&with(&server, &variables)).await.unwrap();
    let asked = server.asked();
    let scope = asked[0].form("scope").unwrap();
    assert_eq!(scope, "https://storage.azure.com/.default");
    assert_eq!(
        asked[1].target,
        "/account1/container/prefix/0.1.0/config.json"
    );
}

#[tokio::test]
async fn a_workload_proves_itself_by_its_federated_token_which_is_read_anew() {
    let server = played("workload").await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    let path = file.display().to_string();
    let variables = application(("AZURE_FEDERATED_TOKEN_FILE", &path));
    let storage = open(&container(), &with(&server, &variables)).unwrap();
    let error = storage.get(KEY, None, LIMIT).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(
        error.to_string().contains("AZURE_FEDERATED_TOKEN_FILE"),
        "{error}"
    );
    std::fs::write(&file, "assertion-right\n").unwrap();
    storage.get(KEY, None, LIMIT).await.unwrap();
}

#[tokio::test]
async fn without_credentials_the_identity_of_the_host_is_used() {
    let server = played("machine").await;
    read(&with(&server, &[])).await.unwrap();

    let server = played("chosen-identity").await;
    let chosen = [("AZURE_CLIENT_ID", "client-1")];
    read(&with(&server, &chosen)).await.unwrap();

    let server = played("app-service").await;
    let endpoint = format!("{}/msi/token", server.url());
    let host = [
        ("IDENTITY_ENDPOINT", &*endpoint),
        ("IDENTITY_HEADER", "hunter2-header"),
    ];
    let settings = with(&server, &host);
    read(&settings).await.unwrap();
    let storage = open(&container(), &settings).unwrap();
    assert!(!format!("{storage:?} {settings:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_host_without_an_identity_is_told_with_what_could_be_set() {
    let server = played("machine").await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr();
    let nobody = format!("http://{}", closed.unwrap());
    let mut settings = with(&server, &[]);
    settings.environment = keelgate_fallback::Environment::new([
        ("AZURE_CONFIG_STORAGE_ENDPOINT".to_owned(), server.url()),
        ("AZURE_POD_IDENTITY_AUTHORITY_HOST".to_owned(), nobody),
    ]);
    let error = read(&settings).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
    let text = error.to_string();
    for part in [
        "managed identity",
        "AZURE_STORAGE_KEY",
        "AZURE_CLIENT_SECRET",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn refused_credentials_are_told_and_never_shown() {
    let server = played("another").await;
    for (secret, said) in [
        ("hunter2-secret", "AADSTS7000215"),
        ("right", "AuthorizationPermissionMismatch"),
    ] {
        let settings = with(&server, &application(("AZURE_CLIENT_SECRET", secret)));
        let storage = open(&container(), &settings).unwrap();
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
                "azure://account1/container/prefix",
                "AZURE_CLIENT_",
                "Storage Blob Data",
            ] {
                assert!(text.contains(part), "{part}: {text}");
            }
            let all = format!("{text} {error:?} {storage:?} {settings:?}");
            assert!(!all.contains("hunter2"), "{all}");
        }
    }
}

#[tokio::test]
async fn credentials_that_are_not_whole_are_refused_at_the_start_without_being_shown() {
    for (variables, said) in [
        (vec![("AZURE_CLIENT_SECRET", "hunter2")], "AZURE_TENANT_ID"),
        (
            vec![("AZURE_CLIENT_SECRET", "hunter2"), ("AZURE_TENANT_ID", "t")],
            "AZURE_CLIENT_ID",
        ),
        (
            vec![
                ("AZURE_CLIENT_SECRET", "hunter2"),
                ("AZURE_TENANT_ID", "../t"),
                ("AZURE_CLIENT_ID", "c"),
            ],
            "AZURE_TENANT_ID",
        ),
        (
            [("AZURE_AUTHORITY_HOST", "http://login.example/")]
                .into_iter()
                .chain(application(("AZURE_CLIENT_SECRET", "hunter2")))
                .collect(),
            "AZURE_AUTHORITY_HOST",
        ),
        (
            vec![("AZURE_STORAGE_KEY", "hunter2 is no base64")],
            "AZURE_STORAGE_",
        ),
        (
            vec![("AZURE_CONFIG_STORAGE_ENDPOINT", "https://h/?sig=hunter2")],
            "AZURE_CONFIG_STORAGE_ENDPOINT",
        ),
    ] {
        let error = open(&container(), &settings(variables)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
        let text = error.to_string();
        assert!(text.contains(said), "{said}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_host_of_an_endpoint_may_hold_the_account() {
    // The name cannot be resolved; the failure tells that it was the host that was looked for.
    let variables = [
        (
            "AZURE_CONFIG_STORAGE_ENDPOINT",
            "https://{account}.blob.invalid/",
        ),
        ("AZURE_STORAGE_KEY", "aGVsbG8="),
    ];
    let error = read(&settings(variables)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error}");
}

#[tokio::test]
async fn failures_of_the_server_have_a_meaning() {
    use ErrorKind::{
        AlreadyExists, Denied, NoContainer, NotFound, Precondition, Throttled, Unavailable,
    };
    for (status, code, read, create, replace) in [
        (404, "BlobNotFound", NotFound, NotFound, NotFound),
        (
            404,
            "ContainerNotFound",
            NoContainer,
            NoContainer,
            NoContainer,
        ),
        (
            409,
            "BlobAlreadyExists",
            AlreadyExists,
            AlreadyExists,
            Unavailable,
        ),
        (
            412,
            "ConditionNotMet",
            Precondition,
            AlreadyExists,
            Precondition,
        ),
        (
            412,
            "LeaseIdMissing",
            Unavailable,
            AlreadyExists,
            Unavailable,
        ),
        (403, "AuthorizationFailure", Denied, Denied, Denied),
        (503, "ServerBusy", Throttled, Throttled, Throttled),
        (429, "TooManyRequests", Throttled, Throttled, Throttled),
        (
            500,
            "OperationTimedOut",
            Unavailable,
            Unavailable,
            Unavailable,
        ),
    ] {
        let server = Played::plain(move |_| {
            let said = format!("<Error><Code>{code}</Code><Message>words</Message></Error>");
            answer(status, &[("retry-after", "3")], &said)
        })
        .await;
        let settings = with(&server, &[("AZURE_STORAGE_KEY", "aGVsbG8=")]);
        let storage = open(&container(), &settings).unwrap();
        let version = Version("\"e\"".into());
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
        // Nothing was tried twice.
        assert_eq!(server.asked().len(), 3, "{status} {code}");
    }
}
