//! Deleting a blob with a request of its own.
//!
//! `object_store` deletes in batches, which other permissions and other servers stand for.

use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use object_store::azure::{AzureAuthorizer, AzureCredentialProvider};
use object_store::client::{HttpClient, HttpError, HttpRequest, HttpRequestBody};
use object_store::path::Path;
use object_store::{Error, Result};
use url::Url;

use crate::storage::object::Delete;

/// Deletes blobs one by one.
pub(super) struct PlainDeletes {
    pub(super) http: HttpClient,
    pub(super) credentials: AzureCredentialProvider,
    /// The address of the account's blobs.
    pub(super) endpoint: Url,
    pub(super) account: String,
    pub(super) container: String,
}

/// The server did not delete; what it said is told by the client.
#[derive(Debug, thiserror::Error)]
#[error("status {0}")]
struct NotDeleted(StatusCode);

impl PlainDeletes {
    fn url(&self, path: &Path) -> String {
        let mut url = self.endpoint.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments
                .pop_if_empty()
                .push(&self.container)
                .extend(path.parts());
        }
        url.into()
    }
}

impl Delete for PlainDeletes {
    fn delete<'a>(&'a self, path: &'a Path) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let credential = self.credentials.get_credential().await?;
            let mut request = HttpRequest::new(HttpRequestBody::empty());
            *request.method_mut() = Method::DELETE;
            *request.uri_mut() = self.url(path).parse().map_err(generic)?;
            AzureAuthorizer::new(&credential, &self.account).try_authorize(&mut request)?;
            let response = self.http.execute(request).await;
            let status = response.map_err(generic::<HttpError>)?.status();
            match status {
                status if status.is_success() => Ok(()),
                StatusCode::NOT_FOUND => Err(Error::NotFound {
                    path: path.to_string(),
                    source: Box::new(NotDeleted(status)),
                }),
                status => Err(generic(NotDeleted(status))),
            }
        })
    }
}

fn generic<E: std::error::Error + Send + Sync + 'static>(source: E) -> Error {
    Error::Generic {
        store: "MicrosoftAzure",
        source: Box::new(source),
    }
}
