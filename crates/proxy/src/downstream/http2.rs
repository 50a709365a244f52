//! HTTP/2 towards clients, by h2, the library under hyper. Each stream is served in a task of its
//! own, like a request of HTTP/1.
//!
//! Not through hyper, which keeps to itself what a gateway needs: informational responses, the
//! codes of resets, and the pace at which either side is read.

mod stream;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use h2::server::SendResponse;
use h2::{Ping, PingPong, Reason, RecvStream};
use http::Request;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::Client;
use crate::core::{Core, FRESH};
use crate::counts::Presence;
use crate::net::{Stream, Timer};
use crate::settings::ClientLimits;

/// Time that a client is given to take in that a connection is over, and what was sent before.
const GOODBYE: Duration = Duration::from_secs(5);

/// What a client may send ahead on one stream, in bytes; and on all of them, so that an upstream
/// that reads slowly holds back no more than its own streams.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 32 * STREAM_WINDOW;

/// What is held of one response for a client that reads slowly, in bytes.
const SEND_BUFFER: usize = 128 * 1024;

/// The streams of one connection that are being served.
struct Streams {
    /// A stream that its client gives up ends for the client at once, but not for the upstream:
    /// those are counted too, so that nobody can begin more by giving up what was begun.
    places: Arc<Semaphore>,
    open: Cell<usize>,
    /// Told when `open` has changed.
    changed: Notify,
    presence: Presence,
}

impl Streams {
    fn new(core: &Rc<Core>) -> Rc<Self> {
        let presence = Presence::new(core);
        presence.waits();
        let places = core.settings.client.http2_streams.max(1);
        Rc::new(Self {
            places: Arc::new(Semaphore::new(places as usize)),
            open: Cell::new(0),
            changed: Notify::new(),
            presence,
        })
    }

    fn begin(self: &Rc<Self>) -> OpenStream {
        self.count(self.open.get() + 1);
        OpenStream(Rc::clone(self))
    }

    fn count(&self, open: usize) {
        match (self.open.replace(open), open) {
            (_, 0) => self.presence.waits(),
            (0, _) => self.presence.writes(),
            _ => {}
        }
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

/// Serves a connection until it ends, is idle for too long, has carried as many requests as one
/// may, or the worker drains.
pub(crate) async fn serve(core: Rc<Core>, client: Client, stream: Stream) {
    let limits = &core.settings.client;
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(limits.http2_streams)
        .max_header_list_size(u32::try_from(limits.header_total).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .handshake::<_, Bytes>(stream);
    let timer = Timer::default();
    let handshake = core
        .draining
        .within(FRESH, timer.limit(limits.header_timeout, handshake));
    let Some(Ok(Ok(mut connection))) = handshake.await else {
        return;
    };
    let client = Rc::new(client);
    let streams = Streams::new(&core);
    let over = async {
        let drain = pin!(core.draining.started());
        let idle = pin!(streams.idle(limits.keepalive_timeout));
        select(drain, idle).await;
    };
    let mut over = pin!(over);
    // A stream may still begin before the client has taken it in.
    let mut rest = pin!(streams.idle(GOODBYE));
    let mut dead = pin!(unanswered(connection.ping_pong(), limits));
    let mut left = limits.keepalive_requests.max(1);
    let mut ending = false;
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, reply))) = accepted else {
                    return;
                };
                core.counts.request();
                tokio::task::spawn_local(serve_stream(
                    Rc::clone(&core),
                    Rc::clone(&client),
                    (streams.begin(), Arc::clone(&streams.places)),
                    request,
                    reply,
                ));
                left = left.saturating_sub(1);
                if left == 0 && !ending {
                    ending = true;
                    connection.graceful_shutdown();
                }
            }
            () = &mut over, if !ending => {
                ending = true;
                connection.graceful_shutdown();
            }
            () = &mut rest, if ending => return,
            () = &mut dead => return,
        }
    }
}

/// Ready once the client has left a ping without an answer: it is gone without a word.
async fn unanswered(pings: Option<PingPong>, limits: &ClientLimits) {
    let timer = Timer::default();
    if let Some(mut pings) = pings {
        loop {
            let _ = timer
                .limit(limits.keepalive_timeout, std::future::pending::<()>())
                .await;
            let pong = pings.ping(Ping::opaque());
            match timer.limit(limits.header_timeout, pong).await {
                Ok(Ok(_)) => {}
                // The connection is over; its own end is seen where it is read.
                Ok(Err(_)) => break,
                Err(_) => return,
            }
        }
    }
    std::future::pending().await
}

/// Serves one stream.
async fn serve_stream(
    core: Rc<Core>,
    client: Rc<Client>,
    (_open, places): (OpenStream, Arc<Semaphore>),
    request: Request<RecvStream>,
    mut reply: SendResponse<Bytes>,
) {
    let Some(_place) = place(places, &mut reply).await else {
        return;
    };
    stream::serve(&core, &client, request, reply).await;
}

/// A place for a stream; none when it is given up while it waits.
async fn place(
    places: Arc<Semaphore>,
    reply: &mut SendResponse<Bytes>,
) -> Option<OwnedSemaphorePermit> {
    let given_up = poll_fn(|cx| reply.poll_reset(cx));
    match select(pin!(places.acquire_owned()), pin!(given_up)).await {
        Either::Left((Ok(place), _)) => Some(place),
        // Never closed.
        Either::Left((Err(_), _)) => None,
        Either::Right(_) => {
            reply.send_reset(Reason::CANCEL);
            None
        }
    }
}
