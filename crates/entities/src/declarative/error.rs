//! Why a declarative configuration is refused.

use serde::Serialize;
use serde_json::Value;

use crate::ApiError;

/// Why a declarative configuration is refused: the body of the answer to `POST /config`.
#[derive(Clone, Debug, PartialEq, Serialize, thiserror::Error)]
#[error("{error}")]
pub struct DeclarativeError {
    /// The error, `fields` nested as the configuration is.
    #[serde(flatten)]
    pub error: ApiError,
    /// The same as a list of entities with their errors, where the client asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flattened_errors: Option<Value>,
}

impl From<ApiError> for DeclarativeError {
    fn from(error: ApiError) -> Self {
        Self {
            error,
            flattened_errors: None,
        }
    }
}
