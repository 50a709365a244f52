//! Workload identity federation: a token of another identity provider is exchanged for one of
//! Google.

use std::path::PathBuf;

use futures_util::future::BoxFuture;
use reqwest::Client;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use url::Url;

use super::credentials::{Document, Granted, Impersonation, SCOPE};
use crate::storage::ErrorKind;
use crate::storage::object::NoCredentials;
use crate::storage::token::{Token, TokenSource, ask, form_request};

/// Longest token of another provider, in bytes.
const SUBJECT_LIMIT: usize = 64 << 10;

/// A credential of type `external_account`.
#[derive(Debug)]
pub(super) struct ExternalAccount {
    web: Client,
    audience: String,
    subject_token_type: String,
    exchange: Url,
    subject: Subject,
    /// The member of the JSON that holds the token; where there is none, the whole text is it.
    member: Option<String>,
    account: Option<Impersonation>,
}

/// Where the other provider's token is.
#[derive(Debug)]
enum Subject {
    /// In a file that the platform renews.
    File(PathBuf),
    /// At a server that is asked each time.
    Server(Url, HeaderMap),
}

impl ExternalAccount {
    pub(super) fn read(document: &Document<'_>, web: Client) -> Result<Self, String> {
        let impersonation = "service_account_impersonation_url";
        let account = match document.document.get(impersonation) {
            None | Some(Value::Null) => None,
            Some(_) => Some(Impersonation {
                web: web.clone(),
                url: document.endpoint(impersonation, None)?,
            }),
        };
        let source = document.object("credential_source")?;
        let member = match source.document.pointer("/format/type") {
            Some(Value::String(kind)) if kind == "json" => {
                let format = source.object("format")?;
                Some(format.text("subject_token_field_name")?.to_owned())
            }
            _ => None,
        };
        Ok(Self {
            audience: document.text("audience")?.to_owned(),
            subject_token_type: document.text("subject_token_type")?.to_owned(),
            exchange: document.endpoint("token_url", None)?,
            subject: Subject::read(&source)?,
            member,
            account,
            web,
        })
    }

    async fn subject_token(&self) -> Result<String, NoCredentials> {
        match &self.subject {
            Subject::File(path) => {
                let text = tokio::fs::read_to_string(path).await;
                let text = text.map_err(|error| lacking(format!("{}: {error}", path.display())))?;
                self.extract(&text, &path.display().to_string())
            }
            Subject::Server(url, headers) => {
                let whom = format!("the provider of subject tokens at {url}");
                let request = self.web.get(url.clone()).headers(headers.clone());
                match &self.member {
                    Some(_) => {
                        let document: Value = ask(request, &whom, &[]).await?;
                        self.extract(&document.to_string(), &whom)
                    }
                    None => {
                        let text = text(request).await;
                        let text = text.ok_or_else(|| lacking(format!("{whom} gave none")))?;
                        self.extract(&text, &whom)
                    }
                }
            }
        }
    }

    fn extract(&self, text: &str, whence: &str) -> Result<String, NoCredentials> {
        let token = match &self.member {
            None => Some(text.trim().to_owned()),
            Some(member) => serde_json::from_str::<Value>(text)
                .ok()
                .and_then(|document| Some(document.get(member)?.as_str()?.to_owned())),
        };
        token
            .filter(|token| !token.is_empty() && token.len() <= SUBJECT_LIMIT)
            .ok_or_else(|| lacking(format!("{whence} holds none")))
    }
}

fn lacking(reason: String) -> NoCredentials {
    NoCredentials {
        kind: ErrorKind::Denied,
        detail: format!("no subject token of the workload's identity: {reason}"),
    }
}

/// The text that a server answers with; nothing when it answers anything but success.
async fn text(request: reqwest::RequestBuilder) -> Option<String> {
    let response = request.send().await.ok()?.error_for_status().ok()?;
    let bytes = crate::storage::web::body(response, SUBJECT_LIMIT as u64);
    String::from_utf8(bytes.await.ok()??.to_vec()).ok()
}

impl Subject {
    fn read(source: &Document<'_>) -> Result<Self, String> {
        if source.document.get("file").is_some() {
            return Ok(Self::File(source.text("file")?.into()));
        }
        if source.document.get("environment_id").is_some() {
            return Err(format!(
                "the credential in {} takes the identity of AWS, which is not supported: use a credential source of type file or url",
                source.whence
            ));
        }
        if source.document.get("executable").is_some() {
            return Err(format!(
                "the credential in {} runs a program, which the gateway does not: use a credential source of type file or url",
                source.whence
            ));
        }
        let url = Url::parse(source.text("url")?)
            .map_err(|_| format!("`url` of the credential in {} is no URL", source.whence))?;
        let mut headers = HeaderMap::new();
        if let Some(Value::Object(given)) = source.document.get("headers") {
            for (name, value) in given {
                let wrong = || format!("a header of the credential in {} is wrong", source.whence);
                let value = value.as_str().ok_or_else(wrong)?;
                let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
                value.set_sensitive(true);
                headers.insert(
                    HeaderName::try_from(name.as_str()).map_err(|_| wrong())?,
                    value,
                );
            }
        }
        Ok(Self::Server(url, headers))
    }
}

impl TokenSource for ExternalAccount {
    fn name(&self) -> String {
        format!("the token exchange {}", self.exchange)
    }

    fn fetch(&self) -> BoxFuture<'_, Result<Token, NoCredentials>> {
        Box::pin(async {
            let subject = self.subject_token().await?;
            let form = [
                (
                    "grant_type",
                    "urn:ietf:params:oauth:grant-type:token-exchange",
                ),
                ("audience", self.audience.as_str()),
                ("scope", SCOPE),
                (
                    "requested_token_type",
                    "urn:ietf:params:oauth:token-type:access_token",
                ),
                ("subject_token_type", &self.subject_token_type),
                ("subject_token", &subject),
            ];
            let request = form_request(&self.web, &self.exchange, &form);
            let granted: Granted = ask(request, &self.name(), &[&subject]).await?;
            let token = granted.into();
            match &self.account {
                Some(account) => account.exchange(&token).await,
                None => Ok(token),
            }
        })
    }
}
