//! A request over HTTP/1: alone on its connection.

use std::cell::{Cell, RefCell};
use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap as Trailers, StatusCode};

use super::call::{Ahead, ResponseHead};
use super::pool::Pooled;
use super::{Fault, Pool};
use crate::http1::{self, BodyDecoder, Framing, Limits, Piece, encode};
use crate::net::Connection;

/// Longest head of an upstream's response, in bytes.
const HEAD_LIMITS: Limits = Limits {
    line: 64 * 1024,
    head: 64 * 1024,
};

/// Room made for a read while a head is awaited, and while a body streams.
const HEAD_ROOM: usize = 8 * 1024;
const BODY_ROOM: usize = 64 * 1024;

pub(crate) struct Call {
    pooled: Pooled,
    /// How the request's body goes out.
    chunked: Cell<bool>,
    body: RefCell<BodyDecoder>,
    /// The connection can serve another request.
    keep: Cell<bool>,
}

impl Call {
    pub(super) fn new(pooled: Pooled) -> Self {
        Self {
            pooled,
            chunked: Cell::new(false),
            body: RefCell::new(BodyDecoder::new(Framing::Empty)),
            keep: Cell::new(false),
        }
    }

    pub(super) fn reused(&self) -> bool {
        self.pooled.served() > 0
    }

    pub(super) fn connection(&self) -> &Connection {
        self.pooled.connection()
    }

    /// The first piece goes together with the head.
    pub(super) async fn begin(&self, head: &[u8], ahead: Ahead<'_>) -> io::Result<()> {
        self.chunked.set(ahead.framing == Framing::Chunked);
        if self.chunked.get() {
            self.connection().write(head, Bytes::new()).await?;
            for piece in ahead.pieces {
                self.send(piece.clone()).await?;
            }
            if !ahead.more {
                self.end().await?;
            }
            return Ok(());
        }
        let mut pieces = ahead.pieces.iter().cloned();
        let first = pieces.next().unwrap_or_default();
        self.connection().write(head, first).await?;
        for piece in pieces {
            self.send(piece).await?;
        }
        Ok(())
    }

    pub(super) async fn send(&self, piece: Bytes) -> io::Result<()> {
        if !self.chunked.get() {
            return self.connection().write(&[], piece).await;
        }
        if piece.is_empty() {
            return Ok(());
        }
        let mut size = Vec::with_capacity(16);
        encode::chunk_size(piece.len(), &mut size);
        self.connection()
            .write(&size, bytes::Buf::chain(piece, &b"\r\n"[..]))
            .await
    }

    /// Ends the body. Fields after it go no further: servers of HTTP/1 that know them disagree about
    /// what they mean.
    pub(super) async fn end(&self) -> io::Result<()> {
        if !self.chunked.get() {
            return Ok(());
        }
        self.connection()
            .write(encode::LAST_CHUNK, Bytes::new())
            .await
    }

    pub(super) fn poll_head(
        &self,
        head_only: bool,
        received: &mut ResponseHead,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        let head = loop {
            let mut input = self.connection().input();
            if !input.is_empty()
                && let Some(head) = http1::ResponseHead::take(&mut input, HEAD_LIMITS)?
            {
                break head;
            }
            drop(input);
            match ready!(self.connection().poll_fill(HEAD_ROOM, cx)) {
                Err(error) => return Poll::Ready(Err(Fault::Broken(error))),
                Ok(0) => {
                    let cut = io::ErrorKind::UnexpectedEof.into();
                    return Poll::Ready(Err(Fault::Broken(cut)));
                }
                Ok(_) => {}
            }
        };
        let framing = Framing::of_response(head.status, &head.headers, head.minor, head_only)?;
        let final_head =
            !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS;
        if final_head {
            *self.body.borrow_mut() = BodyDecoder::new(framing);
            self.keep.set(
                head.status != StatusCode::SWITCHING_PROTOCOLS
                    && framing != Framing::UntilClose
                    && !tells_impossible_body(&head)
                    && keeps_alive(&head),
            );
        }
        *received = ResponseHead {
            status: head.status,
            reason: Some(head.reason),
            headers: head.headers,
            hop: head.connection.named,
            framing,
            trailers: framing == Framing::Chunked,
        };
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        let mut body = self.body.borrow_mut();
        loop {
            match body.decode(&mut self.connection().input())? {
                Piece::Data(piece) => return Poll::Ready(Ok(Some(piece))),
                Piece::End => return Poll::Ready(Ok(None)),
                Piece::More => {}
            }
            match ready!(self.connection().poll_fill(BODY_ROOM, cx)) {
                Err(error) => return Poll::Ready(Err(Fault::Broken(error))),
                Ok(0) => body.closed()?,
                Ok(_) => {}
            }
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.body
            .borrow_mut()
            .has_ended(&mut self.connection().input())
            // What is wrong is found again by the next look.
            .unwrap_or(false)
    }

    pub(super) fn trailers(&self) -> Option<Trailers> {
        self.body.borrow_mut().trailers()
    }

    pub(super) fn finish(self, sent: bool, pool: &Pool) {
        // What stands after the end would be read as the answer to the next request.
        if sent && self.keep.get() && self.has_ended() && self.connection().input().is_empty() {
            pool.put(self.pooled);
        }
    }
}

/// Whether a `204` tells a body all the same: an upstream that is wrong about that may send it.
fn tells_impossible_body(response: &http1::ResponseHead) -> bool {
    response.status == StatusCode::NO_CONTENT
        && (response.headers.contains_key("transfer-encoding")
            || response
                .headers
                .get_bytes("content-length")
                .is_some_and(|length| length.iter().any(|digit| *digit != b'0')))
}

/// Whether the upstream keeps the connection for another request.
fn keeps_alive(response: &http1::ResponseHead) -> bool {
    if response.minor == 0 {
        response.connection.keep_alive
    } else {
        !response.connection.close
    }
}
