//! The response on its way down, through the filters.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, UPGRADE};
use http::{HeaderMap, HeaderName, Method};
use keelgate_plugins::exchange::{MadeBy, ResponseHead as Response};

use super::body_filter::BodyFilter;
use super::pump::Pump;
use super::{Flight, header_filter};
use crate::downstream::{Outgoing, Respond, UploadFault};
use crate::http1::framing::may_have_body;
use crate::http1::{BodyDecoder, Framing, Piece, ResponseHead};
use crate::net::{Connection, Timer};
use crate::upstream::Fault;

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
}

/// The way of a response to the client.
pub(super) struct Relay<'c> {
    pub(super) connection: &'c Connection,
    pub(super) timer: &'c Timer,
    pub(super) read_limit: Duration,
    pub(super) framing: Framing,
}

impl Relay<'_> {
    /// Passes the response on, except for its end.
    pub(super) async fn run<R: Respond>(
        &self,
        flight: &mut Flight<'_>,
        response: ResponseHead,
        pump: &mut Pump<'_>,
        respond: &mut R,
    ) -> Result<(), Cut> {
        let status = response.status;
        let mut headers = response.headers;
        drop_hop_headers(&mut headers);
        let told = std::mem::take(&mut flight.exchange.response.headers);
        if !told.is_empty() {
            // The gateway's own come first where the upstream uses the same names.
            let of_upstream = std::mem::replace(&mut headers, told);
            for (name, value) in &of_upstream {
                headers.append(name.clone(), value.clone());
            }
        }
        flight.exchange.response = Response {
            status,
            headers,
            made_by: MadeBy::Upstream,
        };
        header_filter::run(flight);
        let mut filter = BodyFilter::new(flight);
        let head_only = flight.received.method == Method::HEAD;
        let has_body = !head_only && may_have_body(status);

        let head = |flight: &Flight<'_>, framing: Framing, body: bool, respond: &mut R| {
            let outgoing = &flight.exchange.response;
            respond.head(&Outgoing {
                status: outgoing.status,
                // A status that a plugin changed has its own phrase.
                reason: (outgoing.status == status).then_some(&response.reason[..]),
                headers: &outgoing.headers,
                spelling: &response.spelling,
                framing,
                body,
                close: false,
            });
        };
        if filter.holds() && has_body {
            let body = self.hold(flight, &mut filter, pump).await?;
            let framing = Framing::Length(body.len() as u64);
            head(flight, framing, true, respond);
            return respond.data(body).await.map_err(Cut::Client);
        }
        let framing = self.outgoing(flight, &filter, has_body);
        head(flight, framing, has_body, respond);
        if !has_body {
            filter.last(flight);
            return respond.flush().await.map_err(Cut::Client);
        }
        let mut decoder = BodyDecoder::new(self.framing);
        while let Some(piece) = self.next(&mut decoder, pump, Some(respond)).await? {
            let piece = filter.piece(flight, piece).map_err(|_| Cut::TooLong)?;
            if !piece.is_empty() {
                let ended = !filter.is_active()
                    && decoder
                        .has_ended(&mut self.connection.input())
                        // What is wrong is found again by the next look.
                        .unwrap_or(false);
                let sent = if ended {
                    pump.alongside(respond.last(piece)).await?
                } else {
                    pump.alongside(respond.data(piece)).await?
                };
                sent.map_err(Cut::Client)?;
            }
        }
        let last = filter.last(flight);
        if !last.is_empty() {
            respond.data(last).await.map_err(Cut::Client)?;
        }
        Ok(())
    }

    /// The framing towards the client.
    fn outgoing(&self, flight: &Flight<'_>, filter: &BodyFilter, has_body: bool) -> Framing {
        let length = flight.exchange.response.headers.get(CONTENT_LENGTH);
        let told = length
            .and_then(|length| length.to_str().ok())
            .and_then(|length| length.parse().ok())
            .map(Framing::Length);
        if !has_body {
            // The length of what is not sent.
            return told.unwrap_or(Framing::Empty);
        }
        match self.framing {
            // A plugin that changes the body takes the length away.
            Framing::Length(length) if !filter.is_active() => Framing::Length(length),
            Framing::Length(_) => told.unwrap_or(Framing::Chunked),
            _ => Framing::Chunked,
        }
    }

    /// Reads the whole body through the filters.
    async fn hold(
        &self,
        flight: &mut Flight<'_>,
        filter: &mut BodyFilter,
        pump: &mut Pump<'_>,
    ) -> Result<Bytes, Cut> {
        let mut decoder = BodyDecoder::new(self.framing);
        while let Some(piece) = self
            .next::<crate::downstream::http1::Responder<'_>>(&mut decoder, pump, None)
            .await?
        {
            filter.piece(flight, piece).map_err(|_| Cut::TooLong)?;
        }
        Ok(filter.last(flight))
    }

    /// The next piece of the body; none at its end. What was written so far is sent before
    /// waiting.
    async fn next<R: Respond>(
        &self,
        decoder: &mut BodyDecoder,
        pump: &mut Pump<'_>,
        mut respond: Option<&mut R>,
    ) -> Result<Option<Bytes>, Cut> {
        loop {
            let piece = decoder
                .decode(&mut self.connection.input())
                .map_err(Fault::from)?;
            match piece {
                Piece::Data(piece) => return Ok(Some(piece)),
                Piece::End => return Ok(None),
                Piece::More => {}
            }
            if let Some(respond) = &mut respond {
                respond.flush().await.map_err(Cut::Client)?;
            }
            let read = self
                .timer
                .limit(self.read_limit, self.connection.fill_long());
            match pump.alongside(read).await? {
                Err(_) => return Err(Fault::Timeout.into()),
                Ok(Err(error)) => return Err(Fault::Broken(error).into()),
                Ok(Ok(0)) => decoder.closed().map_err(Fault::from)?,
                Ok(Ok(_)) => {}
            }
        }
    }
}

/// Removes what the upstream said for this hop only.
fn drop_hop_headers(headers: &mut HeaderMap) {
    if let Some(named) = headers.remove(CONNECTION) {
        let named = named.to_str().unwrap_or("");
        for name in named.split(',').map(str::trim) {
            if name.eq_ignore_ascii_case("close")
                || name.eq_ignore_ascii_case("keep-alive")
                || name.eq_ignore_ascii_case("upgrade")
            {
                continue;
            }
            if let Ok(name) = name.parse::<HeaderName>() {
                headers.remove(name);
            }
        }
    }
    if let Some(upgrade) = headers.get(UPGRADE)
        && !upgrade.as_bytes().eq_ignore_ascii_case(b"websocket")
    {
        headers.remove(UPGRADE);
    }
}
