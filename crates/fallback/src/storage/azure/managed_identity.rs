//! Managed identities: what a virtual machine, a container app or a function of Azure was given.

use std::fmt;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use reqwest::header::HeaderValue;
use reqwest::{Client, ClientBuilder};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::storage::object::NoCredentials;
use crate::storage::token::{Token, TokenSource, ask};
use crate::storage::{Environment, ErrorKind};

/// The metadata service of virtual machines; the variable is that of Azure's own libraries.
const METADATA: (&str, &str) = (
    "AZURE_POD_IDENTITY_AUTHORITY_HOST",
    "http://169.254.169.254",
);
const RESOURCE: &str = "https://storage.azure.com";

/// It is on the same machine: where it is not quick, it is not there.
const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(5);

/// Gives the tokens of the identity that the host was given.
pub(super) struct ManagedIdentity {
    web: Client,
    url: Url,
    /// What keeps others on the host from asking.
    header: (&'static str, HeaderValue),
}

impl fmt::Debug for ManagedIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManagedIdentity")
            .field(&self.url.host_str())
            .finish()
    }
}

/// Numbers come as numbers from some hosts and as text from others.
#[derive(Deserialize)]
struct Given {
    access_token: String,
    expires_in: Option<Value>,
    expires_on: Option<Value>,
}

impl ManagedIdentity {
    pub(super) fn new(environment: &Environment, web: ClientBuilder) -> Result<Self, String> {
        // App Service, Container Apps and Functions tell where to ask and prove it with a header.
        let host = environment
            .get("IDENTITY_ENDPOINT")
            .zip(environment.get("IDENTITY_HEADER"));
        let (url, header, version) = match host {
            Some((url, secret)) => {
                let mut secret = HeaderValue::from_str(secret)
                    .map_err(|_| "IDENTITY_HEADER cannot be sent as a header".to_owned())?;
                secret.set_sensitive(true);
                (url.to_owned(), ("x-identity-header", secret), "2019-08-01")
            }
            None => {
                let authority = environment.get(METADATA.0).unwrap_or(METADATA.1);
                (
                    format!(
                        "{}/metadata/identity/oauth2/token",
                        authority.trim_end_matches('/')
                    ),
                    ("metadata", HeaderValue::from_static("true")),
                    "2018-02-01",
                )
            }
        };
        let mut url = Url::parse(&url).map_err(|_| {
            format!(
                "the address of the managed identity (IDENTITY_ENDPOINT or {}) is no URL",
                METADATA.0
            )
        })?;
        url.query_pairs_mut()
            .append_pair("api-version", version)
            .append_pair("resource", RESOURCE);
        // Which of several identities is meant.
        if let Some(client) = environment.get("AZURE_CLIENT_ID") {
            url.query_pairs_mut().append_pair("client_id", client);
        }
        let web = web.no_proxy().connect_timeout(CONNECT).timeout(ANSWER);
        Ok(Self {
            web: web.build().map_err(|error| error.to_string())?,
            url,
            header,
        })
    }
}

impl TokenSource for ManagedIdentity {
    fn name(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        format!("the managed identity of this host (at {host})")
    }

    fn fetch(&self) -> BoxFuture<'_, Result<Token, NoCredentials>> {
        Box::pin(async {
            let (name, value) = self.header.clone();
            let request = self.web.get(self.url.clone()).header(name, value);
            let given: Given = ask(request, &self.name(), &[]).await.map_err(|error| {
                NoCredentials {
                    detail: format!(
                        "{}; none of AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, AZURE_CLIENT_SECRET and AZURE_FEDERATED_TOKEN_FILE is set",
                        error.detail
                    ),
                    ..error
                }
            })?;
            let lasts = given
                .lasts(SystemTime::now())
                .ok_or_else(|| NoCredentials {
                    kind: ErrorKind::Unavailable,
                    detail: format!("no token: {} gave one without a time", self.name()),
                })?;
            Ok(Token {
                bearer: given.access_token,
                lasts,
            })
        })
    }
}

impl Given {
    fn lasts(&self, now: SystemTime) -> Option<Duration> {
        let seconds = |value: &Value| match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        if let Some(seconds) = self.expires_in.as_ref().and_then(seconds) {
            return Some(Duration::from_secs(seconds));
        }
        let until = self.expires_on.as_ref().and_then(seconds)?;
        let until = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(until))?;
        Some(until.duration_since(now).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_token_is_read_in_every_form() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        for (members, seconds) in [
            (r#""expires_in":"3599""#, Some(3599)),
            (r#""expires_in":3599"#, Some(3599)),
            (r#""expires_on":"1060""#, Some(60)),
            (r#""expires_on":1060"#, Some(60)),
            (r#""expires_on":"900""#, Some(0)),
            (r#""expires_on":"never""#, None),
            (r#""other":1"#, None),
        ] {
            let given: Given =
                serde_json::from_str(&format!(r#"{{"access_token":"t",{members}}}"#)).unwrap();
            assert_eq!(
                given.lasts(now),
                seconds.map(Duration::from_secs),
                "{members}"
            );
        }
    }
}
