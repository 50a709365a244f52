//! A response that the gateway itself makes.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// A response that the gateway itself makes instead of calling the upstream.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status.
    pub status: StatusCode,
    /// Headers; `Content-Length` and `Server` are set by the proxy.
    pub headers: HeaderMap,
    /// Body.
    pub body: Body,
}

/// The body of a [`Response`].
#[derive(Clone, Debug)]
pub enum Body {
    /// Exactly these bytes.
    Bytes(Bytes),
    /// A message that the proxy renders as Kong does for errors: JSON, HTML, XML or plain text
    /// after the request's `Accept`, with `message` and `request_id`.
    Error(String),
    /// `{"message": …}` in JSON, with `request_id` when `true`.
    Message(String, bool),
}

impl Response {
    /// A JSON answer `{"message": …, "request_id": …}`, as most plugins give.
    pub fn message(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Body::Message(message.into(), true),
        }
    }
}
