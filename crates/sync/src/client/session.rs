//! An established connection, until its end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};

use super::dial::Established;
use super::message::{self, MessageError};
use super::{Applied, Client, Event};
use crate::basic_info::BasicInfo;
use crate::capability::{Capabilities, Report};
use crate::{Rejection, tls};

/// Most deltas that wait for the receiver of the events.
const MOST_PENDING: usize = 64;

/// A stream that notes when it receives: a large document on a slow line is no silence.
pub(super) struct Monitored<S> {
    stream: S,
    heard: Heard,
}

/// When something was last received.
#[derive(Clone)]
struct Heard {
    base: Instant,
    /// Nanoseconds since `base`.
    last: Arc<AtomicU64>,
}

impl Heard {
    fn new() -> Self {
        Self {
            base: Instant::now(),
            last: Arc::new(AtomicU64::new(0)),
        }
    }

    fn note(&self) {
        let elapsed = self.base.elapsed().as_nanos();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        self.last.store(elapsed, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.base + Duration::from_nanos(self.last.load(Ordering::Relaxed))
    }
}

impl<S> Monitored<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            heard: Heard::new(),
        }
    }
}

type Socket = WebSocketStream<Monitored<TlsStream<TcpStream>>>;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("nobody listens")]
    Unwanted,
    #[error("the control plane closed the connection{}", .0.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    Closed(Option<String>),
    #[error("nothing was received from the control plane within {} s", .0.as_secs_f32())]
    Silent(Duration),
    #[error("the control plane does not answer: another is tried")]
    Stalled,
    #[error("more than {MOST_PENDING} deltas wait: the whole is asked for")]
    Flooded,
    #[error("the control plane does not read")]
    Blocked,
    #[error("{0}")]
    Message(#[from] MessageError),
    #[error("{0}")]
    Encode(#[from] serde_json::Error),
    #[error("{}", tls::explain(.0).0)]
    Io(std::io::Error),
    #[error("{0}")]
    WebSocket(tungstenite::Error),
}

impl End {
    fn of(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Io(error) if tls::is_hang_up(&error) => Self::Closed(None),
            tungstenite::Error::Io(error) => Self::Io(error),
            error => Self::WebSocket(error),
        }
    }
}

impl Client {
    /// Serves a connection; also tells how many documents it brought.
    pub(super) async fn session(
        &self,
        address: &str,
        established: Established,
        events: &mpsc::Sender<Event>,
        applied: watch::Receiver<Applied>,
    ) -> (End, u64) {
        let Established {
            mut socket,
            capabilities,
        } = established;
        let wanted = applied.borrow().wanted;
        let mut session = Session {
            client: self,
            address,
            events,
            applied,
            heard: socket.get_ref().heard.clone(),
            capabilities,
            reported: None,
            wanted,
            documents: 0,
        };
        let end = match session.serve(&mut socket).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        // The connection ends in any case; a peer that is gone must not hold this up.
        let limit = self.config.limits.handshake;
        let _ = timeout(limit, socket.close(None)).await;
        (end, session.documents)
    }
}

struct Session<'a> {
    client: &'a Client,
    address: &'a str,
    events: &'a mpsc::Sender<Event>,
    applied: watch::Receiver<Applied>,
    heard: Heard,
    capabilities: Capabilities,
    /// The rejection that was told last.
    reported: Option<Rejection>,
    /// What was told of how often the whole was wanted; a connection begins with the whole.
    wanted: u64,
    documents: u64,
}

impl Session<'_> {
    async fn serve(&mut self, socket: &mut Socket) -> Result<std::convert::Infallible, End> {
        let limits = self.client.config.limits;
        self.greet(socket).await?;
        let connected = Instant::now();
        let mut ping = interval_at(connected + limits.ping, limits.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stalled = Some(connected + limits.stall);
        let mut silent = connected + limits.silence;
        // The newest document that the receiver of the events has not taken, and the deltas after it:
        // older ones are outdated, and a receiver that is busy must not stop the pings.
        let mut pending: VecDeque<Bytes> = VecDeque::new();
        loop {
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Binary(message))) => {
                        if !self.is_delta(&message) {
                            pending.clear();
                        } else if pending.len() >= MOST_PENDING {
                            return Err(End::Flooded);
                        }
                        pending.push_back(message);
                        stalled = None;
                    }
                    Some(Ok(Message::Close(frame))) => {
                        let reason = frame
                            .map(|frame| frame.reason.to_string())
                            .filter(|reason| !reason.is_empty());
                        return Err(End::Closed(reason));
                    }
                    // Pongs say no more than their bytes did; Kong ignores text and pings.
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(End::of(error)),
                    None => return Err(End::Closed(None)),
                },
                permit = self.events.reserve(), if !pending.is_empty() => {
                    let permit = permit.map_err(|_| End::Unwanted)?;
                    let Some(message) = pending.pop_front() else { continue };
                    if self.is_delta(&message) {
                        permit.send(Event::Delta(message));
                    } else if let Some(document) =
                        message::open(message, limits.max_document).await?
                    {
                        self.documents += 1;
                        permit.send(Event::Document(document));
                    }
                }
                changed = self.applied.changed() => {
                    changed.map_err(|_| End::Unwanted)?;
                    self.tell(socket).await?;
                }
                _ = ping.tick() => self.ping(socket).await?,
                () = sleep_until(silent) => {
                    silent = self.heard.last() + limits.silence;
                    if silent <= Instant::now() {
                        return Err(End::Silent(limits.silence));
                    }
                }
                () = until(stalled) => {
                    stalled = None;
                    self.stall(connected, limits.stall).await?;
                }
                () = self.events.closed() => return Err(End::Unwanted),
            }
        }
    }

    /// Whether a message is a delta, which a control plane sends only where both ends know them.
    fn is_delta(&self, message: &[u8]) -> bool {
        self.capabilities.deltas && keelgate_snapshot::is_delta(message)
    }

    /// Sends the first message and what runs here, in one write.
    async fn greet(&mut self, socket: &mut Socket) -> Result<(), End> {
        let config = &self.client.config;
        let info = BasicInfo::new(
            config.plugins.clone(),
            config.labels.clone(),
            config.limits.max_payload,
        );
        let mut messages = vec![Message::binary(serde_json::to_vec(&info)?)];
        messages.extend(self.news()?);
        self.send(socket, messages).await
    }

    /// A new configuration runs here, or one was refused.
    async fn tell(&mut self, socket: &mut Socket) -> Result<(), End> {
        let messages = self.news()?;
        self.send(socket, messages).await
    }

    /// The ping that tells what runs here, and for a control plane of this software the rest.
    fn news(&mut self) -> Result<Vec<Message>, End> {
        let applied = self.applied.borrow_and_update().clone();
        let mut messages = vec![ping(&applied.config_hash)];
        if !self.capabilities.reports {
            return Ok(messages);
        }
        let mut reports = vec![Report::Status {
            identity: applied.identity,
            source: applied.source,
        }];
        if applied.rejection != self.reported {
            let rejection = applied.rejection.clone().map(Rejection::bounded);
            reports.extend(rejection.map(Report::Rejection));
            self.reported = applied.rejection;
        }
        if self.capabilities.deltas && applied.wanted > self.wanted {
            self.wanted = applied.wanted;
            reports.push(Report::Whole);
        }
        for report in reports {
            messages.push(Message::binary(serde_json::to_vec(&report)?));
        }
        Ok(messages)
    }

    async fn ping(&mut self, socket: &mut Socket) -> Result<(), End> {
        let message = ping(&self.applied.borrow().config_hash);
        self.send(socket, [message]).await
    }

    async fn send(
        &self,
        socket: &mut Socket,
        messages: impl IntoIterator<Item = Message>,
    ) -> Result<(), End> {
        let send = async {
            for message in messages {
                socket.feed(message).await?;
            }
            socket.flush().await
        };
        let limit = self.client.config.limits.silence;
        let sent = timeout(limit, send).await.map_err(|_| End::Blocked)?;
        sent.map_err(End::of)
    }

    /// No document came in time. A control plane that answers pings is kept: it may have no
    /// configuration yet, or none for this node. One that says nothing at all is left for another.
    async fn stall(&self, connected: Instant, after: Duration) -> Result<(), End> {
        let event = Event::Stalled {
            address: self.address.to_owned(),
            after,
        };
        self.events.send(event).await.map_err(|_| End::Unwanted)?;
        let dumb = self.heard.last() <= connected;
        if dumb && self.client.config.addresses.len() > 1 {
            return Err(End::Stalled);
        }
        Ok(())
    }
}

fn ping(config_hash: &str) -> Message {
    Message::Ping(Bytes::copy_from_slice(config_hash.as_bytes()))
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Monitored<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.heard.note();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Monitored<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
