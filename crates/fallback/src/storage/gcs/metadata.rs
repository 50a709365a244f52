//! The metadata server of Google's machines, pods and functions.

use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::{Client, ClientBuilder};

use super::credentials::Granted;
use crate::storage::Environment;
use crate::storage::object::NoCredentials;
use crate::storage::token::{Token, TokenSource, ask};

const HOST: &str = "metadata.google.internal";
const PATH: &str = "computeMetadata/v1/instance/service-accounts/default/token";

/// It is on the same machine or next to it: where it is not quick, it is not there.
const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(5);

/// Gives the tokens of the service account that the machine or pod runs as.
#[derive(Debug)]
pub(super) struct MetadataServer {
    web: Client,
    host: String,
}

impl MetadataServer {
    pub(super) fn new(environment: &Environment, web: ClientBuilder) -> Result<Self, String> {
        let host = ["GCE_METADATA_HOST", "GCE_METADATA_ROOT", "GCE_METADATA_IP"]
            .iter()
            .find_map(|name| environment.get(name))
            .unwrap_or(HOST);
        let web = web.no_proxy().connect_timeout(CONNECT).timeout(ANSWER);
        Ok(Self {
            web: web.build().map_err(|error| error.to_string())?,
            host: host.to_owned(),
        })
    }
}

impl TokenSource for MetadataServer {
    fn name(&self) -> String {
        format!("the metadata server at {}", self.host)
    }

    fn fetch(&self) -> BoxFuture<'_, Result<Token, NoCredentials>> {
        Box::pin(async {
            // The server is known to speak plain HTTP only, and to answer nobody from outside.
            let request = self
                .web
                .get(format!("http://{}/{PATH}", self.host))
                .header("metadata-flavor", "Google");
            let granted: Granted = ask(request, &self.name(), &[]).await.map_err(|error| {
                NoCredentials {
                    detail: format!(
                        "{}; neither GCP_SERVICE_ACCOUNT nor GOOGLE_APPLICATION_CREDENTIALS is set",
                        error.detail
                    ),
                    ..error
                }
            })?;
            Ok(granted.into())
        })
    }
}
