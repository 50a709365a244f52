//! A request over HTTP/2: one stream among others on its connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap as Trailers, Request, StatusCode};

use super::Fault;
use super::call::{Ahead, ResponseHead};
use super::links::Place;
use crate::http1::framing::may_have_body;
use crate::http1::{Framing, Malformed, trailers};

pub(crate) struct Call {
    /// First, so that the stream is over before its place is given to another.
    sending: RefCell<Option<SendStream<Bytes>>>,
    response: RefCell<Option<ResponseFuture>>,
    body: RefCell<Option<RecvStream>>,
    trailers: RefCell<Option<Trailers>>,
    place: Place,
}

impl Call {
    pub(super) fn new(place: Place) -> Self {
        Self {
            sending: RefCell::default(),
            response: RefCell::default(),
            body: RefCell::default(),
            trailers: RefCell::default(),
            place,
        }
    }

    pub(super) fn reused(&self) -> bool {
        self.place.reused()
    }

    pub(super) fn is_alive(&self) -> bool {
        self.place.is_alive()
    }

    pub(super) fn distrust(&self) {
        self.place.retire();
    }

    /// What is there of the body is in memory already; it leaves as the upstream has room for it.
    pub(super) fn begin(&self, head: Request<()>, ahead: &Ahead<'_>) -> Result<(), Fault> {
        let empty = ahead.pieces.iter().all(Bytes::is_empty);
        let ends_with_head = !ahead.more && empty && ahead.trailers.is_none();
        let (response, mut sending) = self.place.send(head, ends_with_head)?;
        *self.response.borrow_mut() = Some(response);
        if ends_with_head {
            return Ok(());
        }
        let mut pieces = ahead.pieces.iter().filter(|piece| !piece.is_empty());
        let mut next = pieces.next();
        while let Some(piece) = next {
            next = pieces.next();
            let last = next.is_none() && !ahead.more && ahead.trailers.is_none();
            // Fails when the upstream has ended the stream; it may have answered.
            if sending.send_data(piece.clone(), last).is_err() {
                return Ok(());
            }
        }
        if let Some(trailers) = ahead.trailers {
            let _ = sending.send_trailers(trailers.clone());
        }
        *self.sending.borrow_mut() = Some(sending);
        Ok(())
    }

    /// Waits until the upstream has room.
    pub(super) async fn send(&self, mut piece: Bytes) -> io::Result<()> {
        poll_fn(|cx| {
            let mut sending = self.sending.borrow_mut();
            let sending = sending.as_mut().ok_or_else(broken)?;
            while !piece.is_empty() {
                sending.reserve_capacity(piece.len());
                let room = match ready!(sending.poll_capacity(cx)) {
                    Some(room) => room.map_err(io::Error::other)?,
                    None => return Poll::Ready(Err(broken())),
                };
                let part = piece.split_to(room.min(piece.len()));
                if !part.is_empty() {
                    sending.send_data(part, false).map_err(io::Error::other)?;
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    pub(super) fn end(&self, trailers: Option<Trailers>) -> io::Result<()> {
        let mut sending = self.sending.borrow_mut();
        let sending = sending.as_mut().ok_or_else(broken)?;
        match trailers {
            Some(trailers) => sending.send_trailers(trailers),
            None => sending.send_data(Bytes::new(), true),
        }
        .map_err(io::Error::other)
    }

    pub(super) fn poll_head(
        &self,
        head_only: bool,
        received: &mut ResponseHead,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        let mut waiting = self.response.borrow_mut();
        let Some(response) = waiting.as_mut() else {
            return Poll::Ready(Err(Fault::Broken(broken())));
        };
        if let Poll::Ready(Some(informational)) = response.poll_informational(cx) {
            let (parts, ()) = informational
                .map_err(|error| self.fault(error))?
                .into_parts();
            *received = head(parts, Framing::Empty, false);
            return Poll::Ready(Ok(()));
        }
        let response = ready!(Pin::new(response).poll(cx));
        let (parts, body) = response.map_err(|error| self.fault(error))?.into_parts();
        *waiting = None;
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Poll::Ready(Err(Malformed::Head.into()));
        }
        let ended = body.is_end_stream();
        let length = parts
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok())
            .and_then(|length| length.parse().ok());
        let framing = match length {
            _ if head_only || !may_have_body(parts.status) => Framing::Empty,
            _ if ended => Framing::Length(0),
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        *self.body.borrow_mut() = Some(body);
        *received = head(parts, framing, !ended);
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        let mut receiving = self.body.borrow_mut();
        let Some(body) = receiving.as_mut() else {
            return Poll::Ready(Ok(None));
        };
        if let Some(piece) = ready!(body.poll_data(cx)) {
            let piece = piece.map_err(|error| self.fault(error))?;
            // The next piece is asked for only once this one has gone on.
            body.flow_control().release_capacity(piece.len())?;
            return Poll::Ready(Ok(Some(piece)));
        }
        let found = ready!(body.poll_trailers(cx)).map_err(|error| self.fault(error))?;
        *receiving = None;
        *self.trailers.borrow_mut() = found.and_then(|mut found| {
            trailers::keep_allowed(&mut found);
            (!found.is_empty()).then_some(found)
        });
        Poll::Ready(Ok(None))
    }

    pub(super) fn has_ended(&self) -> bool {
        self.body
            .borrow()
            .as_ref()
            .is_none_or(RecvStream::is_end_stream)
    }

    /// What an error means for the request. An upstream that breaks the rules is not asked for more on this
    /// connection, which ends with its last request: what it still sends on a stream that is over costs time, too.
    fn fault(&self, error: h2::Error) -> Fault {
        if error.is_library() {
            self.place.retire();
        }
        error.into()
    }

    pub(super) fn trailers(&self) -> Option<Trailers> {
        self.trailers.take()
    }
}

fn head(parts: http::response::Parts, framing: Framing, trailers: bool) -> ResponseHead {
    ResponseHead {
        status: parts.status,
        reason: None,
        headers: parts.headers.into(),
        // The library refuses what HTTP/2 has no use for.
        hop: Vec::new(),
        framing,
        trailers,
    }
}

fn broken() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}
