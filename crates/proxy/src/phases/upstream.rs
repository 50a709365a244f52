//! `upstream`: the service is called, as often as it takes.

use http::{HeaderName, StatusCode};
use keelgate_entities::kinds::Protocol;
use keelgate_runtime::ServiceEntry;

use super::attempt::{self, Failure};
use super::balance::Choosing;
use super::request_body::{self, RequestBody};
use super::request_debug::{self, Part};
use super::{Answer, Flight, answer, request_head};
use crate::downstream::{Outcome, Respond, Upload};
use crate::http1::Framing;
use crate::upstream::Fault;

/// Calls the upstream and passes its response on; answers instead where that fails.
pub(super) async fn proxy<'r, U: Upload, R: Respond>(
    flight: &mut Flight<'r>,
    entry: &'r ServiceEntry,
    upload: &mut U,
    respond: &mut R,
) -> Outcome {
    let result = match prepare(flight, entry, upload).await {
        Ok(mut request) => call(flight, entry, &mut request, upload, respond).await,
        Err(answer) => Err(answer),
    };
    match result {
        Ok(outcome) => outcome,
        Err(answer) => answer::send(flight, answer, respond).await,
    }
}

/// What is the same for all attempts.
pub(super) struct Request {
    pub(super) body: RequestBody,
    pub(super) websocket: bool,
    /// The client takes trailers.
    pub(super) trailers: bool,
    /// What the head tells, where fields may follow a body that is still on its way.
    pub(super) told: Vec<HeaderName>,
}

async fn prepare<U: Upload>(
    flight: &mut Flight<'_>,
    entry: &ServiceEntry,
    upload: &mut U,
) -> Result<Request, Answer> {
    // In gRPC either side may wait for what the other says first.
    let http2 = speaks_http2(entry);
    let wait = !http2
        && flight
            .exchange
            .route
            .is_none_or(|route| route.request_buffering);
    let body = match request_body::prepare(flight, upload, wait, http2).await {
        Ok(body) => body,
        Err(fault) => return Err(Answer::of_upload(flight, &fault)),
    };
    let headers = &mut flight.exchange.headers;
    let websocket = request_head::wants_websocket(headers);
    let trailers = request_head::wants_trailers(headers);
    request_head::drop_hop_headers(headers, &flight.received.hop);
    if !request_head::may_go_on(&flight.exchange.method, headers) {
        return Err(Answer::empty(StatusCode::OK));
    }
    let told = if body.more && body.framing == Framing::Chunked {
        headers.keys().cloned().collect()
    } else {
        Vec::new()
    };
    Ok(Request {
        body,
        websocket: websocket && !speaks_http2(entry),
        trailers,
        told,
    })
}

/// Whether the service is spoken to in HTTP/2.
pub(super) fn speaks_http2(entry: &ServiceEntry) -> bool {
    matches!(entry.service.protocol, Protocol::Grpc | Protocol::Grpcs)
}

/// Attempts until one gives a response, as often as the service allows.
async fn call<'r, U: Upload, R: Respond>(
    flight: &mut Flight<'r>,
    entry: &'r ServiceEntry,
    request: &mut Request,
    upload: &mut U,
    respond: &mut R,
) -> Result<Outcome, Answer> {
    let mut left = entry.service.retries;
    let mut choosing = Choosing::new(flight, entry);
    loop {
        let started = request_debug::start(flight);
        let began = flight.begin_try();
        let choice = choosing.next(flight).await?;
        request_debug::spent(flight, Part::Balancer, started);
        flight.proxied = true;
        flight.remember(choice.address, began);
        let fault = match attempt::run(flight, entry, &choice, request, upload, respond).await {
            Ok(outcome) => return Ok(outcome),
            Err(Failure::Upload(fault)) => return Err(Answer::of_upload(flight, &fault)),
            Err(Failure::Upstream { fault, reused }) => {
                // A connection that idled may have been closed under our hands; that says
                // nothing about the upstream, so it does not count as an attempt. That it stays
                // silent does.
                let reused = reused && matches!(fault, Fault::Broken(_) | Fault::Refused);
                flight.regret(fault.status());
                if !reused {
                    choice.failed(&fault);
                }
                let again = request.body.take_back()
                    && fault.may_be_retried()
                    && can_be_sent_again(flight, request, &fault);
                if again && (left > 0 || reused) {
                    if !reused {
                        left -= 1;
                    }
                    tracing::debug!(address = %choice.address, %fault, "trying again");
                    continue;
                }
                if !reused {
                    choice.gave_up(&fault);
                }
                fault
            }
        };
        tracing::warn!(
            address = %choice.address,
            %fault,
            request_id = flight.exchange.request_id,
            "the upstream failed"
        );
        return Err(Answer::failed(flight, fault.status()));
    }
}

/// Whether the request, of which the body is still there, may go out once more: if the upstream may
/// have seen it, it must be whole, and seeing it twice must do no harm.
fn can_be_sent_again(flight: &Flight<'_>, request: &Request, fault: &Fault) -> bool {
    if !fault.after_sending() {
        return true;
    }
    let method = flight.exchange.method.as_str();
    !request.body.more && !matches!(method, "POST" | "PATCH" | "LOCK")
}
