//! Where an S3 storage has its credentials from. The storage, the token service and the endpoints of
//! containers and instances are played, but for the last test.

#![allow(clippy::unwrap_used)]

mod played_server;
mod s3_server;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use keelgate_fallback::{Environment, ErrorKind, StorageError, StorageSettings, TimeOuts, open};
use played_server::{Asked, Played, answer};
use serde_json::json;

const LIMIT: u64 = 1 << 20;

/// Variables of the node, and a profile file.
#[derive(Default)]
struct Node {
    variables: Vec<(&'static str, String)>,
    config: &'static str,
}

impl Node {
    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Settings with which everything leads to `server`.
    fn settings(self, server: &Played, directory: &Path) -> StorageSettings {
        let config = directory.join("config");
        std::fs::write(&config, self.config).unwrap();
        let here = [
            ("AWS_CONFIG_FILE", config.display().to_string()),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent".into()),
            ("AWS_CONFIG_STORAGE_ENDPOINT", server.url()),
            ("AWS_ENDPOINT_URL_STS", server.url()),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url()),
        ];
        let all = here.into_iter().chain(self.variables);
        StorageSettings {
            environment: Environment::new(all.map(|(name, value)| (name.to_owned(), value))),
            time_outs: TimeOuts {
                operation: Duration::from_secs(10),
                ..TimeOuts::default()
            },
            ..StorageSettings::default()
        }
    }

    /// Reads an object as this node.
    async fn read(self, server: &Played) -> Result<(), StorageError> {
        let directory = tempfile::tempdir().unwrap();
        let settings = self.settings(server, directory.path());
        let storage = open(&"s3://bucket/p".parse().unwrap(), &settings)?;
        let read = storage.get("v/x", None, LIMIT).await;
        let shown = format!("{storage:?} {settings:?}");
        assert!(!shown.contains("secret-of"), "{shown}");
        read.map(drop)
    }
}

/// Plays everything; the storage tells with `x-key` in an error whose keys it was asked with.
async fn played() -> Played {
    Played::plain(|asked| match asked.target.as_str() {
        "/" => token_service(asked),
        "/v2/container" => match asked.header("authorization") {
            None | Some("pod-token") => document("container", 3600),
            _ => answer(
                401,
                &[],
                r#"{"code":"InvalidToken","message":"pod-token-wrong"}"#,
            ),
        },
        "/latest/api/token" => match asked.header("x-aws-ec2-metadata-token-ttl-seconds") {
            Some(_) if asked.method == "PUT" => answer(200, &[], "session"),
            _ => answer(400, &[], ""),
        },
        metadata if asked.header("x-aws-ec2-metadata-token") == Some("session") => {
            match metadata.strip_prefix("/latest/meta-data/iam/security-credentials/") {
                Some("") => answer(200, &[], "the-role"),
                Some("the-role") => document("instance", 3600),
                _ => answer(404, &[], ""),
            }
        }
        _ => stored(asked),
    })
    .await
}

/// Gives `who` credentials for so many seconds.
fn document(who: &str, seconds: u64) -> http::Response<played_server::Body> {
    let document = json!({
        "Code": "Success",
        "AccessKeyId": format!("key-of-{who}"),
        "SecretAccessKey": format!("secret-of-{who}"),
        "Token": format!("token-of-{who}"),
        "Expiration": until(seconds),
    });
    answer(200, &[], &document.to_string())
}

fn until(seconds: u64) -> String {
    let until = SystemTime::now() + Duration::from_secs(seconds);
    jiff::Timestamp::try_from(until).unwrap().to_string()
}

fn token_service(asked: &Asked) -> http::Response<played_server::Body> {
    let action = asked.form("Action").unwrap();
    let who = match action.as_str() {
        "AssumeRoleWithWebIdentity"
            if asked.form("WebIdentityToken").as_deref() == Some("web-token")
                && asked.header("authorization").is_none() =>
        {
            "web"
        }
        "AssumeRole"
            if asked
                .header("authorization")
                .is_some_and(is_signed_for_tokens) =>
        {
            match asked.form("RoleArn").as_deref() {
                Some("arn:outer") if by(asked) == "key-of-inner" => "outer",
                Some("arn:inner") if asked.form("ExternalId").as_deref() == Some("x") => "inner",
                Some("arn:env") if by(asked) == "key-of-instance" => "env",
                _ => return denied(),
            }
        }
        _ => return denied(),
    };
    let text = format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><AssumedRoleUser><Arn>a</Arn></AssumedRoleUser><Credentials><AccessKeyId>key-of-{who}</AccessKeyId><SecretAccessKey>secret-of-{who}</SecretAccessKey><SessionToken>token-of-{who}</SessionToken><Expiration>{}</Expiration></Credentials></{action}Result><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>",
        until(3600)
    );
    answer(200, &[], &text)
}

fn is_signed_for_tokens(authorization: &str) -> bool {
    authorization.contains("/eu-west-1/sts/aws4_request")
}

/// Like the token service, which repeats what it was sent.
fn denied() -> http::Response<played_server::Body> {
    let text = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>web-token-wrong is not authorized</Message></Error></ErrorResponse>";
    answer(403, &[], text)
}

/// The access key of a signed request.
fn by(asked: &Asked) -> &str {
    let signed = asked.header("authorization").unwrap_or_default();
    let scope = signed.split("Credential=").nth(1).unwrap_or_default();
    scope.split('/').next().unwrap()
}

/// Any object, for those that are signed for; session tokens belong to the keys.
fn stored(asked: &Asked) -> http::Response<played_server::Body> {
    let who = by(asked).strip_prefix("key-of-").unwrap_or_default();
    let token = asked.header("x-amz-security-token").unwrap_or_default();
    match who {
        "static" if token.is_empty() => {}
        who if !who.is_empty() && token == format!("token-of-{who}") => {}
        _ => return denied(),
    }
    answer(200, &[("etag", "\"e\"")], "content")
}

/// Whose keys the storage was asked with.
fn keys(server: &Played) -> Vec<String> {
    let asked = server.asked();
    let storage = asked
        .iter()
        .filter(|asked| asked.target.starts_with("/bucket"));
    storage.map(|asked| by(asked).to_owned()).collect()
}

fn regional() -> Node {
    Node::default().with("AWS_REGION", "eu-west-1")
}

fn file(directory: &Path, content: &str) -> String {
    let path = directory.join("token");
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn keys_of_the_environment_are_used_with_their_session_token() {
    let server = played().await;
    let keys_alone = || {
        regional()
            .with("AWS_ACCESS_KEY_ID", "key-of-static")
            .with("AWS_SECRET_ACCESS_KEY", "secret-of-static")
    };
    keys_alone().read(&server).await.unwrap();
    let error = keys_alone()
        .with("AWS_SESSION_TOKEN", "secret-of-token")
        .read(&server)
        .await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::Denied);
}

#[tokio::test]
async fn the_token_of_a_pod_assumes_a_role() {
    let server = played().await;
    let directory = tempfile::tempdir().unwrap();
    let node = |token: &str| {
        regional()
            .with("AWS_WEB_IDENTITY_TOKEN_FILE", file(directory.path(), token))
            .with("AWS_ROLE_ARN", "arn:web")
    };
    node("web-token\n").read(&server).await.unwrap();
    assert_eq!(keys(&server), ["key-of-web"]);
    let error = node("web-token-wrong").read(&server).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    let text = error.to_string();
    assert!(
        text.contains("AccessDenied") && text.contains("arn:web"),
        "{text}"
    );
    assert!(!text.contains("web-token-wrong"), "{text}");
}

#[tokio::test]
async fn a_container_asks_its_own_endpoint_with_the_token_in_its_file() {
    let server = played().await;
    let directory = tempfile::tempdir().unwrap();
    let full = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    let url = format!("{}/v2/container", server.url());
    let node = || regional().with(full, url.clone());
    node().read(&server).await.unwrap();
    let in_file = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
    node()
        .with(in_file, file(directory.path(), "pod-token\n"))
        .read(&server)
        .await
        .unwrap();
    assert_eq!(keys(&server), ["key-of-container", "key-of-container"]);
    let wrong = file(directory.path(), "pod-token-wrong");
    let error = node().with(in_file, wrong).read(&server).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    let text = error.to_string();
    assert!(text.contains("InvalidToken"), "{text}");
    assert!(!text.contains("pod-token-wrong"), "{text}");
    let error = node()
        .with(in_file, "/nonexistent")
        .read(&server)
        .await
        .unwrap_err();
    assert!(error.to_string().contains(in_file), "{error}");
}

#[tokio::test]
async fn an_instance_asks_for_the_credentials_of_its_role() {
    let server = played().await;
    regional().read(&server).await.unwrap();
    assert_eq!(keys(&server), ["key-of-instance"]);
}

#[tokio::test]
async fn a_role_of_the_environment_is_assumed_by_the_instance() {
    let server = played().await;
    let node = regional().with("AWS_ASSUME_ROLE_ARN", "arn:env");
    node.read(&server).await.unwrap();
    assert_eq!(keys(&server), ["key-of-env"]);
}

#[tokio::test]
async fn a_profile_assumes_roles_one_after_the_other() {
    let server = played().await;
    let node = Node {
        config: "[profile edge]\nregion = eu-west-1\nrole_arn = arn:outer\nsource_profile = middle\n[profile middle]\nrole_arn = arn:inner\nexternal_id = x\nsource_profile = base\n[profile base]\naws_access_key_id = key-of-base\naws_secret_access_key = secret-of-base\n",
        ..Node::default()
    };
    node.with("AWS_PROFILE", "edge")
        .read(&server)
        .await
        .unwrap();
    assert_eq!(keys(&server), ["key-of-outer"]);
}

#[tokio::test]
async fn a_command_of_a_profile_prints_credentials() {
    let server = played().await;
    let node = |config| Node {
        config,
        ..regional()
    };
    node(r#"[default]
credential_process = printf '{"Version":1,"AccessKeyId":"key-of-command","SecretAccessKey":"secret-of-command","SessionToken":"token-of-command"}'
"#)
    .read(&server)
    .await
    .unwrap();
    assert_eq!(keys(&server), ["key-of-command"]);
    let failing = node("[default]\ncredential_process = echo secret-of-command; exit 3\n");
    let error = failing.read(&server).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.to_string().contains("credential_process"), "{error}");
    assert!(!error.to_string().contains("secret-of"), "{error}");
}

#[tokio::test]
async fn temporary_credentials_are_renewed_before_they_end() {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let server = Played::plain(|asked| match asked.target.as_str() {
        "/v2/container" => {
            // Whole seconds: the first are given for none of them, or for one.
            let number = GIVEN.fetch_add(1, Ordering::Relaxed);
            document(&number.to_string(), if number == 0 { 1 } else { 3600 })
        }
        _ => stored(asked),
    })
    .await;
    let url = format!("{}/v2/container", server.url());
    let node = regional().with("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
    let directory = tempfile::tempdir().unwrap();
    let settings = node.settings(&server, directory.path());
    let storage = open(&"s3://bucket/p".parse().unwrap(), &settings).unwrap();
    let mut seen = Vec::new();
    while seen.last().map(String::as_str) != Some("key-of-1") {
        storage.get("v/x", None, LIMIT).await.unwrap();
        seen.extend(keys(&server));
    }
    assert_eq!(seen[0], "key-of-0");
    assert_eq!(GIVEN.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn where_nothing_is_there_the_places_that_were_looked_at_are_listed() {
    let server = played().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let node = regional().with(
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        format!("http://{closed}"),
    );
    let error = node.read(&server).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    for place in [
        "AWS_ACCESS_KEY_ID",
        "AWS_ROLE_ARN",
        "`default`",
        "FULL_URI",
        "EC2",
    ] {
        assert!(error.to_string().contains(place), "{error}");
    }
    let node = regional().with("AWS_EC2_METADATA_DISABLED", "true");
    let error = node.read(&server).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.to_string().contains("no credentials"), "{error}");
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn an_endpoint_that_never_answers_is_given_up() {
    let server = played().await;
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let node = regional().with("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint);
    let directory = tempfile::tempdir().unwrap();
    let mut settings = node.settings(&server, directory.path());
    settings.time_outs.operation = Duration::from_millis(300);
    let storage = open(&"s3://bucket/p".parse().unwrap(), &settings).unwrap();
    let error = storage.get("v/x", None, LIMIT).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
    assert!(error.to_string().contains("instance's metadata"), "{error}");
}

#[tokio::test]
async fn a_real_token_service_gives_credentials_for_a_real_storage() {
    let (location, mut settings) = s3_server::fresh();
    let (key, secret) = s3_server::credentials();
    let variables = [
        ("AWS_CONFIG_STORAGE_ENDPOINT", s3_server::endpoint()),
        ("AWS_ENDPOINT_URL_STS", s3_server::endpoint()),
        ("AWS_ACCESS_KEY_ID", key),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_REGION", "us-east-1".into()),
        (
            "AWS_ASSUME_ROLE_ARN",
            "arn:aws:iam::123456789012:role/any".into(),
        ),
    ];
    settings.environment =
        Environment::new(variables.map(|(name, value)| (name.to_owned(), value)));
    let storage = open(&location, &settings).unwrap();
    storage.put("v/x", "content".into()).await.unwrap();
    assert_eq!(
        storage.get("v/x", None, LIMIT).await.unwrap().bytes,
        "content"
    );
}
