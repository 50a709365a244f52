//! Answers to requests that never reach the phases.

use std::io;
use std::time::{Instant, SystemTime};

use http::header::{CONTENT_TYPE, DATE, SERVER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{Outgoing, Respond};
use crate::core::Core;
use crate::error_page;
use crate::http1::{Framing, Malformed, Spelling};
use crate::phases;

/// Why a request is refused before it means anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// With the usual page of the status.
    Status(StatusCode),
    /// A header that is too large; told with a message of its own, as status 400.
    HeaderTooLarge,
    /// Plain HTTP on a port for TLS.
    PlainOnTls,
    /// With a bare page: the client speaks something else.
    Bare(StatusCode, &'static str),
}

impl Refusal {
    /// The refusal of bytes that break the protocol.
    pub(super) fn of(malformed: Malformed) -> Self {
        match malformed {
            Malformed::LineTooLong => Self::Status(StatusCode::URI_TOO_LONG),
            Malformed::HeaderTooLarge => Self::HeaderTooLarge,
            Malformed::Version => Self::Bare(
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "505 HTTP Version Not Supported",
            ),
            Malformed::Coding => Self::Bare(StatusCode::NOT_IMPLEMENTED, "501 Not Implemented"),
            Malformed::Head | Malformed::Length | Malformed::Chunk | Malformed::Truncated => {
                Self::Status(StatusCode::BAD_REQUEST)
            }
        }
    }
}

/// Sends a refusal; the connection is to be closed after it.
pub(super) async fn send<R: Respond>(
    core: &Core,
    asked: &HeaderMap,
    head_only: bool,
    refusal: Refusal,
    respond: &mut R,
) -> io::Result<()> {
    let started = Instant::now();
    let id = phases::request_id();
    let default_type = &core.settings.error_default_type;
    let (status, page) = match refusal {
        Refusal::Status(status) => (status, error_page::failed(asked, status, &id, default_type)),
        Refusal::HeaderTooLarge => (
            StatusCode::BAD_REQUEST,
            error_page::failed_with(
                asked,
                "Request header or cookie too large",
                &id,
                default_type,
            ),
        ),
        Refusal::PlainOnTls => (StatusCode::BAD_REQUEST, error_page::plain_on_tls()),
        Refusal::Bare(status, title) => (status, error_page::bare(title)),
    };
    let added = &core.settings.headers;
    let mut headers = HeaderMap::new();
    headers.insert(DATE, core.date(SystemTime::now()));
    if let Some(content_type) = page.content_type {
        headers.insert(CONTENT_TYPE, content_type);
    }
    if added.server {
        headers.insert(SERVER, core.server.clone());
    }
    if added.response_latency {
        let elapsed = started.elapsed().as_millis() as u64;
        headers.insert(
            HeaderName::from_static("x-kong-response-latency"),
            HeaderValue::from(elapsed),
        );
    }
    if added.request_id
        && let Ok(id) = HeaderValue::from_str(&id)
    {
        headers.insert(HeaderName::from_static("x-kong-request-id"), id);
    }
    respond.head(&Outgoing {
        status,
        reason: None,
        headers: &headers,
        spelling: &Spelling::default(),
        framing: Framing::Length(page.body.len() as u64),
        body: !head_only,
        trailers: false,
        close: true,
    });
    respond.data(page.body).await?;
    respond.finish(None).await
}
