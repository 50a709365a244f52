//! One attempt at an upstream: the request goes out, the response comes back.
//!
//! Everything happens in the task of the client's connection. While a long request body is still
//! on its way up, it is moved on alongside whatever else is awaited.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use keelgate_plugins::HeaderMap;
use keelgate_runtime::{ServiceEntry, UpstreamTls};

use super::balance::Choice;
use super::pump::{PinnedPump, Pump, send_rest};
use super::read_ahead::{Body, Source};
use super::relay::{self, Relay};
use super::request_head::{self, Facts};
use super::upstream::{Request, speaks_http2};
use super::{Flight, header_filter, tunnel};
use crate::downstream::{Outcome, Respond, Upload, UploadFault};
use crate::http1::Malformed;
use crate::upstream::{Ahead, Call, Fault, Peer, RequestHead, ResponseHead};

/// Informational responses before the final one at most, and the length of all their headers, in
/// bytes.
const MAX_INFORMATIONAL: usize = 16;
const MAX_INFORMATIONAL_BYTES: usize = 64 * 1024;

/// Room made for the head of a request.
const HEAD_ROOM: usize = 1024;

/// Why an attempt gave no response.
pub(super) enum Failure {
    /// The request could not be read on.
    Upload(UploadFault),
    /// The upstream is to blame.
    Upstream {
        fault: Fault,
        /// The connection had served before, and may have been over.
        reused: bool,
    },
}

/// Sends the request once and passes the response on.
pub(super) async fn run<'r, U: Upload, R: Respond>(
    flight: &mut Flight<'r>,
    entry: &'r ServiceEntry,
    choice: &Choice<'r>,
    request: &mut Request,
    upload: &mut U,
    respond: &mut R,
) -> Result<Outcome, Failure> {
    let service = &entry.service;
    let fresh = |fault| Failure::Upstream {
        fault,
        reused: false,
    };
    let head = write_head(flight, entry, choice, request).map_err(fresh)?;
    let call = peer(entry, choice)
        .map_err(fresh)?
        .call(
            &flight.core.engine,
            &flight.core.pool,
            &flight.core.links,
            flight.timer,
            Duration::from_millis(service.connect_timeout),
        )
        .await
        .map_err(fresh)?;
    let failed = |fault| {
        if matches!(fault, Fault::Timeout) {
            call.distrust();
        }
        // Refused on a connection that lives on: that was about the request.
        let reused = call.reused() && !(matches!(fault, Fault::Refused) && call.is_alive());
        Failure::Upstream { fault, reused }
    };
    let called = Instant::now();
    flight.proxy_latency = Some(header_filter::milliseconds(
        called - flight.exchange.times.started,
    ));
    let write_limit = Duration::from_millis(service.write_timeout);
    let read_limit = Duration::from_millis(service.read_timeout);

    let body = &request.body;
    let sent = call.begin(
        head,
        Ahead {
            pieces: &body.ahead,
            framing: body.framing,
            more: body.more,
            trailers: body.trailers.as_deref(),
        },
        &flight.core.spare,
    );
    match flight.timer.limit(write_limit, pin!(sent)).await {
        Err(_) => return Err(failed(Fault::Timeout)),
        // The upstream may have answered before it closed; reading tells.
        Ok(Err(Fault::Broken(_))) if body.more => {}
        Ok(Err(fault)) => return Err(failed(fault)),
        Ok(Ok(())) => {}
    }
    let mut pump = Pump::new(body.more.then(|| {
        Box::pin(send_rest(
            upload,
            &call,
            &request.told,
            &body.passed,
            write_limit,
        )) as PinnedPump<'_>
    }));

    let head_only = flight.exchange.method == Method::HEAD;
    let waiting = Waiting {
        call: &call,
        head_only,
        // While the body is on its way up, reading it tells when the client goes away.
        watch: !body.more,
        limit: read_limit,
    };
    let mut informational = Informational::default();
    let mut response = ResponseHead::default();
    loop {
        let wait = waiting.head(flight, &mut response, &mut pump, respond);
        match wait.await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => return Err(failed(fault)),
            Err(fault) => return Err(Failure::Upload(fault)),
        }
        if !response.status.is_informational() || response.status == StatusCode::SWITCHING_PROTOCOLS
        {
            break;
        }
        if !informational.may_be_followed_by(&response) {
            return Err(failed(Fault::Response(Malformed::Head)));
        }
        // Whoever waited for `100` was told by the gateway itself.
        if response.status != StatusCode::CONTINUE
            && relay::informational(&mut response, respond).await.is_err()
        {
            return Err(Failure::Upload(UploadFault::Gone));
        }
    }
    let latency = called.elapsed();
    flight.exchange.times.upstream = Some(latency);
    flight.upstream_status = Some(response.status.as_u16());
    choice.answered(response.status, latency);

    let switching = response.status == StatusCode::SWITCHING_PROTOCOLS;
    // Before it has the whole request, an upstream cannot speak another protocol.
    let agreed = request.websocket && pump.is_done() && names_websocket(&response.headers);
    if switching && !agreed {
        return Err(failed(Fault::Response(Malformed::Head)));
    }
    let pool = &flight.core.pool;
    let relay = |source| Relay {
        body: Body::new(source, pool),
        timer: flight.timer,
        read_limit,
        framing: response.framing,
        trailers: response.trailers
            && (request.trailers || flight.exchange.version == Version::HTTP_2),
        websocket: request.websocket,
    };
    if pump.is_done() {
        drop(pump);
        let relay = relay(Source::Sent(Some(call)));
        let mut still = Pump::new(None);
        return Ok(pass(flight, relay, &mut response, &mut still, respond).await);
    }
    let relay = relay(Source::Sending(&call));
    let outcome = pass(flight, relay, &mut response, &mut pump, respond).await;
    let uploaded = pump.is_done();
    drop(pump);
    if !outcome.is_cut_short() {
        call.finish(uploaded, pool);
    }
    Ok(outcome)
}

/// Passes a response on to its end, or changes to the protocol that it agrees to.
async fn pass<R: Respond>(
    flight: &mut Flight<'_>,
    mut relay: Relay<'_>,
    response: &mut ResponseHead,
    pump: &mut Pump<'_>,
    respond: &mut R,
) -> Outcome {
    let cut = match relay.run(flight, response, pump, respond).await {
        Ok(_) if response.status == StatusCode::SWITCHING_PROTOCOLS => {
            let upstream = relay.body.call().and_then(Call::connection);
            if let (Some(client), Some(upstream)) = (respond.connection(), upstream) {
                tunnel::run(client, upstream, flight.timer, relay.read_limit).await;
            }
            return Outcome::Close;
        }
        Ok(trailers) => {
            relay.body.release();
            return match respond.finish(trailers).await {
                Ok(()) => Outcome::KeepAlive,
                Err(error) => Outcome::of_write(&error),
            };
        }
        Err(cut) => cut,
    };
    if matches!(cut, relay::Cut::Upstream(Fault::Timeout))
        && let Some(call) = relay.body.call()
    {
        call.distrust();
    }
    tracing::debug!(%cut, request_id = flight.exchange.request_id, "response cut short");
    let outcome = cut.outcome();
    if outcome == Outcome::Abort {
        // The client learns how far the response came; that it ends here is seen by what is missing.
        let _ = respond.flush().await;
    }
    outcome
}

/// What an upstream has said before its final response.
#[derive(Default)]
struct Informational {
    heads: usize,
    bytes: usize,
}

impl Informational {
    /// Counts one more; `false` when that is too much.
    fn may_be_followed_by(&mut self, response: &ResponseHead) -> bool {
        self.heads += 1;
        let line = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
        self.bytes += response.headers.iter().map(line).sum::<usize>();
        self.heads <= MAX_INFORMATIONAL && self.bytes <= MAX_INFORMATIONAL_BYTES
    }
}

/// Whether the protocol that an upstream changes to is the one that it was asked for.
fn names_websocket(headers: &HeaderMap) -> bool {
    headers
        .get_bytes("upgrade")
        .is_none_or(|named| named.eq_ignore_ascii_case(b"websocket"))
}

/// The head as the service takes it.
fn write_head(
    flight: &Flight<'_>,
    entry: &ServiceEntry,
    choice: &Choice<'_>,
    request: &Request,
) -> Result<RequestHead, Fault> {
    let facts = Facts {
        host: &choice.host,
        tls: entry.service.protocol.is_tls(),
        websocket: request.websocket,
        trailers: request.trailers,
        framing: request.body.framing,
    };
    if speaks_http2(entry) {
        return request_head::build(flight, &facts).map(RequestHead::Http2);
    }
    let mut head = flight.core.spare.take(HEAD_ROOM);
    request_head::write(flight, &facts, &mut head);
    Ok(RequestHead::Http1(head))
}

/// Where the request goes, and how it is spoken to.
fn peer<'c>(entry: &'c ServiceEntry, choice: &'c Choice<'_>) -> Result<Peer<'c>, Fault> {
    Ok(Peer {
        address: choice.address,
        http2: speaks_http2(entry),
        tls: match &entry.tls {
            UpstreamTls::Clear => None,
            UpstreamTls::Profile(profile) => Some((profile, server_name(&choice.host))),
            UpstreamTls::Unusable => return Err(Fault::Unusable),
        },
    })
}

/// The name that TLS is spoken to: the `Host` without its port.
fn server_name(host: &str) -> &str {
    match (host.strip_prefix('['), host.find(']')) {
        (Some(_), Some(end)) => &host[1..end],
        _ => host.split(':').next().unwrap_or(host),
    }
}

/// The wait for a head of the response.
struct Waiting<'c> {
    call: &'c Call,
    head_only: bool,
    watch: bool,
    limit: Duration,
}

impl Waiting<'_> {
    /// Receives the next head. While the request is on its way up, its own limits hold; the upstream's time
    /// begins when it has the whole request.
    async fn head<R: Respond>(
        &self,
        flight: &Flight<'_>,
        received: &mut ResponseHead,
        pump: &mut Pump<'_>,
        respond: &R,
    ) -> Result<Result<(), Fault>, UploadFault> {
        let head = poll_fn(|cx| self.call.poll_head(self.head_only, received, cx));
        let mut head = pin!(unless_gone(head, self.watch, respond));
        let found = match pump.ahead_of(head.as_mut()).await? {
            Some(found) => found,
            None if pump.has_stalled() => return Ok(Err(Fault::Timeout)),
            None => match flight.timer.limit(self.limit, head).await {
                Ok(found) => found,
                Err(_) => return Ok(Err(Fault::Timeout)),
            },
        };
        found.ok_or(UploadFault::Gone)
    }
}

/// Awaits `wait` unless the client goes away first; `read` when that may be read from the
/// connection.
pub(super) async fn unless_gone<T>(
    wait: impl Future<Output = T>,
    read: bool,
    respond: &impl Respond,
) -> Option<T> {
    let mut wait = pin!(wait);
    poll_fn(|cx| {
        if let Poll::Ready(done) = wait.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        respond.poll_gone(read, cx).map(|()| None)
    })
    .await
}
