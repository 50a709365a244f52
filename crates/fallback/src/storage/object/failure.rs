//! What the failures of `object_store` mean.

use std::error::Error as _;

use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

use crate::storage::ErrorKind;
use crate::storage::place::Failure;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let code = element(&text, "Code");
        let kind = match (&error, code) {
            (_, Some("NoSuchBucket")) => ErrorKind::NoContainer,
            (Error::NotFound { .. }, _) => ErrorKind::NotFound,
            (Error::AlreadyExists { .. }, _) => ErrorKind::AlreadyExists,
            (Error::Precondition { .. }, _) => ErrorKind::Precondition,
            (Error::NotModified { .. }, _) => ErrorKind::NotModified,
            (Error::PermissionDenied { .. } | Error::Unauthenticated { .. }, _) => {
                ErrorKind::Denied
            }
            (Error::NotImplemented { .. } | Error::NotSupported { .. }, _) => {
                ErrorKind::Unsupported
            }
            (Error::InvalidPath { .. } | Error::UnknownConfigurationKey { .. }, _) => {
                ErrorKind::Invalid
            }
            _ => transport(&error).unwrap_or_else(|| answered(&text)),
        };
        // The texts of the client hold whole answers of the server; of those only the code and
        // the message are repeated, since some servers echo what was signed.
        let detail = match kind {
            ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::Precondition
            | ErrorKind::NotModified => String::new(),
            _ => match (code, element(&text, "Message"), status(&text)) {
                (Some(code), Some(message), _) => format!("{code}: {message}"),
                (Some(code), None, _) => code.to_owned(),
                (None, _, Some(status)) => format!("status {status}"),
                _ => innermost(&error),
            },
        };
        Self::new(kind, detail)
    }
}

/// The meaning of a failure of the connection.
fn transport(error: &Error) -> Option<ErrorKind> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return Some(match http.kind() {
                HttpErrorKind::Timeout => ErrorKind::TimedOut,
                HttpErrorKind::Decode => ErrorKind::Unavailable,
                _ => ErrorKind::Unreachable,
            });
        }
        source = error.source();
    }
    None
}

/// The meaning of an answer that the client has no variant for.
fn answered(text: &str) -> ErrorKind {
    match status(text) {
        Some("429") => ErrorKind::Throttled,
        Some("503") if text.contains("SlowDown") => ErrorKind::Throttled,
        Some("400") if text.contains("Credential") || text.contains("Token") => ErrorKind::Denied,
        Some("501") => ErrorKind::Unsupported,
        _ => ErrorKind::Unavailable,
    }
}

fn status(text: &str) -> Option<&str> {
    text.split_once("status code: ")?.1.get(..3)
}

fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = text.split_once(&format!("<{name}>"))?.1;
    rest.split_once(&format!("</{name}>"))
        .map(|(content, _)| content)
        .filter(|content| !content.is_empty() && content.len() <= 200)
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
