//! What the failures of `object_store` mean.

use std::error::Error as _;

use http::StatusCode;
use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

use super::exchange::Refused;
use crate::storage::ErrorKind;
use crate::storage::place::Failure;

/// Credentials that could not be had. `object_store` carries it through as the source of its own
/// error.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{detail}")]
pub(in crate::storage) struct NoCredentials {
    pub(in crate::storage) kind: ErrorKind,
    /// What was tried, and what came of it; never a secret.
    pub(in crate::storage) detail: String,
}

impl From<NoCredentials> for Error {
    fn from(source: NoCredentials) -> Self {
        Self::Generic {
            store: "credentials",
            source: Box::new(source),
        }
    }
}

/// The meaning of a failure and of what the server said with it.
pub(super) fn failure((error, refused): (Error, Option<Refused>)) -> Failure {
    if let Some(lacking) = source::<NoCredentials>(&error) {
        return Failure::new(lacking.kind, &lacking.detail);
    }
    let kind = match &error {
        Error::NotFound { .. } => absence(refused.as_ref()),
        Error::AlreadyExists { .. } => ErrorKind::AlreadyExists,
        // Somebody holds a lease of Azure on the object: no version would be right.
        Error::Precondition { .. } if has_code(refused.as_ref(), "LeaseIdMissing") => {
            ErrorKind::Unavailable
        }
        Error::Precondition { .. } => ErrorKind::Precondition,
        Error::NotModified { .. } => ErrorKind::NotModified,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => ErrorKind::Denied,
        Error::NotImplemented { .. } | Error::NotSupported { .. } => ErrorKind::Unsupported,
        Error::InvalidPath { .. } | Error::UnknownConfigurationKey { .. } => ErrorKind::Invalid,
        _ => match &refused {
            Some(refused) => answered(refused),
            None => source::<HttpError>(&error).map_or(ErrorKind::Unavailable, connection),
        },
    };
    let detail = match (kind, &refused) {
        (
            ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::Precondition
            | ErrorKind::NotModified,
            _,
        ) => String::new(),
        (_, Some(refused)) => said(refused),
        (_, None) => untrusted(innermost(&error)),
    };
    Failure {
        retry_after: refused.and_then(|refused| refused.retry_after),
        ..Failure::new(kind, detail)
    }
}

fn has_code(refused: Option<&Refused>, code: &str) -> bool {
    refused.is_some_and(|refused| refused.code.as_deref() == Some(code))
}

/// What is missing: the object, or what it would be in.
fn absence(refused: Option<&Refused>) -> ErrorKind {
    match refused.and_then(|refused| refused.code.as_deref()) {
        Some("NoSuchBucket" | "ContainerNotFound") => ErrorKind::NoContainer,
        _ => ErrorKind::NotFound,
    }
}

/// The meaning of an answer that the client has no variant for.
fn answered(refused: &Refused) -> ErrorKind {
    let code = refused.code.as_deref().unwrap_or_default();
    match refused.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Denied,
        StatusCode::NOT_FOUND => absence(Some(refused)),
        StatusCode::TOO_MANY_REQUESTS => ErrorKind::Throttled,
        StatusCode::SERVICE_UNAVAILABLE if matches!(code, "SlowDown" | "ServerBusy") => {
            ErrorKind::Throttled
        }
        StatusCode::SERVICE_UNAVAILABLE if refused.retry_after.is_some() => ErrorKind::Throttled,
        StatusCode::BAD_REQUEST if code.contains("Credential") || code.contains("Token") => {
            ErrorKind::Denied
        }
        StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED => ErrorKind::Invalid,
        StatusCode::NOT_IMPLEMENTED => ErrorKind::Unsupported,
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => ErrorKind::TimedOut,
        // The bucket is elsewhere: in another region, or behind another endpoint.
        status if status.is_redirection() => ErrorKind::Unreachable,
        _ => ErrorKind::Unavailable,
    }
}

/// The meaning of a failure of the connection.
fn connection(error: &HttpError) -> ErrorKind {
    match error.kind() {
        HttpErrorKind::Timeout => ErrorKind::TimedOut,
        HttpErrorKind::Decode => ErrorKind::Unavailable,
        _ => ErrorKind::Unreachable,
    }
}

/// What the server said, shortened: its code and message, else its status.
fn said(refused: &Refused) -> String {
    let Refused {
        status,
        code,
        message,
        ..
    } = refused;
    match (code, message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.clone(),
        _ => format!("status {}", status.as_u16()),
    }
}

/// The library says of a certificate what is wrong, not how to mend it.
fn untrusted(cause: String) -> String {
    match cause.contains("UnknownIssuer") {
        true => format!("{cause}: add its authority to lua_ssl_trusted_certificate"),
        false => cause,
    }
}

fn source<T: std::error::Error + 'static>(error: &Error) -> Option<&T> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}

fn innermost(error: &Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let mut text = cause.to_string();
    if text.len() > 200 {
        text.truncate(text.floor_char_boundary(200));
    }
    text
}
