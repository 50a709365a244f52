//! One stream: a request as it comes in, and its response as it goes out.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{
    HeaderMap as Trailers, HeaderValue, Method, Request, Response, StatusCode, Version, request,
};
use keelgate_plugins::HeaderMap;
use keelgate_router::host;

use crate::core::Core;
use crate::downstream::refusal::{self, Asked, Refusal};
use crate::downstream::{
    Client, Incoming, Outcome, Outgoing, Respond, Upload, UploadFault, mistold,
};
use crate::http1::head::{drop_odd_names, is_plain_method};
use crate::http1::{Framing, trailers};
use crate::net::{Connection, Timer};
use crate::phases;

/// The way back, which the body of the request shares with its response: either may say that the
/// client is to go on.
type Reply = Rc<RefCell<SendResponse<Bytes>>>;

/// Serves a request to the end of its response.
pub(super) async fn serve(
    core: &Core,
    client: &Client,
    request: Request<RecvStream>,
    reply: SendResponse<Bytes>,
) {
    let limits = &core.settings.client;
    let reply: Reply = Rc::new(RefCell::new(reply));
    let mut respond = Responder::new(Rc::clone(&reply), limits.send_timeout);
    let (parts, body) = request.into_parts();
    let method = parts.method.clone();
    let accepted = accept(core, parts, body.is_end_stream());
    let outcome = match accepted {
        Ok(mut incoming) => {
            let mut upload = RequestBody {
                expected: expects_continue(&incoming.headers) && !body.is_end_stream(),
                reply,
                limit: limits.body,
                timeout: limits.body_timeout,
                timer: Timer::default(),
                read: 0,
                trailers: None,
                body,
            };
            let timer = Timer::default();
            phases::serve(
                core,
                client,
                &timer,
                &mut incoming,
                &mut upload,
                &mut respond,
            )
            .await
        }
        Err((headers, refusal)) => {
            let asked = Asked {
                client,
                method: Some(&method),
                target: "-",
                version: "HTTP/2.0",
                headers: &headers,
            };
            match refusal::send(core, &asked, refusal, &mut respond).await {
                Ok(()) => Outcome::Close,
                Err(error) => Outcome::of_write(&error),
            }
        }
    };
    if outcome.is_cut_short() {
        respond.reset(Reason::INTERNAL_ERROR);
    }
}

/// Checks a head that could be read: what must hold before it means anything.
fn accept(
    core: &Core,
    parts: request::Parts,
    ended: bool,
) -> Result<Incoming, (HeaderMap, Refusal)> {
    let length = length_of(&parts.headers) as usize;
    let mut headers = HeaderMap::from(parts.headers);
    let bad = Refusal::Status(StatusCode::BAD_REQUEST);
    if !settle_host(
        &mut headers,
        parts.uri.authority().map(|host| host.as_str()),
    ) {
        return Err((headers, bad));
    }
    // What goes on is as it would be in HTTP/1.
    if !is_plain_method(parts.method.as_str()) {
        return Err((headers, bad));
    }
    drop_odd_names(&mut headers);
    if matches!(parts.method, Method::TRACE | Method::CONNECT) {
        return Err((headers, Refusal::Status(StatusCode::METHOD_NOT_ALLOWED)));
    }
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    if !target.starts_with('/') {
        return Err((headers, bad));
    }
    join_cookies(&mut headers);
    // A stream tells its end itself; how long it is to be is only believed when said once.
    let framing = match Framing::of_request(&headers, 1) {
        Ok(Framing::Empty) if !ended => Framing::Chunked,
        Ok(framing) => framing,
        Err(malformed) => return Err((headers, Refusal::of(malformed))),
    };
    if let (Framing::Length(length), Some(limit)) = (framing, core.settings.client.body)
        && length > limit
    {
        return Err((headers, Refusal::Status(StatusCode::PAYLOAD_TOO_LARGE)));
    }
    let underscores = headers.keys().any(|name| name.as_str().contains('_'));
    let host = headers
        .get_bytes("host")
        .and_then(|host| std::str::from_utf8(host).ok())
        .map_or("", |host| host::split_port(host).0);
    Ok(Incoming {
        target: target.to_owned(),
        host: host.to_owned(),
        method: parts.method,
        authority: None,
        version: Version::HTTP_2,
        headers,
        length: length + target.len(),
        underscores,
        framing,
    })
}

/// Makes `Host` say what the request is for; `false` where that is missing, no host, or said in
/// two ways.
fn settle_host(headers: &mut HeaderMap, authority: Option<&str>) -> bool {
    let mut told = headers.get_all(HOST).iter();
    let (first, second) = (told.next(), told.next());
    if second.is_some() {
        return false;
    }
    let Some(authority) = authority else {
        let told = first.and_then(|host| host.to_str().ok());
        return told.is_some_and(host::is_valid);
    };
    let differs =
        first.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()));
    // Neither may say who asks (RFC 9113, 8.3.1).
    if differs || authority.contains('@') || !host::is_valid(authority) {
        return false;
    }
    let value = HeaderValue::from_str(authority);
    value.is_ok_and(|value| {
        headers.insert(HOST, value);
        true
    })
}

/// HTTP/2 splits `Cookie` into several fields; HTTP/1 has one.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let mut joined = BytesMut::new();
    for value in headers.get_all(COOKIE) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(value.as_bytes());
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(joined.freeze()) {
        headers.insert(COOKIE, value);
    }
}

fn expects_continue(headers: &HeaderMap) -> bool {
    headers
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The body of a request.
struct RequestBody {
    body: RecvStream,
    reply: Reply,
    /// The client waits to be told to send.
    expected: bool,
    limit: Option<u64>,
    timeout: Duration,
    timer: Timer,
    read: u64,
    trailers: Option<Trailers>,
}

impl Upload for RequestBody {
    async fn invite(&mut self) -> Result<(), UploadFault> {
        if std::mem::take(&mut self.expected) {
            let mut invitation = Response::new(());
            *invitation.status_mut() = StatusCode::CONTINUE;
            // Fails when the client is gone; reading finds that out.
            let _ = self.reply.borrow_mut().send_informational(invitation);
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, UploadFault> {
        self.invite().await?;
        let body = &mut self.body;
        let piece = poll_fn(|cx| body.poll_data(cx));
        let piece = self.timer.limit(self.timeout, piece).await;
        match piece.map_err(|_| UploadFault::Timeout)? {
            Some(Ok(piece)) => {
                // The client may send on as soon as this piece has been taken.
                let _ = body.flow_control().release_capacity(piece.len());
                self.read += piece.len() as u64;
                if self.limit.is_some_and(|limit| self.read > limit) {
                    return Err(UploadFault::TooLong);
                }
                Ok(Some(piece))
            }
            Some(Err(_)) => Err(UploadFault::Gone),
            None => {
                let trailers = self.timer.limit(self.timeout, body.trailers()).await;
                self.trailers = trailers
                    .map_err(|_| UploadFault::Timeout)?
                    .map_err(|_| UploadFault::Gone)?;
                Ok(None)
            }
        }
    }

    fn received(&self) -> u64 {
        self.read
    }

    fn trailers(&mut self) -> Option<Trailers> {
        let mut trailers = self.trailers.take()?;
        trailers::keep_allowed(&mut trailers);
        Some(trailers)
    }
}

/// The way of a response.
struct Responder {
    reply: Reply,
    /// From the head on, until the end was sent.
    stream: RefCell<Option<SendStream<Bytes>>>,
    begun: bool,
    /// What is left of a body whose length was told.
    left: Option<u64>,
    trailers: bool,
    sent: u64,
    /// Of the head.
    head: u64,
    timer: Timer,
    /// For one piece: a client that takes nothing must not hold its upstream for ever.
    timeout: Duration,
}

impl Responder {
    fn new(reply: Reply, timeout: Duration) -> Self {
        Self {
            reply,
            stream: RefCell::default(),
            begun: false,
            left: None,
            trailers: false,
            sent: 0,
            head: 0,
            timer: Timer::default(),
            timeout,
        }
    }

    /// Sends a piece as the client has room for it; the stream ends with it where `end` is set.
    async fn write(&mut self, mut piece: Bytes, end: bool) -> io::Result<()> {
        let stream = self.stream.get_mut();
        let Some(sending) = stream.as_mut() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let written = poll_fn(|cx| {
            loop {
                if piece.is_empty() {
                    let ended = if end {
                        sending.send_data(Bytes::new(), true)
                    } else {
                        Ok(())
                    };
                    return Poll::Ready(ended.map_err(io::Error::other));
                }
                sending.reserve_capacity(piece.len());
                let mut room = sending.capacity();
                if room == 0 {
                    room = match ready!(sending.poll_capacity(cx)) {
                        Some(room) => room.map_err(io::Error::other)?,
                        None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                    };
                }
                let part = piece.split_to(room.min(piece.len()));
                let last = end && piece.is_empty();
                if !part.is_empty() {
                    sending.send_data(part, last).map_err(io::Error::other)?;
                }
                if last {
                    return Poll::Ready(Ok(()));
                }
            }
        });
        let written = self.timer.limit(self.timeout, written).await;
        if end {
            *stream = None;
        }
        written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Counts a piece against the length that was told; whether it is the last one.
    fn count(&mut self, piece: &Bytes) -> io::Result<bool> {
        let length = piece.len() as u64;
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(length)
                .ok_or_else(|| mistold("the body is longer than was told"))?;
        }
        self.sent += length;
        Ok(self.left == Some(0) && !self.trailers)
    }

    /// Ends the stream for good.
    fn reset(&mut self, reason: Reason) {
        match self.stream.get_mut() {
            Some(stream) => stream.send_reset(reason),
            None if !self.begun => self.reply.borrow_mut().send_reset(reason),
            None => {}
        }
    }
}

impl Respond for Responder {
    async fn informational(&mut self, status: StatusCode, headers: &HeaderMap) -> io::Result<()> {
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.headers_mut() = sayable(headers, false);
        self.reply
            .borrow_mut()
            .send_informational(response)
            .map_err(io::Error::other)
    }

    fn head(&mut self, outgoing: &Outgoing<'_>) {
        self.begun = true;
        self.trailers = outgoing.trailers && outgoing.body;
        self.left = match outgoing.framing {
            Framing::Length(length) => Some(length),
            Framing::Empty => Some(0),
            _ => None,
        };
        let ended = !outgoing.body || self.left == Some(0) && !self.trailers;
        let mut response = Response::new(());
        *response.status_mut() = outgoing.status;
        let headers = response.headers_mut();
        *headers = sayable(outgoing.headers, self.trailers);
        if let Framing::Length(length) = outgoing.framing
            && outgoing.status != StatusCode::NO_CONTENT
        {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        if ended {
            self.left = Some(0);
        }
        self.head = length_of(headers);
        // Fails when the client is gone; the next piece finds that out.
        let stream = self.reply.borrow_mut().send_response(response, ended);
        *self.stream.get_mut() = stream.ok().filter(|_| !ended);
    }

    async fn data(&mut self, piece: Bytes) -> io::Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        let last = self.count(&piece)?;
        self.write(piece, last).await
    }

    async fn last(&mut self, piece: Bytes) -> io::Result<()> {
        if self.count(&piece)? || self.left.is_none() {
            self.left = Some(0);
            return self.write(piece, true).await;
        }
        self.write(piece, false).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn finish(&mut self, trailers: Option<Trailers>) -> io::Result<()> {
        if self.left.is_some_and(|left| left > 0) {
            return Err(mistold("the body is shorter than was told"));
        }
        let Some(mut stream) = self.stream.take() else {
            return Ok(());
        };
        match trailers {
            Some(trailers) if self.trailers => stream.send_trailers(trailers),
            _ => stream.send_data(Bytes::new(), true),
        }
        .map_err(io::Error::other)
    }

    fn connection(&self) -> Option<&Connection> {
        None
    }

    fn poll_gone(&self, _read: bool, cx: &mut Context<'_>) -> Poll<()> {
        let reset = match &mut *self.stream.borrow_mut() {
            Some(stream) => stream.poll_reset(cx),
            None if !self.begun => self.reply.borrow_mut().poll_reset(cx),
            None => return Poll::Pending,
        };
        reset.map(|_| ())
    }

    fn has_begun(&self) -> bool {
        self.begun
    }

    fn sent(&self) -> u64 {
        self.sent
    }

    fn written(&self) -> u64 {
        self.head + self.sent
    }
}

/// How long header fields are, in bytes.
fn length_of(headers: &http::HeaderMap) -> u64 {
    let fields = headers.iter();
    fields
        .map(|(name, value)| (name.as_str().len() + value.len()) as u64)
        .sum()
}

/// The headers without those that only mean something between two ends of HTTP/1, or to the
/// gateway itself.
fn sayable(headers: &HeaderMap, trailers: bool) -> http::HeaderMap {
    const UNSAYABLE: [HeaderName; 6] = [
        CONNECTION,
        TRANSFER_ENCODING,
        UPGRADE,
        CONTENT_LENGTH,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    let mut said = http::HeaderMap::with_capacity(headers.len() + 1);
    for (name, value) in headers {
        let dropped = UNSAYABLE.contains(name)
            || name == TRAILER && !trailers
            || name.as_str().starts_with("x-accel-");
        if !dropped {
            said.append(name.clone(), value.clone());
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(hosts: &[&'static str], authority: Option<&str>) -> Option<String> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_static(host));
        }
        settle_host(&mut headers, authority).then(|| headers[HOST].to_str().unwrap().to_owned())
    }

    #[test]
    fn a_request_is_for_one_host() {
        assert_eq!(settled(&[], Some("a.test:8")).as_deref(), Some("a.test:8"));
        assert_eq!(settled(&["a.test"], None).as_deref(), Some("a.test"));
        assert_eq!(
            settled(&["A.test"], Some("a.test")).as_deref(),
            Some("a.test")
        );
        assert_eq!(settled(&["b.test"], Some("a.test")), None);
        assert_eq!(settled(&["a.test", "a.test"], None), None);
        assert_eq!(settled(&[], None), None);
        assert_eq!(settled(&["a b"], None), None);
        assert_eq!(settled(&[], Some("me@a.test")), None);
    }
}
