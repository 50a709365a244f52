//! Answers that the gateway or a plugin gives in place of an upstream.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, DATE};
use http::{Method, StatusCode};
use keelgate_plugins::HeaderMap;
use keelgate_plugins::exchange::MadeBy;
use keelgate_plugins::response::{Body, Response};

use super::body_filter::BodyFilter;
use super::grpc_status::{self, speaks_grpc};
use super::{Flight, header_filter};
use crate::downstream::{Outcome, Outgoing, Respond, UploadFault};
use crate::error_page::{self, Page};
use crate::http1::Framing;
use crate::http1::framing::may_have_body;

/// A response that does not come from an upstream.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Boxed, since answers travel as errors, which are to be small.
    pub(crate) headers: Box<HeaderMap>,
    pub(crate) body: Bytes,
    pub(crate) made_by: MadeBy,
    /// Nobody is there to read it; only the log learns of it.
    pub(crate) unheard: bool,
}

impl Answer {
    /// Without a body.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Box::default(),
            body: Bytes::new(),
            made_by: MadeBy::Gateway,
            unheard: false,
        }
    }

    /// What the gateway decided, with a message of its own.
    pub(super) fn decided(flight: &Flight<'_>, status: StatusCode, message: &str) -> Self {
        let exchange = &flight.exchange;
        Self::empty(status).with(error_page::decided(
            &exchange.headers,
            exchange.version,
            message,
            &exchange.request_id,
            &flight.core.settings,
        ))
    }

    /// A redirect; its target is to be added.
    pub(super) fn redirect(status: StatusCode) -> Self {
        Self::empty(status).with(error_page::redirect(status))
    }

    /// What failed, with the usual message of the status.
    pub(super) fn failed(flight: &Flight<'_>, status: StatusCode) -> Self {
        let exchange = &flight.exchange;
        if asks_in_grpc(flight) {
            return Self {
                body: error_page::message(status).into(),
                ..Self::empty(status)
            };
        }
        Self::empty(status).with(error_page::failed(
            &exchange.headers,
            status,
            &exchange.request_id,
            &flight.core.settings,
        ))
    }

    /// The request body could not be read.
    pub(super) fn of_upload(flight: &Flight<'_>, fault: &UploadFault) -> Self {
        match fault.status() {
            Some(status) => Self::failed(flight, status),
            None => Self {
                unheard: true,
                ..Self::empty(client_gone())
            },
        }
    }

    /// A plugin's answer.
    pub(super) fn from_plugin(flight: &Flight<'_>, response: Response) -> Self {
        let exchange = &flight.exchange;
        let mut answer = Self {
            headers: Box::new(response.headers),
            made_by: response.made_by,
            ..Self::empty(response.status)
        };
        match response.body {
            Body::Bytes(body) => {
                answer.body = body;
                answer
            }
            Body::Error(message) => answer.with(error_page::decided(
                &exchange.headers,
                exchange.version,
                &message,
                &exchange.request_id,
                &flight.core.settings,
            )),
            Body::Message(message, _) if speaks_grpc(exchange.version, &exchange.headers) => {
                answer.body = Bytes::from(message);
                answer
            }
            Body::Message(message, with_id) => answer.with(error_page::json(
                &message,
                with_id.then_some(exchange.request_id.as_str()),
            )),
            Body::ErrorPage if asks_in_grpc(flight) => {
                answer.body = error_page::message(response.status).into();
                answer
            }
            Body::ErrorPage => answer.with(error_page::failed(
                &exchange.headers,
                response.status,
                &exchange.request_id,
                &flight.core.settings,
            )),
        }
    }

    fn with(mut self, page: Page) -> Self {
        if let Some(content_type) = page.content_type
            && !self.headers.contains_key(CONTENT_TYPE)
        {
            self.headers.insert(CONTENT_TYPE, content_type);
        }
        self.body = page.body;
        self
    }
}

/// Whether the client speaks gRPC, and accepts nothing else first.
fn asks_in_grpc(flight: &Flight<'_>) -> bool {
    let exchange = &flight.exchange;
    speaks_grpc(exchange.version, &exchange.headers)
        && exchange
            .headers
            .get(ACCEPT)
            .is_none_or(|accepted| error_page::is_grpc(Some(accepted)))
}

/// The status that logs tell when the client went away.
pub(super) fn client_gone() -> StatusCode {
    StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
}

/// Sends an answer through the response phases.
pub(super) async fn send<R: Respond>(
    flight: &mut Flight<'_>,
    mut answer: Answer,
    respond: &mut R,
) -> Outcome {
    let exchange = &flight.exchange;
    grpc_status::tell(exchange.version, &exchange.headers, &mut answer);
    let response = &mut flight.exchange.response;
    response.status = answer.status;
    response.made_by = answer.made_by;
    // What is there already names the route to whoever asked.
    for (name, value) in &*answer.headers {
        response.headers.append(name.clone(), value.clone());
    }
    if answer.unheard {
        return Outcome::Gone;
    }
    // An informational status of a plugin would leave the client waiting for the final one.
    if answer.status.is_informational() {
        return Outcome::Abort;
    }
    if !response.headers.contains_key(DATE) {
        let date = flight.core.date(flight.exchange.times.received_at);
        response.headers.insert(DATE, date);
    }
    header_filter::run(flight);
    let mut filter = BodyFilter::new(flight);
    let body = filter.whole(flight, answer.body);

    let response = &flight.exchange.response;
    let has_body = flight.received.method != Method::HEAD && may_have_body(response.status);
    respond.head(&Outgoing {
        status: response.status,
        reason: None,
        headers: &response.headers,
        framing: if response.status == StatusCode::NO_CONTENT {
            Framing::Empty
        } else {
            Framing::Length(body.len() as u64)
        },
        body: has_body,
        trailers: false,
        close: false,
    });
    if has_body && let Err(error) = respond.data(body).await {
        return Outcome::of_write(&error);
    }
    match respond.finish(None).await {
        Ok(()) => Outcome::KeepAlive,
        Err(error) => Outcome::of_write(&error),
    }
}
