//! A response that the gateway itself makes.

use crate::HeaderMap;
use bytes::Bytes;
use http::StatusCode;

use crate::exchange::MadeBy;

/// A response that the gateway itself makes instead of calling the upstream.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status.
    pub status: StatusCode,
    /// Headers; `Content-Length` and `Server` are set by the proxy.
    pub headers: HeaderMap,
    /// Body.
    pub body: Body,
    /// Who made it: [`MadeBy::Plugin`], [`MadeBy::Cache`] or [`MadeBy::Function`].
    pub made_by: MadeBy,
}

/// The body of a [`Response`].
#[derive(Clone, Debug)]
pub enum Body {
    /// Exactly these bytes.
    Bytes(Bytes),
    /// A message that the proxy renders as Kong does for errors: JSON, HTML, XML or plain text
    /// after the request's `Accept` (JSON without one), with `message` and `request_id`.
    Error(String),
    /// `{"message": …}` in JSON, with `request_id` when `true`.
    Message(String, bool),
    /// The page that the proxy has for this status (`Bad request` for 400, …), rendered after the
    /// request's `Accept`, else its `Content-Type`, else as `error_default_type` says.
    ErrorPage,
}

impl Response {
    /// An error as most plugins answer it: in the form that the client accepts, with `message` and
    /// `request_id`.
    pub fn error(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, Body::Error(message.into()))
    }

    /// What is told where something went wrong of which clients learn no more.
    pub fn unexpected() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::error(status, "An unexpected error occurred")
    }

    /// A JSON answer `{"message": …, "request_id": …}`, whatever the client accepts.
    pub fn message(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, Body::Message(message.into(), true))
    }

    /// An answer without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self::new(status, Body::Bytes(Bytes::new()))
    }

    /// An answer without headers of its own.
    pub fn new(status: StatusCode, body: Body) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body,
            made_by: MadeBy::Plugin,
        }
    }
}
