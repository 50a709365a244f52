//! What applications are answered.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, PRAGMA, WWW_AUTHENTICATE};
use http::{HeaderName, StatusCode};
use serde_json::{Map, Value};

use crate::records::RecordsError;
use crate::response::Body;
use crate::{Response, body};

/// Fields of an answer.
pub(super) type Fields = Map<String, Value>;

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The code, as RFC 6749 and its relatives have them.
    pub(super) error: &'static str,
    pub(super) description: String,
}

impl Problem {
    pub(super) fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self {
            error,
            description: description.into(),
        }
    }

    pub(super) fn invalid_request(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }

    pub(super) fn invalid_client() -> Self {
        Self::new("invalid_client", "Invalid client authentication")
    }

    pub(super) fn invalid_provision_key() -> Self {
        Self::new("invalid_provision_key", "Invalid provision_key")
    }

    pub(super) fn missing_user() -> Self {
        Self::new(
            "invalid_authenticated_userid",
            "Missing authenticated_userid parameter",
        )
    }

    /// The redirection is none that the application may use.
    pub(super) fn foreign_redirect() -> Self {
        Self::invalid_request(
            "Invalid redirect_uri that does not match with any redirect_uri created with the \
             application",
        )
    }

    pub(super) fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        fields.insert("error".to_owned(), self.error.into());
        fields.insert(
            "error_description".to_owned(),
            self.description.as_str().into(),
        );
        fields
    }
}

/// Why no answer can be given.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("records: {0}")]
    Records(#[from] RecordsError),
    #[error("a record does not have the fields of its kind: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error(
        "its tokens are kept in the database of the node that serves, and this node has none: use a \
         node with a database, or another way to authenticate"
    )]
    NoRecords,
    #[error("tokens are for a service, and the route has none: set 'global_credentials'")]
    NoService,
}

impl Failure {
    /// The client is told nothing, the log all.
    pub(super) fn answer(&self) -> Response {
        tracing::error!(error = %self, "oauth2 cannot answer");
        Response::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "An unexpected error occurred",
        )
    }
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, fields: &Fields) -> Response {
    let mut response = Response::new(status, Body::Bytes(body::json(fields)));
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers.insert(CONTENT_TYPE, kind);
    response
}

/// The same, for the eyes of the application alone.
pub(super) fn private(status: StatusCode, fields: &Fields) -> Response {
    let mut response = json(status, fields);
    let pairs: [(HeaderName, &'static str); 2] =
        [(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")];
    for (name, value) in pairs {
        response
            .headers
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A refusal that says how to authenticate.
pub(super) fn challenge(status: StatusCode, problem: &Problem, challenge: HeaderValue) -> Response {
    let mut response = json(status, &problem.fields());
    response.headers.insert(WWW_AUTHENTICATE, challenge);
    response
}
