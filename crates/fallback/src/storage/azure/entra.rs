//! Applications of Entra ID: by a secret, or by a token of a federated identity (workload identity).

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::Client;
use serde::Deserialize;
use url::Url;

use crate::storage::endpoint::{keeps_secrets, read};
use crate::storage::object::NoCredentials;
use crate::storage::token::{Token, TokenSource, ask, form_request};
use crate::storage::{Environment, ErrorKind};

const AUTHORITY: &str = "AZURE_AUTHORITY_HOST";
const PUBLIC_CLOUD: &str = "https://login.microsoftonline.com/";
const SCOPE: &str = "https://storage.azure.com/.default";

/// How an application shows that it is itself.
pub(super) enum Proof {
    Secret(String),
    /// A file that the platform renews.
    FederatedToken(PathBuf),
}

impl Proof {
    pub(super) fn variable(&self) -> &'static str {
        match self {
            Self::Secret(_) => "AZURE_CLIENT_SECRET",
            Self::FederatedToken(_) => "AZURE_FEDERATED_TOKEN_FILE",
        }
    }
}

/// An application that asks for tokens of its own.
pub(super) struct Application {
    web: Client,
    endpoint: Url,
    client_id: String,
    proof: Proof,
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application")
            .field("endpoint", &self.endpoint.as_str())
            .field("proof", &self.proof.variable())
            .finish()
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: u64,
}

impl Application {
    pub(super) fn new(
        environment: &Environment,
        web: Client,
        tenant: &str,
        client_id: String,
        proof: Proof,
    ) -> Result<Self, String> {
        let authority = environment.get(AUTHORITY).unwrap_or(PUBLIC_CLOUD);
        // The clouds' documents write it with and without a scheme.
        let authority = match authority.contains("://") {
            true => authority.to_owned(),
            false => format!("https://{authority}"),
        };
        let mut endpoint = read(&authority, AUTHORITY, "AZURE_CLIENT_SECRET")?;
        if !keeps_secrets(&endpoint) {
            return Err(format!("{AUTHORITY} is not an https:// URL"));
        }
        let is_tenant = tenant
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if !is_tenant {
            return Err("AZURE_TENANT_ID is no tenant: write its id or its domain".to_owned());
        }
        endpoint.set_path(&format!("/{tenant}/oauth2/v2.0/token"));
        Ok(Self {
            web,
            endpoint,
            client_id,
            proof,
        })
    }
}

impl TokenSource for Application {
    fn name(&self) -> String {
        format!("Entra ID at {}", self.endpoint)
    }

    fn fetch(&self) -> BoxFuture<'_, Result<Token, NoCredentials>> {
        Box::pin(async {
            let assertion;
            let mut form = vec![
                ("grant_type", "client_credentials"),
                ("client_id", &self.client_id),
                ("scope", SCOPE),
            ];
            let secret = match &self.proof {
                Proof::Secret(secret) => {
                    form.push(("client_secret", secret));
                    secret.as_str()
                }
                Proof::FederatedToken(path) => {
                    let read = tokio::fs::read_to_string(path).await;
                    assertion = read.map_err(|error| NoCredentials {
                        kind: ErrorKind::Denied,
                        detail: format!(
                            "no token: the file of AZURE_FEDERATED_TOKEN_FILE cannot be read: {}: {error}",
                            path.display()
                        ),
                    })?;
                    form.push((
                        "client_assertion_type",
                        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                    ));
                    form.push(("client_assertion", assertion.trim()));
                    assertion.trim()
                }
            };
            let request = form_request(&self.web, &self.endpoint, &form);
            let granted: Granted = ask(request, &self.name(), &[secret]).await?;
            Ok(Token {
                bearer: granted.access_token,
                lasts: Duration::from_secs(granted.expires_in),
            })
        })
    }
}
