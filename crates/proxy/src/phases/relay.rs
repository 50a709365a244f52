//! The response on its way down, through the filters.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap as Trailers, Method, StatusCode};
use keelgate_plugins::HeaderMap;
use keelgate_plugins::exchange::{MadeBy, ResponseHead as Response};

use super::attempt::unless_gone;
use super::body_filter::BodyFilter;
use super::pump::Pump;
use super::read_ahead::Body;
use super::{Flight, header_filter};
use crate::downstream::{Outcome, Outgoing, Respond, UploadFault};
use crate::http1::Framing;
use crate::http1::framing::may_have_body;
use crate::net::Timer;
use crate::upstream::{Fault, ResponseHead};

/// Why a response was cut short.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    #[error("the client cannot be written to: {0}")]
    Client(io::Error),
    #[error(transparent)]
    Upload(#[from] UploadFault),
    #[error(transparent)]
    Upstream(#[from] Fault),
    #[error("it is longer than a plugin that asked for it whole can be given")]
    TooLong,
    #[error("a plugin gave it a status that is not a final one: {0}")]
    NotFinal(StatusCode),
}

impl Cut {
    /// What it means for the connection of the client.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Client(error) => Outcome::of_write(error),
            Self::Upload(UploadFault::Gone) => Outcome::Gone,
            _ => Outcome::Abort,
        }
    }
}

/// The way of a response to the client.
pub(super) struct Relay<'c> {
    pub(super) body: Body<'c>,
    pub(super) timer: &'c Timer,
    pub(super) read_limit: Duration,
    pub(super) framing: Framing,
    /// Whether fields may follow the body that the client asked for.
    pub(super) trailers: bool,
    /// Whether the client asked to change to the WebSocket protocol.
    pub(super) websocket: bool,
}

impl Relay<'_> {
    /// Passes the response on, except for its end; the fields that go with that.
    pub(super) async fn run<R: Respond>(
        &mut self,
        flight: &mut Flight<'_>,
        response: &mut ResponseHead,
        pump: &mut Pump<'_>,
        respond: &mut R,
    ) -> Result<Option<Trailers>, Cut> {
        let status = response.status;
        let mut headers = end_to_end(response, self.websocket);
        let told = std::mem::take(&mut flight.exchange.response.headers);
        if !told.is_empty() {
            // The gateway's own come first where the upstream uses the same names.
            let of_upstream = std::mem::replace(&mut headers, told);
            headers.append_all(of_upstream);
        }
        flight.exchange.response = Response {
            status,
            headers,
            made_by: MadeBy::Upstream,
        };
        header_filter::run(flight);
        let mut filter = BodyFilter::new(flight);
        let head_only = flight.received.method == Method::HEAD;
        // A plugin may have changed the status to one that has none.
        let outgoing = flight.exchange.response.status;
        if outgoing != status && outgoing.is_informational() {
            return Err(Cut::NotFinal(outgoing));
        }
        let has_body = !head_only && may_have_body(status) && may_have_body(outgoing);

        let trailers = self.trailers;
        let head = |flight: &Flight<'_>, framing: Framing, body: bool, respond: &mut R| {
            let outgoing = &flight.exchange.response;
            respond.head(&Outgoing {
                status: outgoing.status,
                // A status that a plugin changed has its own phrase.
                reason: response
                    .reason
                    .as_deref()
                    .filter(|_| outgoing.status == status),
                headers: &outgoing.headers,
                framing,
                body,
                trailers,
                close: false,
            });
        };
        if filter.holds() && has_body {
            let body = self.hold(flight, &mut filter, pump).await?;
            let framing = Framing::Length(body.len() as u64);
            head(flight, framing, true, respond);
            respond.data(body).await.map_err(Cut::Client)?;
            return Ok(flight.exchange.trailers.take().map(|fields| *fields));
        }
        let framing = self.outgoing(flight, &filter, has_body);
        head(flight, framing, has_body, respond);
        if !has_body {
            filter.last(flight);
            respond.flush().await.map_err(Cut::Client)?;
            return Ok(None);
        }
        while let Some(piece) = self.next(pump, Some(respond)).await? {
            let piece = filter.piece(flight, piece).map_err(|_| Cut::TooLong)?;
            if piece.is_empty() {
                continue;
            }
            let ended = !self.trailers && !filter.is_active() && self.body.has_ended();
            let sent = if ended {
                self.body.release();
                pump.alongside(respond.last(piece)).await?
            } else {
                let written = pump.alongside(respond.data(piece));
                let may_read = || buffers(flight);
                self.body.alongside(written, may_read).await?
            };
            sent.map_err(Cut::Client)?;
        }
        flight.exchange.trailers = self.body.trailers();
        let last = filter.last(flight);
        if !last.is_empty() {
            respond.data(last).await.map_err(Cut::Client)?;
        }
        Ok(flight.exchange.trailers.take().map(|fields| *fields))
    }

    /// The framing towards the client.
    fn outgoing(&self, flight: &Flight<'_>, filter: &BodyFilter, has_body: bool) -> Framing {
        let told = || {
            let length = flight
                .exchange
                .response
                .headers
                .get_bytes("content-length")?;
            let digits = std::str::from_utf8(length).ok()?;
            Some(Framing::Length(digits.parse().ok()?))
        };
        if !has_body {
            // The length of what is not sent.
            return told().unwrap_or(Framing::Empty);
        }
        match self.framing {
            // A plugin that changes the body takes the length away.
            Framing::Length(length) if !filter.is_active() => Framing::Length(length),
            Framing::Length(_) => told().unwrap_or(Framing::Chunked),
            _ => Framing::Chunked,
        }
    }

    /// Reads the whole body through the filters.
    async fn hold(
        &mut self,
        flight: &mut Flight<'_>,
        filter: &mut BodyFilter,
        pump: &mut Pump<'_>,
    ) -> Result<Bytes, Cut> {
        while let Some(piece) = self
            .next::<crate::downstream::http1::Responder<'_>>(pump, None)
            .await?
        {
            filter.piece(flight, piece).map_err(|_| Cut::TooLong)?;
        }
        flight.exchange.trailers = self.body.trailers();
        Ok(filter.last(flight))
    }

    /// The next piece of the body; none at its end. What was written so far is sent before
    /// waiting.
    async fn next<R: Respond>(
        &mut self,
        pump: &mut Pump<'_>,
        respond: Option<&mut R>,
    ) -> Result<Option<Bytes>, Cut> {
        let there = poll_fn(|cx| Poll::Ready(self.body.poll_piece(cx))).await;
        if let Poll::Ready(piece) = there {
            return Ok(piece?);
        }
        let piece = poll_fn(|cx| self.body.poll_piece(cx));
        let Some(respond) = respond else {
            let read = self.timer.limit(self.read_limit, piece);
            return Ok(pump.alongside(read).await?.map_err(|_| Fault::Timeout)??);
        };
        respond.flush().await.map_err(Cut::Client)?;
        // While the request is on its way up, reading it tells when the client goes away.
        let piece = unless_gone(piece, pump.is_still(), respond);
        let read = self.timer.limit(self.read_limit, piece);
        match pump.alongside(read).await? {
            Ok(Some(piece)) => Ok(piece?),
            Ok(None) => Err(Cut::Client(io::ErrorKind::BrokenPipe.into())),
            Err(_) => Err(Fault::Timeout.into()),
        }
    }
}

/// Whether a response may be read ahead of its client: as the upstream says, or else the route.
fn buffers(flight: &Flight<'_>) -> bool {
    let exchange = &flight.exchange;
    let said = exchange.response.headers.get_bytes("x-accel-buffering");
    match said.map(<[u8]>::to_ascii_lowercase).as_deref() {
        Some(b"yes") => true,
        Some(b"no") => false,
        _ => exchange.route.is_none_or(|route| route.response_buffering),
    }
}

/// Passes an informational response on.
pub(super) async fn informational<R: Respond>(
    response: &mut ResponseHead,
    respond: &mut R,
) -> io::Result<()> {
    let headers = end_to_end(response, false);
    respond.informational(response.status, &headers).await
}

/// The headers of a response without those that the upstream sent for this hop only; they may name the
/// WebSocket protocol to a client that asked for that.
fn end_to_end(response: &mut ResponseHead, websocket: bool) -> HeaderMap {
    let mut headers = std::mem::take(&mut response.headers);
    for name in &response.hop {
        headers.discard(name);
    }
    if let Some(upgrade) = headers.get_bytes("upgrade")
        && !(websocket && upgrade.eq_ignore_ascii_case(b"websocket"))
    {
        headers.discard("upgrade");
    }
    headers
}
