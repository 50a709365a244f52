//! A response as it goes out.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use http::{HeaderMap as Trailers, StatusCode};
use keelgate_plugins::HeaderMap;

use crate::core::Core;
use crate::downstream::{Outgoing, Respond, mistold};
use crate::http1::{Framing, encode, trailers};
use crate::net::{Connection, Timer};

/// Room made for the head of a response and a short body.
const HEAD_ROOM: usize = 2048;

/// A piece of body up to this length is copied behind the head: one buffer costs the system less
/// than two.
const COPIED: usize = 4096;

/// How the body of a response goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// There is none.
    None,
    /// So many bytes are left.
    Length(u64),
    Chunked,
    UntilClose,
}

/// The way of a response.
pub(crate) struct Responder<'c> {
    connection: &'c Connection,
    timer: &'c Timer,
    timeout: Duration,
    /// Written, but not sent yet.
    out: Vec<u8>,
    /// The head was written, and sent.
    headed: bool,
    begun: bool,
    body: Way,
    /// The client takes fields after the body.
    trailers: bool,
    keep: bool,
    minor: u8,
    core: &'c Core,
    sent: u64,
    written: u64,
}

impl<'c> Responder<'c> {
    /// For a client that speaks HTTP/1.`minor`, on a connection that may be kept.
    pub(super) fn new(
        core: &'c Core,
        connection: &'c Connection,
        timer: &'c Timer,
        minor: u8,
        keep: bool,
    ) -> Self {
        Self {
            connection,
            timer,
            timeout: core.settings.client.send_timeout,
            out: Vec::new(),
            headed: false,
            begun: false,
            body: Way::None,
            trailers: false,
            keep,
            minor,
            core,
            sent: 0,
            written: 0,
        }
    }

    /// Whether the connection can be used for another request.
    pub(super) fn keeps(&self) -> bool {
        self.keep
    }

    /// Whether the end of the body is told by the end of the connection.
    pub(super) fn ends_by_closing(&self) -> bool {
        self.body == Way::UntilClose
    }

    /// Sends a chunk and what is written after it.
    async fn chunk(&mut self, piece: Bytes, after: &'static [u8]) -> io::Result<()> {
        encode::chunk_size(piece.len(), self.out());
        self.sent += piece.len() as u64;
        self.send(piece.chain(after)).await
    }

    /// Where the next bytes are written.
    fn out(&mut self) -> &mut Vec<u8> {
        if self.out.capacity() == 0 {
            self.out = self.core.spare.take(HEAD_ROOM);
        }
        &mut self.out
    }

    async fn send(&mut self, mut piece: impl Buf) -> io::Result<()> {
        if !self.out.is_empty() && piece.remaining() <= COPIED {
            self.out.put(&mut piece);
        }
        let length = self.out.len() + piece.remaining();
        {
            let written = pin!(self.connection.write(&self.out, piece));
            self.timer
                .limit(self.timeout, written)
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        }
        self.begun = self.headed;
        self.written += length as u64;
        self.core.spare.give(std::mem::take(&mut self.out));
        Ok(())
    }
}

impl Respond for Responder<'_> {
    async fn informational(&mut self, status: StatusCode, headers: &HeaderMap) -> io::Result<()> {
        // HTTP/1.0 knows none.
        if self.minor == 0 {
            return Ok(());
        }
        let out = self.out();
        encode::status_line(status, None, out);
        encode::lines(headers, |name| is_decided(name, false), out);
        out.extend_from_slice(b"\r\n");
        self.flush().await
    }

    fn head(&mut self, head: &Outgoing<'_>) {
        self.headed = true;
        let switching = head.status == StatusCode::SWITCHING_PROTOCOLS;
        self.body = match head.framing {
            _ if !head.body => Way::None,
            Framing::Empty => Way::None,
            Framing::Length(length) => Way::Length(length),
            Framing::Chunked | Framing::UntilClose if self.minor == 0 => Way::UntilClose,
            Framing::Chunked | Framing::UntilClose => Way::Chunked,
        };
        self.trailers = head.trailers && self.body == Way::Chunked;
        self.keep &= !head.close && self.body != Way::UntilClose && !self.core.draining.is_on();
        let (keep, chunked, trailers) = (self.keep, self.body == Way::Chunked, self.trailers);
        let out = self.out();
        encode::status_line(head.status, head.reason, out);
        match head.framing {
            Framing::Length(_) if head.status != StatusCode::NO_CONTENT && !switching => {
                encode::framing(head.framing, out);
            }
            _ if chunked => encode::framing(Framing::Chunked, out),
            _ => {}
        }
        if switching {
            out.extend_from_slice(b"Connection: upgrade\r\n");
        } else if keep {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        } else {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        if head.status == StatusCode::UPGRADE_REQUIRED && head.headers.contains_key("upgrade") {
            out.extend_from_slice(b"Connection: Upgrade\r\n");
        }
        encode::lines(head.headers, |name| is_decided(name, trailers), out);
        out.extend_from_slice(b"\r\n");
    }

    async fn data(&mut self, piece: Bytes) -> io::Result<()> {
        let length = piece.len() as u64;
        if length == 0 {
            return Ok(());
        }
        match &mut self.body {
            Way::None => return Ok(()),
            Way::Length(left) => match left.checked_sub(length) {
                Some(rest) => *left = rest,
                None => return Err(mistold("the body is longer than was told")),
            },
            Way::Chunked => return self.chunk(piece, b"\r\n").await,
            Way::UntilClose => {}
        }
        self.sent += length;
        self.send(piece).await
    }

    async fn last(&mut self, piece: Bytes) -> io::Result<()> {
        if self.body != Way::Chunked || piece.is_empty() {
            return self.data(piece).await;
        }
        self.body = Way::None;
        self.chunk(piece, b"\r\n0\r\n\r\n").await
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        self.send(Bytes::new()).await
    }

    async fn finish(&mut self, trailers: Option<Trailers>) -> io::Result<()> {
        match self.body {
            Way::Length(left) if left > 0 => {
                return Err(mistold("the body is shorter than was told"));
            }
            Way::Chunked => {
                let trailers = trailers.filter(|_| self.trailers);
                trailers::write_end(trailers.as_ref(), self.out());
            }
            _ => {}
        }
        self.flush().await
    }

    fn connection(&self) -> Option<&Connection> {
        Some(self.connection)
    }

    fn poll_gone(&self, read: bool, cx: &mut Context<'_>) -> Poll<()> {
        if read {
            self.connection.poll_closed(cx)
        } else {
            Poll::Pending
        }
    }

    fn has_begun(&self) -> bool {
        self.begun
    }

    fn sent(&self) -> u64 {
        self.sent
    }

    fn written(&self) -> u64 {
        self.written
    }
}

/// Headers that are written by the connection itself, or not at all.
fn is_decided(name: &[u8], trailers: bool) -> bool {
    let is = |decided: &[u8]| name.eq_ignore_ascii_case(decided);
    match name.len() {
        7 => is(b"trailer") && !trailers,
        10 => is(b"connection") || is(b"keep-alive") || is_of_server(name),
        14 => is(b"content-length") || is_of_server(name),
        17 => is(b"transfer-encoding") || is_of_server(name),
        _ => is_of_server(name),
    }
}

/// What an upstream tells the server before it only.
fn is_of_server(name: &[u8]) -> bool {
    const START: &[u8] = b"x-accel-";
    name.get(..START.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(START))
}
