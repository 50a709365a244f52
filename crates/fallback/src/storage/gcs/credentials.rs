//! Which credentials a bucket of Google is opened with.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::{Client, ClientBuilder};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::federation::ExternalAccount;
use super::metadata::MetadataServer;
use crate::storage::Environment;
use crate::storage::endpoint::keeps_secrets;
use crate::storage::object::NoCredentials;
use crate::storage::token::{Token, TokenSource, ask, form_request};

/// All that Google's storages may be asked for; the account's roles say what is allowed.
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

const TOKEN_ENDPOINT: &str = "https://oauth2.googleapis.com/token";

/// What requests are made with.
pub(super) enum Credentials {
    /// The key of a service account, as JSON: tokens are signed with it here.
    ServiceAccount(String),
    /// A token that somebody else renews.
    Token(String),
    /// Tokens that are fetched.
    Fetched(Box<dyn TokenSource>),
}

/// Looks where Google's own libraries look, the gateway's variable first. The text of a failure
/// names the variable or the file, never what is in it.
pub(super) fn find(environment: &Environment, web: ClientBuilder) -> Result<Credentials, String> {
    if let Some(json) = environment.get("GCP_SERVICE_ACCOUNT") {
        return read(json, "GCP_SERVICE_ACCOUNT", web);
    }
    if let Some(token) = environment.get("GOOGLE_OAUTH_ACCESS_TOKEN") {
        return Ok(Credentials::Token(token.to_owned()));
    }
    if let Some(path) = environment.get("GOOGLE_APPLICATION_CREDENTIALS") {
        let json = std::fs::read_to_string(path).map_err(|error| {
            format!("the file of GOOGLE_APPLICATION_CREDENTIALS cannot be read: {path}: {error}")
        })?;
        return read(&json, path, web);
    }
    let directory = match environment.get("CLOUDSDK_CONFIG") {
        Some(directory) => Some(PathBuf::from(directory)),
        None => environment
            .get("HOME")
            .map(|home| PathBuf::from(home).join(".config/gcloud")),
    };
    let well_known = directory.map(|path| path.join("application_default_credentials.json"));
    if let Some(path) = well_known
        && let Ok(json) = std::fs::read_to_string(&path)
    {
        return read(&json, &path.display().to_string(), web);
    }
    let server = MetadataServer::new(environment, web)?;
    Ok(Credentials::Fetched(Box::new(server)))
}

fn read(json: &str, whence: &str, web: ClientBuilder) -> Result<Credentials, String> {
    let document: Value = serde_json::from_str(json).map_err(|error| {
        format!(
            "{whence} is not the JSON of a Google credential (line {}, column {})",
            error.line(),
            error.column()
        )
    })?;
    let document = Document {
        document: &document,
        whence,
    };
    let web = || web.build().map_err(|error| error.to_string());
    let source: Box<dyn TokenSource> = match document.text("type")? {
        "service_account" => {
            for field in ["client_email", "private_key", "private_key_id"] {
                document.text(field)?;
            }
            return Ok(Credentials::ServiceAccount(json.to_owned()));
        }
        "authorized_user" => Box::new(AuthorizedUser::read(&document, web()?)?),
        "external_account" => Box::new(ExternalAccount::read(&document, web()?)?),
        "impersonated_service_account" => Box::new(Impersonated::read(&document, web()?)?),
        other => {
            return Err(format!(
                "{whence} is a Google credential of type `{other}`, which is not supported: use service_account, authorized_user, external_account or impersonated_service_account"
            ));
        }
    };
    Ok(Credentials::Fetched(source))
}

/// A credential file, to be read member by member.
pub(super) struct Document<'a> {
    pub(super) document: &'a Value,
    /// The variable or the file that it stands in.
    pub(super) whence: &'a str,
}

impl<'a> Document<'a> {
    /// A member that must be there and be text.
    pub(super) fn text(&self, field: &str) -> Result<&'a str, String> {
        self.document
            .get(field)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| format!("the credential in {} lacks `{field}`", self.whence))
    }

    /// The object in a member.
    pub(super) fn object(&self, field: &str) -> Result<Document<'a>, String> {
        let document = self.document.get(field).filter(|value| value.is_object());
        document
            .map(|document| Document {
                document,
                whence: self.whence,
            })
            .ok_or_else(|| format!("the credential in {} lacks `{field}`", self.whence))
    }

    /// A URL that secrets are sent to; `default` when there is none.
    pub(super) fn endpoint(&self, field: &str, default: Option<&str>) -> Result<Url, String> {
        let text = match (self.document.get(field).and_then(Value::as_str), default) {
            (None, Some(default)) => default,
            _ => self.text(field)?,
        };
        Url::parse(text).ok().filter(keeps_secrets).ok_or_else(|| {
            format!(
                "`{field}` of the credential in {} is not an https:// URL",
                self.whence
            )
        })
    }
}

/// The answer of a token endpoint.
#[derive(Deserialize)]
pub(super) struct Granted {
    access_token: String,
    expires_in: u64,
}

impl From<Granted> for Token {
    fn from(granted: Granted) -> Self {
        Self {
            bearer: granted.access_token,
            lasts: Duration::from_secs(granted.expires_in),
        }
    }
}

/// A person who logged in with `gcloud auth application-default login`.
struct AuthorizedUser {
    web: Client,
    endpoint: Url,
    client_id: String,
    client_secret: String,
    refresh_token: String,
}

impl AuthorizedUser {
    fn read(document: &Document<'_>, web: Client) -> Result<Self, String> {
        Ok(Self {
            web,
            endpoint: document.endpoint("token_uri", Some(TOKEN_ENDPOINT))?,
            client_id: document.text("client_id")?.to_owned(),
            client_secret: document.text("client_secret")?.to_owned(),
            refresh_token: document.text("refresh_token")?.to_owned(),
        })
    }
}

impl std::fmt::Debug for AuthorizedUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthorizedUser")
    }
}

impl TokenSource for AuthorizedUser {
    fn name(&self) -> String {
        format!("the token endpoint {}", self.endpoint)
    }

    fn fetch(&self) -> BoxFuture<'_, Result<Token, NoCredentials>> {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", &self.client_id),
            ("client_secret", &self.client_secret),
            ("refresh_token", &self.refresh_token),
        ];
        let request = form_request(&self.web, &self.endpoint, &form);
        Box::pin(async move {
            let secrets = [self.client_secret.as_str(), self.refresh_token.as_str()];
            let granted: Granted = ask(request, &self.name(), &secrets).await?;
            Ok(granted.into())
        })
    }
}

/// A person who may act as a service account.
#[derive(Debug)]
struct Impersonated {
    person: AuthorizedUser,
    account: Impersonation,
}

impl Impersonated {
    fn read(document: &Document<'_>, web: Client) -> Result<Self, String> {
        let person = document.object("source_credentials")?;
        if person.text("type")? != "authorized_user" {
            return Err(format!(
                "`source_credentials` of the credential in {} is not of type authorized_user: give a service account's own key in GCP_SERVICE_ACCOUNT",
                document.whence
            ));
        }
        let url = document.endpoint("service_account_impersonation_url", None)?;
        Ok(Self {
            person: AuthorizedUser::read(&person, web.clone())?,
            account: Impersonation { web, url },
        })
    }
}

impl TokenSource for Impersonated {
    fn name(&self) -> String {
        self.account.name()
    }

    fn fetch(&self) -> BoxFuture<'_, Result<Token, NoCredentials>> {
        Box::pin(async {
            let person = self.person.fetch().await?;
            self.account.exchange(&person).await
        })
    }
}

/// A service account that another identity acts as.
#[derive(Debug)]
pub(super) struct Impersonation {
    pub(super) web: Client,
    pub(super) url: Url,
}

/// The answer of `generateAccessToken`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Impersonating {
    access_token: String,
}

impl Impersonation {
    /// How long the tokens are asked for; the most that needs no permission of its own.
    const LASTS: Duration = Duration::from_secs(3600);

    pub(super) fn name(&self) -> String {
        format!("the impersonation endpoint {}", self.url)
    }

    pub(super) async fn exchange(&self, identity: &Token) -> Result<Token, NoCredentials> {
        let lifetime = format!("{}s", Self::LASTS.as_secs());
        let request = self
            .web
            .post(self.url.clone())
            .bearer_auth(&identity.bearer)
            .json(&serde_json::json!({ "scope": [SCOPE], "lifetime": lifetime }));
        let given: Impersonating = ask(request, &self.name(), &[&identity.bearer]).await?;
        Ok(Token {
            bearer: given.access_token,
            lasts: Self::LASTS,
        })
    }
}
