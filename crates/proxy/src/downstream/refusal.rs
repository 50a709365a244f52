//! Answers to requests that never reach the phases.

use std::io;
use std::time::{Instant, SystemTime};

use http::header::{CONTENT_TYPE, DATE, HOST, REFERER, SERVER, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use keelgate_plugins::HeaderMap;

use super::{Client, Outgoing, Respond};
use crate::access_log::Record;
use crate::core::Core;
use crate::error_page;
use crate::http1::{Framing, Malformed};
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

/// What is known of a request that is refused.
pub(super) struct Asked<'a> {
    pub(super) client: &'a Client,
    /// None where the head could not be read.
    pub(super) method: Option<&'a Method>,
    pub(super) target: &'a str,
    pub(super) version: &'static str,
    pub(super) headers: &'a HeaderMap,
}

impl<'a> Asked<'a> {
    /// A request whose head could not be read.
    pub(super) fn unreadable(client: &'a Client, headers: &'a HeaderMap) -> Self {
        Self {
            client,
            method: None,
            target: "-",
            version: "HTTP/1.1",
            headers,
        }
    }

    fn log(
        &self,
        core: &Core,
        sent: &HeaderMap,
        told: (StatusCode, &str, [u64; 2]),
        since: Instant,
    ) {
        let Some(log) = &core.settings.access_log else {
            return;
        };
        let text = |name| {
            let value: Option<&HeaderValue> = self.headers.get(name);
            value.and_then(|value| value.to_str().ok())
        };
        let elapsed = since.elapsed();
        let (status, request_id, [body_bytes, sent_bytes]) = told;
        log.record(&Record {
            client: phases::client_address(&core.settings, self.client, self.headers),
            received_at: SystemTime::now() - elapsed,
            method: self.method.map_or("-", Method::as_str),
            target: self.target,
            version: self.version,
            status: status.as_u16(),
            body_bytes,
            request_bytes: 0,
            sent_bytes,
            referer: text(REFERER),
            user_agent: text(USER_AGENT),
            request_id,
            host: text(HOST).unwrap_or(""),
            port: self.client.local.port(),
            scheme: if self.client.tls { "https" } else { "http" },
            headers: self.headers,
            sent,
            elapsed,
            upstream: None,
            upstream_status: None,
            upstream_time: None,
            connection: self.client.facts(),
            route: None,
            service: None,
            consumer: None,
        });
    }
}

/// Sends a refusal, and writes the access log; the connection is to be closed after it.
pub(super) async fn send<R: Respond>(
    core: &Core,
    asked: &Asked<'_>,
    refusal: Refusal,
    respond: &mut R,
) -> io::Result<()> {
    let started = Instant::now();
    let head_only = asked.method == Some(&Method::HEAD);
    let id = phases::request_id();
    let settings = &*core.settings;
    let (status, page) = match refusal {
        Refusal::Status(status) => (
            status,
            error_page::failed(asked.headers, status, &id, settings),
        ),
        Refusal::HeaderTooLarge => (
            StatusCode::BAD_REQUEST,
            error_page::failed_with(
                asked.headers,
                "Request header or cookie too large",
                &id,
                settings,
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
        framing: Framing::Length(page.body.len() as u64),
        body: !head_only,
        trailers: false,
        close: true,
    });
    let sent = match respond.data(page.body).await {
        Ok(()) => respond.finish(None).await,
        failed => failed,
    };
    asked.log(
        core,
        &headers,
        (status, &id, [respond.sent(), respond.written()]),
        started,
    );
    sent
}
