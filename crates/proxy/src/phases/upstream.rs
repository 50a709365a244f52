//! `upstream`: the request goes out, the response comes back.
//!
//! Everything happens in the task of the client's connection. While a long request body is still
//! on its way up, it is moved on alongside whatever else is awaited.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, UPGRADE};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use keelgate_entities::kinds::Protocol;
use keelgate_plugins::exchange::{MadeBy, ResponseHead as Response};
use keelgate_runtime::ServiceEntry;

use super::balance::{Choice, Choosing};
use super::body_filter::BodyFilter;
use super::request_body::{self, RequestBody};
use super::{Answer, Flight, answer, header_filter, request_head, tunnel};
use crate::downstream::{Outcome, Outgoing, Respond, Upload, UploadFault};
use crate::http1::framing::may_have_body;
use crate::http1::{BodyDecoder, Framing, Limits, Piece, ResponseHead, encode};
use crate::net::{Connection, Timer};
use crate::upstream::{Fault, Peer};

/// Longest head of an upstream's response, in bytes.
const HEAD_LIMITS: Limits = Limits {
    line: 64 * 1024,
    head: 64 * 1024,
};

/// Calls the upstream and passes its response on; answers instead where that fails.
pub(super) async fn proxy<'r, U: Upload, R: Respond>(
    flight: &mut Flight<'r>,
    entry: &'r ServiceEntry,
    upload: &mut U,
    respond: &mut R,
) -> Outcome {
    let result = match prepare(flight, upload).await {
        Ok(request) => call(flight, entry, request, upload, respond).await,
        Err(answer) => Err(answer),
    };
    match result {
        Ok(outcome) => outcome,
        Err(answer) => answer::send(flight, answer, respond).await,
    }
}

/// What is the same for all attempts.
struct Request {
    body: RequestBody,
    websocket: bool,
    /// The client takes trailers.
    trailers: bool,
}

async fn prepare<U: Upload>(flight: &mut Flight<'_>, upload: &mut U) -> Result<Request, Answer> {
    let wait = flight
        .exchange
        .route
        .is_none_or(|route| route.request_buffering);
    let body = match request_body::prepare(flight, upload, wait).await {
        Ok(body) => body,
        Err(fault) => return Err(Answer::of_upload(flight, &fault)),
    };
    let headers = &mut flight.exchange.headers;
    let websocket = request_head::wants_websocket(headers);
    let trailers = request_head::wants_trailers(headers);
    request_head::drop_connection_headers(headers);
    Ok(Request {
        body,
        websocket,
        trailers,
    })
}

/// Attempts until one gives a response, as often as the service allows.
async fn call<'r, U: Upload, R: Respond>(
    flight: &mut Flight<'r>,
    entry: &'r ServiceEntry,
    mut request: Request,
    upload: &mut U,
    respond: &mut R,
) -> Result<Outcome, Answer> {
    let mut left = entry.service.retries;
    let mut choosing = Choosing::new(flight, entry);
    let mut head = Vec::with_capacity(1024);
    loop {
        let choice = choosing.next(flight).await?;
        flight.proxied = true;
        head.clear();
        request_head::write(
            flight,
            &request_head::Facts {
                host: &choice.host,
                websocket: request.websocket,
                trailers: request.trailers,
                framing: request.body.framing,
            },
            &mut head,
        );
        let fault = match attempt(flight, entry, &choice, &head, &mut request, upload, respond)
            .await
        {
            Ok(outcome) => return Ok(outcome),
            Err(Failure::Upload(fault)) => return Err(Answer::of_upload(flight, &fault)),
            Err(Failure::Upstream { fault, reused }) => {
                // A connection that idled may have been closed under our hands; that says
                // nothing about the upstream, so it does not count as an attempt.
                if !reused {
                    choice.failed(&fault);
                }
                let again = fault.may_be_retried() && can_be_sent_again(flight, &request, &fault);
                if again && (left > 0 || reused) {
                    if !reused {
                        left -= 1;
                    }
                    tracing::debug!(address = %choice.address, %fault, "trying again");
                    continue;
                }
                fault
            }
        };
        tracing::warn!(
            address = %choice.address,
            %fault,
            request_id = flight.exchange.request_id,
            "the upstream failed"
        );
        return Err(Answer::failed(flight, fault.status()));
    }
}

/// Whether the request may go out once more: its body must still be there, and if the upstream may
/// have seen it, seeing it twice must do no harm.
fn can_be_sent_again(flight: &Flight<'_>, request: &Request, fault: &Fault) -> bool {
    if !fault.after_sending() {
        return true;
    }
    let method = flight.exchange.method.as_str();
    !request.body.more && !matches!(method, "POST" | "PATCH" | "LOCK")
}

/// Why an attempt gave no response.
enum Failure {
    /// The request could not be read on.
    Upload(UploadFault),
    /// The upstream is to blame.
    Upstream {
        fault: Fault,
        /// The connection had served before.
        reused: bool,
    },
}

async fn attempt<'r, U: Upload, R: Respond>(
    flight: &mut Flight<'r>,
    entry: &'r ServiceEntry,
    choice: &Choice<'r>,
    head: &[u8],
    request: &mut Request,
    upload: &mut U,
    respond: &mut R,
) -> Result<Outcome, Failure> {
    let service = &entry.service;
    if matches!(service.protocol, Protocol::Grpc | Protocol::Grpcs) {
        return Err(Failure::Upstream {
            fault: Fault::Protocol(service.protocol.as_str()),
            reused: false,
        });
    }
    let name = server_name(&choice.host);
    let peer = Peer {
        address: choice.address,
        tls: entry.tls.as_ref().map(|profile| (profile, name)),
    };
    let fresh = |fault| Failure::Upstream {
        fault,
        reused: false,
    };
    let pooled = peer
        .connect(
            &flight.core.pool,
            flight.timer,
            Duration::from_millis(service.connect_timeout),
        )
        .await
        .map_err(fresh)?;
    let reused = pooled.served > 0;
    let failed = |fault| Failure::Upstream { fault, reused };
    flight.proxy_latency = Some(header_filter::milliseconds(
        flight.exchange.times.started.elapsed(),
    ));
    let called = Instant::now();
    let write_limit = Duration::from_millis(service.write_timeout);
    let chunked = request.body.framing == Framing::Chunked;

    let connection = &pooled.connection;
    let sent = send_ahead(connection, head, &request.body, chunked);
    match flight.timer.limit(write_limit, sent).await {
        Err(_) => return Err(failed(Fault::Timeout)),
        // The upstream may have answered before it closed; reading tells.
        Ok(Err(_)) if request.body.more => {}
        Ok(Err(error)) => return Err(failed(Fault::Broken(error))),
        Ok(Ok(())) => {}
    }
    let mut pump = Pump::new(request.body.more.then(|| {
        // From here on the body is gone; no other attempt can follow.
        Box::pin(send_rest(upload, connection, chunked, write_limit)) as PinnedPump<'_>
    }));

    let wait = read_head(
        connection,
        flight.timer,
        Duration::from_millis(service.read_timeout),
    );
    // While the body is on its way up, reading it tells when the client goes away.
    let watch = !request.body.more;
    let response = match pump.alongside(unless_gone(wait, watch, respond)).await {
        Ok(Some(Ok(response))) => response,
        Ok(Some(Err(fault))) => return Err(failed(fault)),
        Ok(None) => return Err(Failure::Upload(UploadFault::Gone)),
        Err(fault) => return Err(Failure::Upload(fault)),
    };
    let latency = called.elapsed();
    flight.exchange.times.upstream = Some(latency);
    flight.upstream_status = Some(response.status.as_u16());
    choice.answered(response.status, latency);

    let switching = response.status == StatusCode::SWITCHING_PROTOCOLS;
    let head_only = flight.exchange.method == Method::HEAD;
    let framing = Framing::of_response(
        response.status,
        &response.headers,
        response.minor,
        head_only,
    )
    .map_err(|malformed| failed(malformed.into()))?;
    if switching && !request.websocket {
        return Err(failed(Fault::Response(crate::http1::Malformed::Head)));
    }
    let keep = !switching && keeps_alive(&response);
    let relay = Relay {
        connection,
        timer: flight.timer,
        read_limit: Duration::from_millis(service.read_timeout),
        framing,
    };
    let passed = relay.run(flight, response, &mut pump, respond).await;
    if switching && passed.is_ok() {
        drop(pump);
        if let Some(client) = respond.connection() {
            tunnel::run(client, connection, flight.timer, relay.read_limit).await;
        }
        return Ok(Outcome::Close);
    }
    let uploaded = pump.is_done();
    drop(pump);
    Ok(match passed {
        Ok(()) => {
            if keep && uploaded && framing != Framing::UntilClose {
                flight.core.pool.put(pooled);
            }
            match respond.finish().await {
                Ok(()) => Outcome::KeepAlive,
                Err(_) => Outcome::Abort,
            }
        }
        Err(cut) => {
            tracing::debug!(%cut, request_id = flight.exchange.request_id, "response cut short");
            Outcome::Abort
        }
    })
}

/// The name that TLS is spoken to: the `Host` without its port.
fn server_name(host: &str) -> &str {
    match (host.strip_prefix('['), host.find(']')) {
        (Some(_), Some(end)) => &host[1..end],
        _ => host.split(':').next().unwrap_or(host),
    }
}

/// Whether the upstream keeps the connection for another request.
fn keeps_alive(response: &ResponseHead) -> bool {
    let named = |token: &str| {
        response.headers.get_all(CONNECTION).iter().any(|value| {
            value
                .as_bytes()
                .split(|byte| *byte == b',')
                .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        })
    };
    if response.minor == 0 {
        named("keep-alive")
    } else {
        !named("close")
    }
}

/// Sends the head and what was read of the body; the first piece together with the head.
async fn send_ahead(
    connection: &Connection,
    head: &[u8],
    body: &RequestBody,
    chunked: bool,
) -> io::Result<()> {
    if chunked {
        connection.write(head, Bytes::new()).await?;
        for piece in &body.ahead {
            send_chunk(connection, piece.clone()).await?;
        }
        return Ok(());
    }
    let mut pieces = body.ahead.iter();
    let first = pieces.next().cloned().unwrap_or_default();
    connection.write(head, first).await?;
    for piece in pieces {
        connection.write(&[], piece.clone()).await?;
    }
    Ok(())
}

async fn send_chunk(connection: &Connection, piece: Bytes) -> io::Result<()> {
    if piece.is_empty() {
        return Ok(());
    }
    let mut size = Vec::with_capacity(16);
    encode::chunk_size(piece.len(), &mut size);
    connection
        .write(&size, bytes::Buf::chain(piece, &b"\r\n"[..]))
        .await
}

/// Sends the rest of a body as it comes from the client. Failures of the upstream are left for the
/// reading side to find: it may have answered early.
async fn send_rest<U: Upload>(
    upload: &mut U,
    connection: &Connection,
    chunked: bool,
    limit: Duration,
) -> Result<Sent, UploadFault> {
    let timer = Timer::default();
    loop {
        let piece = upload.next().await?;
        let last = piece.is_none();
        let written = async {
            match piece {
                Some(piece) if chunked => send_chunk(connection, piece).await,
                Some(piece) => connection.write(&[], piece).await,
                None if chunked => connection.write(encode::LAST_CHUNK, Bytes::new()).await,
                None => Ok(()),
            }
        };
        match timer.limit(limit, written).await {
            Ok(Ok(())) if last => return Ok(Sent::Whole),
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Ok(Sent::Partly),
        }
    }
}

/// How much of a request body reached the upstream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Whole,
    Partly,
}

type PinnedPump<'p> = Pin<Box<dyn Future<Output = Result<Sent, UploadFault>> + 'p>>;

/// A request body on its way up.
struct Pump<'p> {
    running: Option<PinnedPump<'p>>,
    sent: Sent,
}

impl<'p> Pump<'p> {
    fn new(running: Option<PinnedPump<'p>>) -> Self {
        Self {
            sent: if running.is_some() {
                Sent::Partly
            } else {
                Sent::Whole
            },
            running,
        }
    }

    /// Whether the whole body was sent.
    fn is_done(&self) -> bool {
        self.sent == Sent::Whole
    }

    /// Awaits `other` while the body moves on; an error when the body cannot be read any more.
    async fn alongside<T>(&mut self, other: impl Future<Output = T>) -> Result<T, UploadFault> {
        let mut other = pin!(other);
        poll_fn(|cx| {
            if let Some(running) = &mut self.running
                && let Poll::Ready(result) = running.as_mut().poll(cx)
            {
                self.running = None;
                match result {
                    Ok(sent) => self.sent = sent,
                    Err(fault) => return Poll::Ready(Err(fault)),
                }
            }
            other.as_mut().poll(cx).map(Ok)
        })
        .await
    }
}

/// Awaits `wait` unless the client goes away first.
async fn unless_gone<T>(
    wait: impl Future<Output = T>,
    watch: bool,
    respond: &impl Respond,
) -> Option<T> {
    let mut wait = pin!(wait);
    poll_fn(|cx| {
        if let Poll::Ready(done) = wait.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        if watch {
            return respond.poll_gone(cx).map(|()| None);
        }
        Poll::Pending
    })
    .await
}

/// The head of the response; informational ones before it are passed over.
async fn read_head(
    connection: &Connection,
    timer: &Timer,
    limit: Duration,
) -> Result<ResponseHead, Fault> {
    loop {
        let head = ResponseHead::take(&mut connection.input(), HEAD_LIMITS)?;
        match head {
            Some(head)
                if head.status.is_informational()
                    && head.status != StatusCode::SWITCHING_PROTOCOLS => {}
            Some(head) => return Ok(head),
            None => match timer.limit(limit, connection.fill()).await {
                Err(_) => return Err(Fault::Timeout),
                Ok(Err(error)) => return Err(Fault::Broken(error)),
                Ok(Ok(0)) => return Err(Fault::Broken(io::ErrorKind::UnexpectedEof.into())),
                Ok(Ok(_)) => {}
            },
        }
    }
}

/// Why a response was cut short.
#[derive(Debug, thiserror::Error)]
enum Cut {
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
struct Relay<'c> {
    connection: &'c Connection,
    timer: &'c Timer,
    read_limit: Duration,
    framing: Framing,
}

impl Relay<'_> {
    async fn run<R: Respond>(
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

        if filter.holds() && has_body {
            let body = self.hold(flight, &mut filter, pump).await?;
            let framing = Framing::Length(body.len() as u64);
            self.head(
                flight,
                &response.reason,
                status,
                &response.spelling,
                framing,
                true,
                respond,
            );
            return respond.data(body).await.map_err(Cut::Client);
        }
        let framing = self.outgoing(flight, &filter, has_body);
        self.head(
            flight,
            &response.reason,
            status,
            &response.spelling,
            framing,
            has_body,
            respond,
        );
        if !has_body {
            filter.last(flight);
            return respond.flush().await.map_err(Cut::Client);
        }
        let mut decoder = BodyDecoder::new(self.framing);
        while let Some(piece) = self.next(&mut decoder, pump, Some(respond)).await? {
            let piece = filter.piece(flight, piece).map_err(|_| Cut::TooLong)?;
            if !piece.is_empty() {
                let sent = pump.alongside(respond.data(piece)).await?;
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

    #[allow(clippy::too_many_arguments)]
    fn head<R: Respond>(
        &self,
        flight: &Flight<'_>,
        reason: &Bytes,
        status: StatusCode,
        spelling: &crate::http1::Spelling,
        framing: Framing,
        body: bool,
        respond: &mut R,
    ) {
        let response = &flight.exchange.response;
        respond.head(&Outgoing {
            status: response.status,
            // A status that a plugin changed has its own phrase.
            reason: (response.status == status).then_some(&reason[..]),
            headers: &response.headers,
            spelling,
            framing,
            body,
            close: false,
        });
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
