//! Why a request is not answered with what it asked for.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use keelgate_entities::ApiError;
use keelgate_store::StoreError;
use serde_json::{Value, json};

use crate::respond;

/// An answer that is an error.
#[derive(Debug)]
pub(crate) enum Failure {
    /// An error with a code, as schemas and stores tell it.
    Api(ApiError),
    /// A request with wrong options, which stand in `options` instead of `fields`.
    Options {
        option: &'static str,
        message: String,
    },
    /// `{"message": …}`.
    Message(StatusCode, String),
    /// A whole body.
    Body(StatusCode, Value),
    /// An error that never reaches the handlers of entities, as a page.
    Page(StatusCode),
    /// A write to a store that takes none.
    ReadOnly,
    /// A defect, or a database that does not work. Told to the log, not to the client.
    Internal(String),
}

impl Failure {
    pub(crate) fn not_found() -> Self {
        Self::message(StatusCode::NOT_FOUND, "Not found")
    }

    pub(crate) fn message(status: StatusCode, message: impl Into<String>) -> Self {
        Self::Message(status, message.into())
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::message(StatusCode::BAD_REQUEST, message)
    }

    /// Names what could not be written, where the store takes no writes.
    pub(crate) fn while_trying(self, verb: &str, kind: &str) -> Self {
        match self {
            Self::ReadOnly => Self::Api(ApiError::operation_unsupported(format!(
                "cannot {verb} '{kind}' entities when not using a database"
            ))),
            other => other,
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Rejected(error) => Self::Api(error),
            StoreError::ReadOnly => Self::ReadOnly,
            StoreError::UnknownKind(kind) => {
                Self::message(StatusCode::NOT_FOUND, format!("No entity named '{kind}'"))
            }
            away if away.is_outage() => {
                tracing::warn!(error = %away, "the database did not do what the Admin API was asked for");
                Self::message(StatusCode::SERVICE_UNAVAILABLE, away.to_string())
            }
            other => Self::Internal(other.to_string()),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Api(error) => {
                let status = StatusCode::from_u16(error.status())
                    .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                respond::json(status, &error)
            }
            Self::Options { option, message } => respond::json(
                StatusCode::BAD_REQUEST,
                &json!({
                    "code": 11,
                    "name": "invalid options",
                    "message": format!("invalid option ({option}: {message})"),
                    "options": { option: message },
                }),
            ),
            Self::Message(status, message) => respond::json(status, &json!({ "message": message })),
            Self::Body(status, body) => respond::json(status, &body),
            Self::Page(status) => respond::page(status),
            Self::ReadOnly => {
                let error = ApiError::operation_unsupported("this node takes no writes");
                Self::Api(error).into_response()
            }
            Self::Internal(reason) => {
                tracing::error!(%reason, "an Admin API request failed");
                let message = json!({ "message": "An unexpected error occurred" });
                respond::json(StatusCode::INTERNAL_SERVER_ERROR, &message)
            }
        }
    }
}
