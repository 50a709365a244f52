//! One request at an upstream, whatever the HTTP version. The phases know nothing more of an
//! upstream than this.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap as Trailers, HeaderName, StatusCode};
use keelgate_plugins::HeaderMap;

use super::{Fault, Pool, http1, http2};
use crate::http1::Framing;
use crate::http1::head::Reason;
use crate::net::{Connection, Spare};

/// The head of a request, as the connection to its upstream takes it.
pub(crate) enum RequestHead {
    /// On the wire.
    Http1(Vec<u8>),
    Http2(http::Request<()>),
}

/// What is sent together with the head.
pub(crate) struct Ahead<'a> {
    pub(crate) pieces: &'a [Bytes],
    pub(crate) framing: Framing,
    /// Whether more of the body follows.
    pub(crate) more: bool,
    /// The fields after a body that does not go on.
    pub(crate) trailers: Option<&'a Trailers>,
}

/// The head of a response; nothing was told before it was received.
#[derive(Default)]
pub(crate) struct ResponseHead {
    pub(crate) status: StatusCode,
    /// What the upstream called the status, in versions that have a word for it; may be empty.
    pub(crate) reason: Option<Reason>,
    pub(crate) headers: HeaderMap,
    /// Names of those that are for this hop only.
    pub(crate) hop: Vec<HeaderName>,
    /// `Chunked` stands for a length that is not told.
    pub(crate) framing: Framing,
    /// Whether fields may follow the body.
    pub(crate) trailers: bool,
}

/// One request at an upstream. Dropped before the response's end, it is given up: the upstream
/// sees that.
///
/// Sending and receiving borrow it for the length of one poll only, so that a task can await both
/// at once.
pub(crate) enum Call {
    Http1(http1::Call),
    /// Boxed, for it is far larger.
    Http2(Box<http2::Call>),
}

impl Call {
    /// Whether the connection has served before.
    pub(crate) fn reused(&self) -> bool {
        match self {
            Self::Http1(call) => call.reused(),
            Self::Http2(call) => call.reused(),
        }
    }

    /// Whether the connection takes further requests, as far as is known. One for a single request at
    /// a time does not while it has one.
    pub(crate) fn is_alive(&self) -> bool {
        match self {
            Self::Http1(_) => false,
            Self::Http2(call) => call.is_alive(),
        }
    }

    /// Sends the head and what is there of the body.
    pub(crate) async fn begin(
        &self,
        head: RequestHead,
        ahead: Ahead<'_>,
        spare: &Spare,
    ) -> Result<(), Fault> {
        match (self, head) {
            (Self::Http1(call), RequestHead::Http1(head)) => {
                let sent = call.begin(&head, ahead).await;
                spare.give(head);
                sent.map_err(Fault::Broken)
            }
            (Self::Http2(call), RequestHead::Http2(head)) => call.begin(head, &ahead),
            _ => Err(Fault::Broken(io::ErrorKind::InvalidInput.into())),
        }
    }

    /// Sends a piece of the body.
    pub(crate) async fn send(&self, piece: Bytes) -> io::Result<()> {
        match self {
            Self::Http1(call) => call.send(piece).await,
            Self::Http2(call) => call.send(piece).await,
        }
    }

    /// Ends the body.
    pub(crate) async fn end(&self, trailers: Option<Trailers>) -> io::Result<()> {
        match self {
            Self::Http1(call) => call.end().await,
            Self::Http2(call) => call.end(trailers),
        }
    }

    /// Receives the next head of the response: any number of informational ones, then the final one.
    /// `head_only` when a `HEAD` was sent.
    pub(crate) fn poll_head(
        &self,
        head_only: bool,
        head: &mut ResponseHead,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        match self {
            Self::Http1(call) => call.poll_head(head_only, head, cx),
            Self::Http2(call) => call.poll_head(head_only, head, cx),
        }
    }

    /// The next piece of the response's body; none at its end.
    pub(crate) fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Fault>> {
        match self {
            Self::Http1(call) => call.poll_piece(cx),
            Self::Http2(call) => call.poll_piece(cx),
        }
    }

    /// Whether no data follows, as far as is known without waiting.
    pub(crate) fn has_ended(&self) -> bool {
        match self {
            Self::Http1(call) => call.has_ended(),
            Self::Http2(call) => call.has_ended(),
        }
    }

    /// The fields after the response's body, once its end was found; given once.
    pub(crate) fn trailers(&self) -> Option<Trailers> {
        match self {
            Self::Http1(call) => call.trailers(),
            Self::Http2(call) => call.trailers(),
        }
    }

    /// The upstream has been silent for too long: what else it is asked goes elsewhere.
    pub(crate) fn distrust(&self) {
        if let Self::Http2(call) = self {
            call.distrust();
        }
    }

    /// Ends the call after the response's end; `sent` when the whole request was sent.
    pub(crate) fn finish(self, sent: bool, pool: &Pool) {
        if let Self::Http1(call) = self {
            call.finish(sent, pool);
        }
    }

    /// The bare connection, for a tunnel after 101; none where there is no such thing.
    pub(crate) fn connection(&self) -> Option<&Connection> {
        match self {
            Self::Http1(call) => Some(call.connection()),
            Self::Http2(_) => None,
        }
    }
}
