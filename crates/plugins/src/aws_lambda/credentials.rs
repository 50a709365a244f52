//! Whose calls AWS takes them for.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use object_store::aws::{AmazonS3Builder, AwsCredential, AwsCredentialProvider};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::{Url, form_urlencoded};

use super::signature::signed;
use crate::function::client::Client;

/// How long before its end a session is replaced.
const EARLY: Duration = Duration::from_secs(300);

/// Where credentials come from.
pub(super) enum Credentials {
    /// The settings.
    Fixed(Arc<AwsCredential>),
    /// The node: its environment, its container, its machine.
    Node(NodeCredentials),
    /// A role that others may take.
    Role(Box<Role>),
}

/// Credentials that AWS gives whoever runs on it.
pub(super) struct NodeCredentials {
    region: String,
    /// Whether a metadata service may be asked that knows no tokens.
    imds_v1: bool,
    /// Made with the first request.
    provider: OnceLock<Result<AwsCredentialProvider, String>>,
}

/// A role.
pub(super) struct Role {
    pub(super) taken_by: Credentials,
    pub(super) arn: String,
    pub(super) session_name: String,
    pub(super) endpoint: Url,
    pub(super) region: String,
    pub(super) session: Mutex<Option<(Arc<AwsCredential>, SystemTime)>>,
}

impl NodeCredentials {
    pub(super) fn new(region: String, imds_v1: bool) -> Self {
        Self {
            region,
            imds_v1,
            provider: OnceLock::new(),
        }
    }

    /// The chain of places that the storage client looks at as well.
    fn provider(&self) -> Result<AwsCredentialProvider, String> {
        let builder = AmazonS3Builder::from_env()
            .with_region(&self.region)
            .with_bucket_name("none");
        let builder = match self.imds_v1 {
            true => builder.with_imdsv1_fallback(),
            false => builder,
        };
        let store = builder.build().map_err(|error| error.to_string())?;
        Ok(Arc::clone(store.credentials()))
    }
}

impl Credentials {
    /// The credential for a call at this time.
    pub(super) async fn at(
        &self,
        now: SystemTime,
        client: &Client,
    ) -> Result<Arc<AwsCredential>, String> {
        match self {
            Self::Fixed(credential) => Ok(Arc::clone(credential)),
            Self::Node(node) => {
                let provider = node.provider.get_or_init(|| node.provider()).as_ref();
                let provider = provider.map_err(String::clone)?;
                let credential = provider.get_credential().await;
                credential.map_err(|error| format!("this node has no credentials: {error}"))
            }
            Self::Role(role) => Box::pin(role.credential(now, client)).await,
        }
    }
}

impl Role {
    async fn credential(
        &self,
        now: SystemTime,
        client: &Client,
    ) -> Result<Arc<AwsCredential>, String> {
        // Whoever comes while the role is taken waits for it.
        let mut session = self.session.lock().await;
        if let Some((credential, end)) = &*session
            && now + EARLY < *end
        {
            return Ok(Arc::clone(credential));
        }
        let taken = self.take(now, client).await;
        let (credential, end) =
            taken.map_err(|problem| format!("the role cannot be taken: {problem}"))?;
        *session = Some((Arc::clone(&credential), end));
        Ok(credential)
    }

    async fn take(
        &self,
        now: SystemTime,
        client: &Client,
    ) -> Result<(Arc<AwsCredential>, SystemTime), String> {
        let own = self.taken_by.at(now, client).await?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", "AssumeRole")
            .append_pair("Version", "2011-06-15")
            .append_pair("RoleArn", &self.arn)
            .append_pair("RoleSessionName", &self.session_name)
            .finish();
        let body = Bytes::from(form);
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
        let place = ("sts", self.region.as_str());
        let headers = signed(&own, place, &self.endpoint, headers, body.clone())?;
        let asked = client.ask(|pool| {
            let request = pool.post(self.endpoint.clone());
            request.headers(headers).body(body)
        });
        let answer = asked.await?;
        if !answer.status.is_success() {
            return Err(format!("STS answered {}", answer.status));
        }
        let text = std::str::from_utf8(&answer.body).map_err(|_| "STS answers no text")?;
        read(text)
    }
}

#[derive(Deserialize)]
struct AssumeRoleResponse {
    #[serde(rename = "AssumeRoleResult")]
    result: AssumeRoleResult,
}

#[derive(Deserialize)]
struct AssumeRoleResult {
    #[serde(rename = "Credentials")]
    credentials: Given,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    /// In the format of RFC 3339.
    expiration: String,
}

/// Reads what STS gives: the credential, and when it ends.
pub(super) fn read(text: &str) -> Result<(Arc<AwsCredential>, SystemTime), String> {
    let response: AssumeRoleResponse =
        quick_xml::de::from_str(text).map_err(|_| "STS answers no credentials")?;
    let given = response.result.credentials;
    let credential = AwsCredential {
        key_id: given.access_key_id,
        secret_key: given.secret_access_key,
        token: Some(given.session_token),
    };
    let end: Timestamp = given
        .expiration
        .parse()
        .map_err(|_| "STS tells no end of its credentials")?;
    Ok((Arc::new(credential), end.into()))
}
