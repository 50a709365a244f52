//! Asks for temporary credentials: the token service of AWS, and the endpoints of containers and
//! instances.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Request};
use jiff::Timestamp;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::HttpRequestBody;
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use url::Url;
use url::form_urlencoded;

use super::origin::{Authorization, Origin, Role};
use crate::storage::object::NoCredentials;
use crate::storage::token::{Token, TokenSource};
use crate::storage::{ErrorKind, web};

/// Largest answer that is read, in bytes.
const ANSWER_LIMIT: u64 = 64 << 10;

/// Keys that nobody renews are good for ever; a clock needs a number.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How long the session with an instance's endpoint lasts, in seconds; one use of it is enough.
const INSTANCE_SESSION: &str = "60";

/// Credentials and when they end.
struct Given {
    credential: AwsCredential,
    until: Option<Timestamp>,
}

/// Fetches credentials from their origin.
pub(super) struct Source {
    pub(super) origin: Origin,
    /// What is said when the last place of the chain is not there.
    pub(super) nothing: String,
    /// For the token service.
    pub(super) web: Client,
    /// For endpoints of this machine: no proxy, and little patience.
    pub(super) local: Client,
    pub(super) token_service: Url,
    pub(super) region: String,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.fmt(f)
    }
}

impl TokenSource<AwsCredential> for Source {
    fn name(&self) -> String {
        match &self.origin {
            Origin::Keys(_) => "the environment or a profile".to_owned(),
            Origin::WebIdentity { .. } | Origin::Assumed { .. } => {
                format!("the token service at {}", self.token_service)
            }
            Origin::Container { url, .. } => format!("the container's endpoint at {url}"),
            Origin::Instance { endpoint } => format!("the instance's metadata at {endpoint}"),
            Origin::Process(_) => "the credential_process of a profile".to_owned(),
        }
    }

    fn fetch(&self) -> BoxFuture<'_, Result<Token<AwsCredential>, NoCredentials>> {
        Box::pin(async {
            let Given { credential, until } = self.given(&self.origin).await?;
            let lasts = match until {
                None => FOR_EVER,
                Some(until) => SystemTime::from(until)
                    .duration_since(SystemTime::now())
                    .map_err(|_| lacking(ErrorKind::Denied, "what was given has expired already"))?
                    .min(FOR_EVER),
            };
            Ok(Token {
                bearer: credential,
                lasts,
            })
        })
    }
}

impl Source {
    /// A role that is assumed needs other credentials first.
    fn given<'a>(&'a self, origin: &'a Origin) -> BoxFuture<'a, Result<Given, NoCredentials>> {
        Box::pin(async move {
            match origin {
                Origin::Keys(AwsCredential {
                    key_id,
                    secret_key,
                    token,
                }) => Ok(Given {
                    credential: AwsCredential {
                        key_id: key_id.clone(),
                        secret_key: secret_key.clone(),
                        token: token.clone(),
                    },
                    until: None,
                }),
                Origin::WebIdentity { token_file, role } => {
                    self.web_identity(token_file, role).await
                }
                Origin::Assumed { by, role } => {
                    let by = self.given(by).await?;
                    self.assumed(&by.credential, role).await
                }
                Origin::Container { url, authorization } => {
                    self.container(url, authorization).await
                }
                Origin::Instance { endpoint } => self.instance(endpoint).await,
                Origin::Process(command) => process(command).await,
            }
        })
    }

    async fn web_identity(&self, file: &Path, role: &Role) -> Result<Given, NoCredentials> {
        let token = read_token("AWS_WEB_IDENTITY_TOKEN_FILE", file).await?;
        let form = role.form("AssumeRoleWithWebIdentity", &[("WebIdentityToken", &token)]);
        let request = self.web.post(self.token_service.clone());
        let request = request.header("content-type", FORM).body(form);
        self.session(request, &role.arn).await
    }

    async fn assumed(&self, by: &AwsCredential, role: &Role) -> Result<Given, NoCredentials> {
        let mut fields = Vec::new();
        if let Some(id) = &role.external_id {
            fields.push(("ExternalId", id.as_str()));
        }
        let form = role.form("AssumeRole", &fields);
        let mut request = Request::new(HttpRequestBody::from(form.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.token_service.as_str().parse().map_err(|_| {
            lacking(
                ErrorKind::Invalid,
                "the address of the token service is no address",
            )
        })?;
        let headers = request.headers_mut();
        headers.insert("content-type", HeaderValue::from_static(FORM));
        AwsAuthorizer::new(by, "sts", &self.region)
            .try_authorize(&mut request, None)
            .map_err(|error| lacking(ErrorKind::Invalid, error))?;
        let signed = self.web.post(self.token_service.clone());
        let signed = signed.headers(std::mem::take(request.headers_mut()));
        self.session(signed.body(form), &role.arn).await
    }

    /// Reads what the token service gives.
    async fn session(&self, request: RequestBuilder, arn: &str) -> Result<Given, NoCredentials> {
        let whom = format!(
            "the token service at {}, asked for {arn},",
            self.token_service
        );
        let answer = ask(request, &whom).await?;
        let session = Session::read(&answer).ok_or_else(|| strange(&whom))?;
        session.given().ok_or_else(|| strange(&whom))
    }

    async fn container(
        &self,
        url: &Url,
        authorization: &Authorization,
    ) -> Result<Given, NoCredentials> {
        let text = match authorization {
            Authorization::None => None,
            Authorization::Text(text) => Some(text.clone()),
            Authorization::File(path) => {
                Some(read_token("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path).await?)
            }
        };
        let mut request = self.local.get(url.clone());
        if let Some(text) = text {
            let mut value = HeaderValue::try_from(text).map_err(|_| {
                lacking(
                    ErrorKind::Invalid,
                    "the authorization of the container's endpoint cannot be sent as a header",
                )
            })?;
            value.set_sensitive(true);
            request = request.header("authorization", value);
        }
        let whom = format!("the container's endpoint at {url}");
        document(&ask(request, &whom).await?, &whom)
    }

    async fn instance(&self, endpoint: &Url) -> Result<Given, NoCredentials> {
        let whom = format!("the instance's metadata at {endpoint}");
        let base = endpoint.as_str().trim_end_matches('/');
        let session = self
            .local
            .put(format!("{base}/latest/api/token"))
            .header("x-aws-ec2-metadata-token-ttl-seconds", INSTANCE_SESSION);
        // Where nothing answers there is no instance: what was looked for before is told as well.
        let session = ask(session, &whom).await.map_err(|error| NoCredentials {
            kind: ErrorKind::Denied,
            detail: format!("{}: {}", self.nothing, error.detail),
        })?;
        let get = |path: &str| {
            let request = self.local.get(format!(
                "{base}/latest/meta-data/iam/security-credentials/{path}"
            ));
            request.header("x-aws-ec2-metadata-token", session.trim())
        };
        let roles = ask(get(""), &whom).await.map_err(|error| NoCredentials {
            detail: format!("the instance has no role: {}", error.detail),
            ..error
        })?;
        let role = roles.lines().next().unwrap_or_default().trim();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
        if role.is_empty() || !role.bytes().all(plain) {
            return Err(lacking(ErrorKind::Denied, "the instance has no role"));
        }
        document(&ask(get(role), &whom).await?, &whom)
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

impl Role {
    /// What the token service is asked.
    fn form(&self, action: &str, fields: &[(&str, &str)]) -> String {
        form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", action)
            .append_pair("Version", "2011-06-15")
            .append_pair("RoleArn", &self.arn)
            .append_pair("RoleSessionName", &self.session)
            .extend_pairs(fields)
            .finish()
    }
}

/// The answer of the token service; both actions give the same members.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Session {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: String,
}

#[derive(Deserialize)]
struct Answered {
    #[serde(rename = "$value")]
    result: Vec<Part>,
}

#[derive(Deserialize)]
enum Part {
    #[serde(rename = "AssumeRoleResult", alias = "AssumeRoleWithWebIdentityResult")]
    Result {
        #[serde(rename = "Credentials")]
        credentials: Session,
    },
    #[serde(other)]
    Other,
}

impl Session {
    fn read(answer: &str) -> Option<Self> {
        let answered: Answered = quick_xml::de::from_str(answer).ok()?;
        answered.result.into_iter().find_map(|part| match part {
            Part::Result { credentials } => Some(credentials),
            Part::Other => None,
        })
    }

    fn given(self) -> Option<Given> {
        Some(Given {
            until: Some(self.expiration.parse().ok()?),
            credential: AwsCredential {
                key_id: self.access_key_id,
                secret_key: self.secret_access_key,
                token: Some(self.session_token),
            },
        })
    }
}

/// The document of a container, an instance or a process; each leaves something out.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    access_key_id: String,
    secret_access_key: String,
    #[serde(alias = "SessionToken")]
    token: Option<String>,
    expiration: Option<String>,
}

fn document(answer: &str, whom: &str) -> Result<Given, NoCredentials> {
    let document: Document = serde_json::from_str(answer).map_err(|_| strange(whom))?;
    let until = document.expiration.map(|until| until.parse()).transpose();
    Ok(Given {
        until: until.map_err(|_| strange(whom))?,
        credential: AwsCredential {
            key_id: document.access_key_id,
            secret_key: document.secret_access_key,
            token: document.token,
        },
    })
}

async fn process(command: &str) -> Result<Given, NoCredentials> {
    let whom = "the credential_process of the profile";
    // As the vendor's tools do; its standard error is for people and may hold anything.
    let output = tokio::process::Command::new("sh")
        .args(["-c", command])
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| lacking(ErrorKind::Denied, format_args!("{whom}: {error}")))?;
    if !output.status.success() {
        let failed = format_args!("{whom} failed: {}", output.status);
        return Err(lacking(ErrorKind::Denied, failed));
    }
    document(&String::from_utf8_lossy(&output.stdout), whom)
}

async fn read_token(variable: &str, path: &Path) -> Result<String, NoCredentials> {
    let token = tokio::fs::read_to_string(path).await;
    let token = token.map_err(|error| {
        let path = path.display();
        lacking(
            ErrorKind::Denied,
            format_args!("the file of {variable} cannot be read: {path}: {error}"),
        )
    })?;
    Ok(token.trim().to_owned())
}

/// Sends a request and reads the answer. Of a refusal only the code is told: what else stands there
/// may repeat what was sent.
async fn ask(request: RequestBuilder, whom: &str) -> Result<String, NoCredentials> {
    let broken = |error| {
        let (kind, cause) = web::meaning(error);
        lacking(kind, format_args!("{whom} could not be asked: {cause}"))
    };
    let response = request.send().await.map_err(broken)?;
    let status = response.status();
    let answer = web::body(response, ANSWER_LIMIT).await.map_err(broken)?;
    let answer = String::from_utf8_lossy(&answer.unwrap_or_default()).into_owned();
    if status.is_success() {
        return Ok(answer);
    }
    let kind = match status.as_u16() {
        429 => ErrorKind::Throttled,
        400..500 => ErrorKind::Denied,
        _ => ErrorKind::Unavailable,
    };
    let status = status.as_u16();
    Err(match code(&answer) {
        Some(code) => lacking(
            kind,
            format_args!("{whom} refused: {code} (status {status})"),
        ),
        None => lacking(kind, format_args!("{whom} refused: status {status}")),
    })
}

/// The code of an error document, in XML or JSON.
fn code(answer: &str) -> Option<&str> {
    let (_, rest) = answer
        .split_once("<Code>")
        .or_else(|| answer.split_once("\"code\":\""))
        .or_else(|| answer.split_once("\"Code\":\""))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
    let code = rest.split(|c: char| !plain(c)).next()?;
    (!code.is_empty() && code.len() <= 80).then_some(code)
}

fn lacking(kind: ErrorKind, detail: impl fmt::Display) -> NoCredentials {
    NoCredentials {
        kind,
        detail: detail.to_string(),
    }
}

/// What was answered may be half a secret: it is not repeated.
fn strange(whom: &str) -> NoCredentials {
    lacking(
        ErrorKind::Unavailable,
        format_args!("{whom} answered something else than credentials"),
    )
}
