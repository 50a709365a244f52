//! HTTP/2 towards clients, by hyper. Each stream is served like a request of HTTP/1; its body and
//! its response go through channels of one piece, so that a slow side holds the other one back.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming as StreamBody;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use keelgate_router::host;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::refusal::{self, Refusal};
use super::{Client, Incoming, Outcome, Outgoing, Respond, Upload, UploadFault};
use crate::core::Core;
use crate::http1::{Framing, Spelling, trailers};
use crate::net::{Connection, Stream, Timer};
use crate::phases;

/// Spawns on the core that serves the connection.
#[derive(Clone, Copy)]
struct OnThisCore;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for OnThisCore {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

/// Time that a client is given to take in that a connection is over.
const GOODBYE: Duration = Duration::from_secs(1);

/// The streams of one connection that are being served.
struct Streams {
    /// A stream that its client gives up ends for the client at once, but not for the upstream:
    /// those are counted too, so that nobody can begin more by giving up what was begun.
    places: Arc<Semaphore>,
    open: Cell<usize>,
    /// Told when `open` has changed.
    changed: Notify,
}

impl Streams {
    fn begin(self: &Rc<Self>) -> OpenStream {
        self.count(self.open.get() + 1);
        OpenStream(Rc::clone(self))
    }

    fn count(&self, open: usize) {
        self.open.set(open);
        self.changed.notify_one();
    }

    /// Ready once none is open.
    async fn none(&self) {
        while self.open.get() > 0 {
            self.changed.notified().await;
        }
    }

    /// Ready once none has been open for `limit`.
    async fn idle(&self, limit: Duration) {
        let timer = Timer::default();
        loop {
            self.none().await;
            if timer.limit(limit, self.changed.notified()).await.is_err() {
                return;
            }
        }
    }
}

/// Counts a stream as open until it is dropped.
struct OpenStream(Rc<Streams>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.count(self.0.open.get() - 1);
    }
}

/// Serves a connection until it ends, is idle for too long, or the worker drains.
pub(crate) async fn serve(core: Rc<Core>, client: Client, stream: Stream) {
    let limits = &core.settings.client;
    let mut builder = hyper::server::conn::http2::Builder::new(OnThisCore);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.http2_streams)
        .max_header_list_size(u32::try_from(limits.header_total).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.keepalive_timeout)
        .keep_alive_timeout(limits.header_timeout);
    let streams = Rc::new(Streams {
        places: Arc::new(Semaphore::new(limits.http2_streams.max(1) as usize)),
        open: Cell::new(0),
        changed: Notify::new(),
    });
    let serving = {
        let (core, streams) = (Rc::clone(&core), Rc::clone(&streams));
        service_fn(move |request| {
            let (core, streams) = (Rc::clone(&core), Rc::clone(&streams));
            stream_of(core, client.clone(), streams, request)
        })
    };
    let connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), serving));
    let over = async {
        let drain = std::pin::pin!(core.draining.started());
        let idle = std::pin::pin!(streams.idle(limits.keepalive_timeout));
        select(drain, idle).await;
    };
    if let Either::Right(((), mut connection)) = select(connection, std::pin::pin!(over)).await {
        connection.as_mut().graceful_shutdown();
        let rest = async {
            streams.none().await;
            let _ = Timer::default()
                .limit(GOODBYE, std::future::pending::<()>())
                .await;
        };
        select(connection, std::pin::pin!(rest)).await;
    }
}

/// Serves one stream in a task of its own, and hands its response to hyper.
async fn stream_of(
    core: Rc<Core>,
    client: Client,
    streams: Rc<Streams>,
    request: Request<StreamBody>,
) -> Result<Response<Outlet>, Infallible> {
    let open = streams.begin();
    // Never closed; a stream that is given up while it waits never begins.
    let place = Arc::clone(&streams.places).acquire_owned().await.ok();
    let (head, response) = oneshot::channel();
    tokio::task::spawn_local(async move {
        let _served: (OpenStream, Option<OwnedSemaphorePermit>) = (open, place);
        let mut respond = Responder::new(head, core.settings.client.send_timeout);
        let (parts, body) = request.into_parts();
        let head_only = parts.method == Method::HEAD;
        let mut upload = RequestBody {
            limit: core.settings.client.body,
            timeout: core.settings.client.body_timeout,
            timer: Timer::default(),
            read: 0,
            trailers: None,
            body,
        };
        let outcome = match accept(&core, parts, &upload.body) {
            Ok(incoming) => {
                let timer = Timer::default();
                phases::serve(&core, &client, &timer, incoming, &mut upload, &mut respond).await
            }
            Err((headers, refusal)) => {
                let sent = refusal::send(&core, &headers, head_only, refusal, &mut respond).await;
                if sent.is_ok() {
                    Outcome::Close
                } else {
                    Outcome::Abort
                }
            }
        };
        if outcome == Outcome::Abort {
            respond.abort().await;
        }
    });
    Ok(response.await.unwrap_or_else(|_| {
        // The client is gone, or the stream was given up before its head.
        let mut response = Response::new(Outlet::broken());
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    }))
}

fn accept(
    core: &Core,
    parts: http::request::Parts,
    body: &StreamBody,
) -> Result<Incoming, (HeaderMap, Refusal)> {
    let mut headers = parts.headers;
    let bad = Refusal::Status(StatusCode::BAD_REQUEST);
    let authority = parts
        .uri
        .authority()
        .map(|authority| authority.as_str().to_owned());
    if let Some(authority) = &authority
        && let Ok(value) = HeaderValue::from_str(authority)
    {
        headers.insert(HOST, value);
    }
    let named = headers.get(HOST).and_then(|host| host.to_str().ok());
    if !named.is_some_and(host::is_valid) {
        return Err((headers, bad));
    }
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
    let framing = match body.size_hint().exact() {
        _ if body.is_end_stream() && !headers.contains_key(CONTENT_LENGTH) => Framing::Empty,
        Some(length) => Framing::Length(length),
        None => Framing::Chunked,
    };
    if let (Framing::Length(length), Some(limit)) = (framing, core.settings.client.body)
        && length > limit
    {
        return Err((headers, Refusal::Status(StatusCode::PAYLOAD_TOO_LARGE)));
    }
    let mut spelling = Spelling::default();
    spelling.underscores = headers.keys().any(|name| name.as_str().contains('_'));
    Ok(Incoming {
        method: parts.method,
        target: Bytes::copy_from_slice(target.as_bytes()),
        authority: None,
        version: Version::HTTP_2,
        headers,
        spelling,
        framing,
    })
}

/// HTTP/2 splits `Cookie` into several fields; HTTP/1 has one.
fn join_cookies(headers: &mut HeaderMap) {
    let name = http::header::COOKIE;
    if headers.get_all(&name).iter().nth(1).is_none() {
        return;
    }
    let mut joined = BytesMut::new();
    for value in headers.get_all(&name) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(value.as_bytes());
    }
    if let Ok(value) = HeaderValue::from_maybe_shared(joined.freeze()) {
        headers.insert(name, value);
    }
}

/// The body of a request.
struct RequestBody {
    body: StreamBody,
    limit: Option<u64>,
    timeout: Duration,
    timer: Timer,
    read: u64,
    trailers: Option<HeaderMap>,
}

impl Upload for RequestBody {
    async fn invite(&mut self) -> Result<(), UploadFault> {
        // Reading the body is the invitation.
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, UploadFault> {
        loop {
            let body = &mut self.body;
            let frame = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
            let frame = self
                .timer
                .limit(self.timeout, frame)
                .await
                .map_err(|_| UploadFault::Timeout)?;
            match frame {
                None => return Ok(None),
                Some(Err(_)) => return Err(UploadFault::Gone),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => {
                        self.read += piece.len() as u64;
                        if self.limit.is_some_and(|limit| self.read > limit) {
                            return Err(UploadFault::TooLong);
                        }
                        return Ok(Some(piece));
                    }
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
            }
        }
    }

    fn trailers(&mut self) -> Option<HeaderMap> {
        let mut trailers = self.trailers.take()?;
        trailers::keep_allowed(&mut trailers);
        Some(trailers)
    }
}

/// A piece of a response's body, the fields after it, or the sign that it is cut short.
type Sent = Result<Frame<Bytes>, io::Error>;

/// Whether the client has given a response up, for whoever waits for its upstream.
#[derive(Default)]
struct Watch {
    gone: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Watch {
    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        if self.gone.get() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        match &mut *waiting {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn end(&self) {
        self.gone.set(true);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

/// The way of a response.
struct Responder {
    head: RefCell<Option<oneshot::Sender<Response<Outlet>>>>,
    pieces: mpsc::Sender<Sent>,
    outlet: Cell<Option<mpsc::Receiver<Sent>>>,
    watch: Rc<Watch>,
    left: Option<u64>,
    trailers: bool,
    sent: u64,
    timer: Timer,
    /// For one piece: a client that takes nothing must not hold its upstream for ever.
    timeout: Duration,
}

impl Responder {
    fn new(head: oneshot::Sender<Response<Outlet>>, timeout: Duration) -> Self {
        let (pieces, outlet) = mpsc::channel(1);
        Self {
            head: RefCell::new(Some(head)),
            pieces,
            outlet: Cell::new(Some(outlet)),
            watch: Rc::default(),
            left: None,
            trailers: false,
            sent: 0,
            timer: Timer::default(),
            timeout,
        }
    }

    async fn send(&self, frame: Frame<Bytes>) -> io::Result<()> {
        let sent = self.timer.limit(self.timeout, self.pieces.send(Ok(frame)));
        match sent.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn abort(&mut self) {
        self.head.take();
        let cut = io::Error::other("the response is cut short");
        let sent = self.timer.limit(self.timeout, self.pieces.send(Err(cut)));
        let _ = sent.await;
    }
}

impl Respond for Responder {
    async fn informational(
        &mut self,
        _status: StatusCode,
        _headers: &HeaderMap,
        _spelling: &Spelling,
    ) -> io::Result<()> {
        // hyper has no way to send one.
        Ok(())
    }

    fn head(&mut self, outgoing: &Outgoing<'_>) {
        let (Some(head), Some(pieces)) = (self.head.take(), self.outlet.take()) else {
            return;
        };
        let length = match outgoing.framing {
            Framing::Length(length) => Some(length),
            Framing::Empty => Some(0),
            _ => None,
        };
        self.trailers = outgoing.trailers && outgoing.body;
        let mut response = Response::new(Outlet {
            pieces: outgoing.body.then_some(pieces),
            left: if outgoing.body { length } else { Some(0) },
            trailers: self.trailers,
            watch: outgoing.body.then(|| Rc::clone(&self.watch)),
        });
        self.left = length.filter(|_| outgoing.body);
        *response.status_mut() = outgoing.status;
        let headers = response.headers_mut();
        headers.clone_from(outgoing.headers);
        for name in [
            CONNECTION,
            TRANSFER_ENCODING,
            UPGRADE,
            CONTENT_LENGTH,
            HeaderName::from_static("keep-alive"),
            HeaderName::from_static("proxy-connection"),
        ] {
            headers.remove(name);
        }
        if let Framing::Length(length) = outgoing.framing
            && outgoing.status != StatusCode::NO_CONTENT
        {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        // Fails when the client is gone; the next piece finds that out.
        let _ = head.send(response);
    }

    async fn data(&mut self, piece: Bytes) -> io::Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        let length = piece.len() as u64;
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(length)
                .ok_or_else(|| io::Error::other("the body is longer than was told"))?;
        }
        self.sent += length;
        self.send(Frame::data(piece)).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn finish(&mut self, trailers: Option<HeaderMap>) -> io::Result<()> {
        if self.left.is_some_and(|left| left > 0) {
            return Err(io::Error::other("the body is shorter than was told"));
        }
        match trailers {
            Some(trailers) if self.trailers => self.send(Frame::trailers(trailers)).await,
            _ => Ok(()),
        }
    }

    fn connection(&self) -> Option<&Connection> {
        None
    }

    fn poll_gone(&self, _read: bool, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self.head.borrow_mut() {
            Some(head) => head.poll_closed(cx),
            None => self.watch.poll(cx),
        }
    }

    fn sent(&self) -> u64 {
        self.sent
    }
}

/// The body of a response as hyper takes it.
struct Outlet {
    pieces: Option<mpsc::Receiver<Sent>>,
    left: Option<u64>,
    /// Fields may follow the last piece.
    trailers: bool,
    watch: Option<Rc<Watch>>,
}

impl Outlet {
    fn broken() -> Self {
        Self {
            pieces: None,
            left: Some(0),
            trailers: false,
            watch: None,
        }
    }
}

impl Body for Outlet {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        let Some(pieces) = &mut this.pieces else {
            return Poll::Ready(None);
        };
        let frame = ready!(pieces.poll_recv(cx));
        if let (Some(Ok(frame)), Some(left)) = (&frame, &mut this.left)
            && let Some(piece) = frame.data_ref()
        {
            *left = left.saturating_sub(piece.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_none() || self.left == Some(0) && !self.trailers
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.end();
        }
    }
}
