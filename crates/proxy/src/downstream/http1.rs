//! HTTP/1 towards clients: one request after the other on a connection.
//!
//! Not left to a server library, for what such a one keeps to itself: the spelling of header
//! names, which is passed on as it came; the answer to what cannot be parsed, which Kong's clients
//! get in the form they accept; and the two directions of a connection, which are awaited here in
//! one task with the upstream's. The parser itself is httparse, the one that hyper uses.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use http::header::{EXPECT, UPGRADE};
use http::{HeaderMap, Method, StatusCode, Version};
use keelgate_router::host;

use super::refusal::{self, Asked, Refusal};
use super::{Client, Incoming, Outcome, Outgoing, Respond, Upload, UploadFault};
use crate::core::{Core, FRESH};
use crate::counts::Presence;
use crate::http1::{BodyDecoder, Framing, Piece, RequestHead, Spelling, encode, hop, trailers};
use crate::net::{Connection, Timer};
use crate::phases;

/// Time and bytes that an unread request is given before its connection closes: closing at once
/// would take the answer from a client that still sends.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 1024 * 1024;

/// Time that is left of it when draining starts: enough for an answer to cross the network.
const LAST_LINGER: Duration = Duration::from_millis(500);

/// An unread body up to this length is read so that its connection can go on.
const SKIP_BYTES: usize = 256 * 1024;

/// Room made for the head of a response and a short body.
const HEAD_ROOM: usize = 2048;

/// A piece of body up to this length is copied behind the head: one buffer costs the system less
/// than two.
const COPIED: usize = 4096;

/// Serves a connection until it ends.
pub(crate) async fn serve(core: Rc<Core>, client: Client, connection: Connection) {
    let timer = Timer::default();
    let presence = Presence::new(&core);
    let limits = &core.settings.client;
    let mut left = limits.keepalive_requests.max(1);
    loop {
        let fresh = left == limits.keepalive_requests.max(1);
        if connection.input().is_empty() {
            presence.waits();
            if !await_request(&core, &connection, &timer, fresh).await {
                return;
            }
        }
        presence.reads();
        let head = match read_head(&core, &connection, &timer).await {
            Ok(head) => head,
            Err(None) => return,
            Err(Some(refusal)) => {
                core.counts.request();
                let none = HeaderMap::new();
                let asked = Asked::unreadable(&client, &none);
                refuse(&core, &connection, &timer, &asked, refusal).await;
                return;
            }
        };
        core.counts.request();
        presence.writes();
        left -= 1;
        let last = left == 0 || core.draining.is_on();
        let keep = !last && wants_keepalive(&head);
        let minor = head.minor;
        let incoming = match accept(&core, head) {
            Ok(incoming) => incoming,
            Err(refused) => {
                let (head, refusal) = *refused;
                let asked = Asked {
                    client: &client,
                    method: Some(&head.method),
                    target: &head.target,
                    version: if minor == 0 { "HTTP/1.0" } else { "HTTP/1.1" },
                    headers: &head.headers,
                };
                refuse(&core, &connection, &timer, &asked, refusal).await;
                return;
            }
        };
        let mut upload = RequestBody {
            connection: &connection,
            decoder: BodyDecoder::new(incoming.framing),
            timer: Timer::default(),
            timeout: limits.body_timeout,
            limit: limits.body,
            read: 0,
            expected: minor == 1 && expects_continue(&incoming.headers),
            done: incoming.framing == Framing::Empty,
        };
        let mut respond = Responder {
            connection: &connection,
            timer: &timer,
            timeout: limits.send_timeout,
            out: Vec::new(),
            body: Way::None,
            trailers: false,
            keep,
            minor,
            draining: &core,
            sent: 0,
        };
        let outcome =
            phases::serve(&core, &client, &timer, incoming, &mut upload, &mut respond).await;
        if outcome == Outcome::Abort {
            // A body that ends with the connection must not seem to be whole.
            if respond.body == Way::UntilClose {
                connection.reset();
            }
            return;
        }
        // What is left of an unread body would be taken for the next request.
        if outcome == Outcome::Close || !respond.keep || !upload.skip_rest().await {
            if upload.done && connection.input().is_empty() {
                let _ = timer.limit(LINGER, connection.shutdown()).await;
            } else {
                linger(&core, &connection, &timer).await;
            }
            return;
        }
    }
}

/// Tells a client that speaks plain HTTP on a port for TLS, and closes.
pub(crate) async fn refuse_plain(core: &Core, client: &Client, connection: Connection) {
    let timer = Timer::default();
    let none = HeaderMap::new();
    let asked = Asked::unreadable(client, &none);
    core.counts.request();
    refuse(core, &connection, &timer, &asked, Refusal::PlainOnTls).await;
}

/// Waits for the first bytes of a request; `false` when there will be none.
async fn await_request(core: &Core, connection: &Connection, timer: &Timer, fresh: bool) -> bool {
    let limits = &core.settings.client;
    let more = async {
        let first = timer.limit(limits.keepalive_timeout, connection.fill());
        matches!(first.await, Ok(Ok(1..)))
    };
    connection.rest();
    let grace = if fresh { FRESH } else { Duration::ZERO };
    let more = core.draining.while_kept(grace, more).await;
    more.unwrap_or(false)
}

/// Reads the head of a request; `Err(None)` when the client is gone.
async fn read_head(
    core: &Core,
    connection: &Connection,
    timer: &Timer,
) -> Result<RequestHead, Option<Refusal>> {
    let limits = core.head_limits();
    let whole = async {
        loop {
            let head = RequestHead::take(&mut connection.input(), limits);
            match head {
                Ok(Some(head)) => return Ok(head),
                Ok(None) => {}
                Err(malformed) => return Err(Some(Refusal::of(malformed))),
            }
            match connection.fill().await {
                Ok(0) | Err(_) => return Err(None),
                Ok(_) => {}
            }
        }
    };
    timer
        .limit(core.settings.client.header_timeout, whole)
        .await
        .unwrap_or(Err(Some(Refusal::Status(StatusCode::REQUEST_TIMEOUT))))
}

/// Checks a head that could be read: what must hold before it means anything.
fn accept(core: &Core, head: RequestHead) -> Result<Incoming, Box<(RequestHead, Refusal)>> {
    match check(core, &head) {
        Ok((target, authority, framing)) => Ok(Incoming {
            method: head.method,
            target,
            authority,
            version: if head.minor == 0 {
                Version::HTTP_10
            } else {
                Version::HTTP_11
            },
            headers: head.headers,
            spelling: head.spelling,
            framing,
        }),
        Err(refusal) => Err(Box::new((head, refusal))),
    }
}

type Checked = (Bytes, Option<String>, Framing);

fn check(core: &Core, head: &RequestHead) -> Result<Checked, Refusal> {
    let bad = Refusal::Status(StatusCode::BAD_REQUEST);
    let (target, authority) = origin_form(&head.target).ok_or(bad)?;
    let mut hosts = head.headers.get_all(http::header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => return Err(bad),
        (Some(host), None) if !std::str::from_utf8(host.as_bytes()).is_ok_and(host::is_valid) => {
            return Err(bad);
        }
        (None, _) if head.minor == 1 => return Err(bad),
        _ => {}
    }
    let framing = Framing::of_request(&head.headers, head.minor).map_err(Refusal::of)?;
    if matches!(head.method, Method::TRACE | Method::CONNECT) {
        return Err(Refusal::Status(StatusCode::METHOD_NOT_ALLOWED));
    }
    if let (Framing::Length(length), Some(limit)) = (framing, core.settings.client.body)
        && length > limit
    {
        return Err(Refusal::Status(StatusCode::PAYLOAD_TOO_LARGE));
    }
    Ok((target, authority, framing))
}

/// A target as path and query, and the host that an absolute target names.
fn origin_form(target: &Bytes) -> Option<(Bytes, Option<String>)> {
    if target.first() == Some(&b'/') {
        return Some((target.clone(), None));
    }
    let text = std::str::from_utf8(target).ok()?;
    let scheme = ["http://", "https://"].into_iter().find(|scheme| {
        text.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })?;
    let rest = &text[scheme.len()..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    if authority.contains('@') || !host::is_valid(authority) {
        return None;
    }
    let path = match &rest[end..] {
        path if path.starts_with('/') => target.slice(scheme.len() + end..),
        rest => Bytes::from(format!("/{rest}")),
    };
    Some((path, Some(authority.to_owned())))
}

fn wants_keepalive(head: &RequestHead) -> bool {
    !hop::lists(&head.headers, "close")
        && (head.minor == 1 || hop::lists(&head.headers, "keep-alive"))
}

fn expects_continue(headers: &HeaderMap) -> bool {
    headers
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Answers what cannot be served, and closes.
async fn refuse(
    core: &Core,
    connection: &Connection,
    timer: &Timer,
    asked: &Asked<'_>,
    refusal: Refusal,
) {
    let mut respond = Responder {
        connection,
        timer,
        timeout: core.settings.client.send_timeout,
        out: Vec::new(),
        body: Way::None,
        trailers: false,
        keep: false,
        minor: 1,
        draining: core,
        sent: 0,
    };
    if refusal::send(core, asked, refusal, &mut respond)
        .await
        .is_ok()
    {
        linger(core, connection, timer).await;
    }
}

/// Closes the connection after the client has had the chance to read the answer.
async fn linger(core: &Core, connection: &Connection, timer: &Timer) {
    let closing = async {
        if connection.shutdown().await.is_err() {
            return;
        }
        let mut read = 0;
        while read < LINGER_BYTES {
            connection.input().clear();
            match connection.fill().await {
                Ok(0) | Err(_) => return,
                Ok(some) => read += some,
            }
        }
    };
    let closing = core.draining.within(LAST_LINGER, closing);
    let _ = timer.limit(LINGER, closing).await;
}

/// The body of a request.
struct RequestBody<'c> {
    connection: &'c Connection,
    decoder: BodyDecoder,
    timer: Timer,
    timeout: Duration,
    limit: Option<u64>,
    read: u64,
    /// The client waits to be told to send.
    expected: bool,
    done: bool,
}

impl RequestBody<'_> {
    /// Reads past what nobody wanted of the body; `false` when that is too much, or not even on
    /// its way.
    async fn skip_rest(&mut self) -> bool {
        let mut skipped = 0;
        while !self.done && !self.expected && skipped < SKIP_BYTES {
            match self.next().await {
                Ok(Some(piece)) => skipped += piece.len(),
                Ok(None) => {}
                Err(_) => return false,
            }
        }
        self.done
    }
}

impl Upload for RequestBody<'_> {
    async fn invite(&mut self) -> Result<(), UploadFault> {
        if std::mem::take(&mut self.expected) {
            self.connection
                .write(b"HTTP/1.1 100 Continue\r\n\r\n", Bytes::new())
                .await
                .map_err(|_| UploadFault::Gone)?;
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, UploadFault> {
        self.invite().await?;
        loop {
            let piece = self.decoder.decode(&mut self.connection.input())?;
            match piece {
                Piece::Data(piece) => {
                    self.read += piece.len() as u64;
                    if self.limit.is_some_and(|limit| self.read > limit) {
                        return Err(UploadFault::TooLong);
                    }
                    return Ok(Some(piece));
                }
                Piece::End => {
                    self.done = true;
                    return Ok(None);
                }
                Piece::More => {}
            }
            let read = self.timer.limit(self.timeout, self.connection.fill_long());
            match read.await {
                Err(_) => return Err(UploadFault::Timeout),
                Ok(Ok(0) | Err(_)) => return Err(UploadFault::Gone),
                Ok(Ok(_)) => {}
            }
        }
    }

    fn trailers(&mut self) -> Option<HeaderMap> {
        self.decoder.trailers()
    }
}

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
    body: Way,
    /// The client takes fields after the body.
    trailers: bool,
    keep: bool,
    minor: u8,
    draining: &'c Core,
    sent: u64,
}

impl Responder<'_> {
    /// Sends a chunk and what is written after it.
    async fn chunk(&mut self, piece: Bytes, after: &'static [u8]) -> io::Result<()> {
        encode::chunk_size(piece.len(), &mut self.out);
        self.sent += piece.len() as u64;
        self.send(piece.chain(after)).await
    }

    async fn send(&mut self, mut piece: impl Buf) -> io::Result<()> {
        if !self.out.is_empty() && piece.remaining() <= COPIED {
            self.out.put(&mut piece);
        }
        let written = self.connection.write(&self.out, piece);
        self.timer
            .limit(self.timeout, written)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        self.out.clear();
        Ok(())
    }
}

impl Respond for Responder<'_> {
    async fn informational(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        spelling: &Spelling,
    ) -> io::Result<()> {
        // HTTP/1.0 knows none.
        if self.minor == 0 {
            return Ok(());
        }
        encode::status_line(status, None, &mut self.out);
        encode::lines(
            headers,
            spelling,
            |name| is_decided(name, false),
            &mut self.out,
        );
        self.out.extend_from_slice(b"\r\n");
        self.flush().await
    }

    fn head(&mut self, head: &Outgoing<'_>) {
        let switching = head.status == StatusCode::SWITCHING_PROTOCOLS;
        self.body = match head.framing {
            _ if !head.body => Way::None,
            Framing::Empty => Way::None,
            Framing::Length(length) => Way::Length(length),
            Framing::Chunked | Framing::UntilClose if self.minor == 0 => Way::UntilClose,
            Framing::Chunked | Framing::UntilClose => Way::Chunked,
        };
        self.trailers = head.trailers && self.body == Way::Chunked;
        self.keep &= !head.close && self.body != Way::UntilClose && !self.draining.draining.is_on();
        let out = &mut self.out;
        out.reserve(HEAD_ROOM);
        encode::status_line(head.status, head.reason, out);
        match head.framing {
            Framing::Length(_) if head.status != StatusCode::NO_CONTENT && !switching => {
                encode::framing(head.framing, out);
            }
            _ if self.body == Way::Chunked => encode::framing(Framing::Chunked, out),
            _ => {}
        }
        if switching {
            out.extend_from_slice(b"Connection: upgrade\r\n");
        } else if self.keep {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        } else {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        if head.status == StatusCode::UPGRADE_REQUIRED && head.headers.contains_key(UPGRADE) {
            out.extend_from_slice(b"Connection: Upgrade\r\n");
        }
        let trailers = self.trailers;
        encode::lines(
            head.headers,
            head.spelling,
            |name| is_decided(name, trailers),
            out,
        );
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
                None => return Err(io::Error::other("the body is longer than was told")),
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

    async fn finish(&mut self, trailers: Option<HeaderMap>) -> io::Result<()> {
        match self.body {
            Way::Length(left) if left > 0 => {
                return Err(io::Error::other("the body is shorter than was told"));
            }
            Way::Chunked => {
                let trailers = trailers.filter(|_| self.trailers);
                trailers::write_end(trailers.as_ref(), &mut self.out);
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

    fn sent(&self) -> u64 {
        self.sent
    }
}

/// Headers that are written by the connection itself, or not at all.
fn is_decided(name: &str, trailers: bool) -> bool {
    matches!(
        name,
        "connection" | "content-length" | "transfer-encoding" | "keep-alive"
    ) || name == "trailer" && !trailers
        || name.starts_with("x-accel-")
}
