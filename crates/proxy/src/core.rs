//! What one worker thread has for itself.

use std::cell::{Cell, RefCell};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use futures_util::future::{Either, select};
use http::HeaderValue;
use keelgate_runtime::{Held, Reader, Shared};
use keelgate_socket::Engine;
use slab::Slab;
use tokio::sync::Notify;

use crate::counts::OfWorker;
use crate::http1::Limits;
use crate::names::{Names, Resolver};
use crate::net::Spare;
use crate::settings::Settings;
use crate::upstream::{Links, Pool};
use crate::worker::End;

/// Time that a connection without any request yet is given when draining starts: whoever connected
/// just before is still served.
pub(crate) const FRESH: Duration = Duration::from_millis(500);

/// What one worker thread has for itself. Nothing here is shared between cores, so nothing is
/// locked.
pub(crate) struct Core {
    pub(crate) settings: Arc<Settings>,
    /// How its connections are read and written.
    pub(crate) engine: Engine,
    pub(crate) pool: Pool,
    pub(crate) links: Links,
    pub(crate) spare: Spare,
    pub(crate) resolver: Resolver,
    pub(crate) server: HeaderValue,
    /// What is added to `Via` of responses that came over HTTP/1.1, and over HTTP/2.
    pub(crate) via: [HeaderValue; 2],
    pub(crate) draining: Draining,
    pub(crate) counts: Arc<OfWorker>,
    reader: Reader,
    date: RefCell<(u64, HeaderValue)>,
}

impl Core {
    pub(crate) fn new(
        settings: Arc<Settings>,
        shared: Arc<Shared>,
        names: Arc<Names>,
        engine: Engine,
    ) -> Rc<Self> {
        Rc::new(Self {
            engine,
            pool: Pool::new(settings.keepalive.clone()),
            links: Links::new(settings.keepalive.clone()),
            spare: Spare::default(),
            resolver: Resolver::new(names),
            server: HeaderValue::try_from(settings.name.as_str())
                .unwrap_or(HeaderValue::from_static("keelgate")),
            via: ["1.1", "2"].map(|version| {
                HeaderValue::try_from(format!("{version} {}", settings.name))
                    .unwrap_or(HeaderValue::from_static("1.1 keelgate"))
            }),
            draining: Draining::default(),
            counts: settings.counts.worker(),
            reader: Reader::new(shared),
            date: RefCell::new((u64::MAX, HeaderValue::from_static(""))),
            settings,
        })
    }

    /// The runtime for a request that begins now.
    pub(crate) fn runtime(&self) -> Held {
        self.reader.current()
    }

    pub(crate) fn head_limits(&self) -> Limits {
        Limits {
            line: self.settings.client.header_line,
            head: self.settings.client.header_total,
        }
    }

    /// The value of `Date`, made once per second.
    pub(crate) fn date(&self, now: SystemTime) -> HeaderValue {
        let second = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let mut date = self.date.borrow_mut();
        if date.0 != second {
            let text =
                httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(second));
            *date = (
                second,
                HeaderValue::try_from(text).expect("a date is visible ASCII"),
            );
        }
        date.1.clone()
    }
}

/// Whether the worker is shutting down, and how many connections it still serves.
#[derive(Default)]
pub(crate) struct Draining {
    started: Cell<bool>,
    /// Woken when draining starts. Every connection waits here, which is why this is no [`Notify`]
    /// with its lock.
    waiting: RefCell<Slab<Waker>>,
    patience: Cell<Duration>,
    empties: Cell<bool>,
    connections: Cell<usize>,
    /// Listeners that may still accept.
    listeners: Cell<usize>,
    /// Woken when the last connection, or a listener, has ended.
    changed: Notify,
    /// Woken when a connection has ended.
    left: Notify,
}

impl Draining {
    pub(crate) fn is_on(&self) -> bool {
        self.started.get()
    }

    /// Starts; `None` means at once.
    pub(crate) fn start(&self, end: Option<End>) {
        if let Some(end) = end {
            self.patience.set(end.patience);
            self.empties.set(!end.is_succeeded);
        }
        self.started.set(true);
        for waker in self.waiting.take() {
            waker.1.wake();
        }
    }

    /// Whether what waits in the queues of listeners is still accepted.
    pub(crate) fn empties_queues(&self) -> bool {
        self.empties.get()
    }

    /// Ready once draining has started.
    pub(crate) fn started(&self) -> Started<'_> {
        Started {
            draining: self,
            seat: None,
        }
    }

    /// Awaits `wait`; from the start of draining on for `grace` at most.
    pub(crate) async fn within<T>(
        &self,
        grace: Duration,
        wait: impl Future<Output = T>,
    ) -> Option<T> {
        Self::until_over(&mut self.started(), wait, || grace).await
    }

    async fn until_over<T>(
        started: &mut Started<'_>,
        wait: impl Future<Output = T>,
        grace: impl FnOnce() -> Duration,
    ) -> Option<T> {
        match select(pin!(wait), started).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(((), wait)) => tokio::time::timeout(grace(), wait).await.ok(),
        }
    }

    /// Ready once there is room for one more connection.
    pub(crate) async fn room(&self, core: &Core) {
        let limit = core.settings.client.connections as usize;
        if limit == 0 || self.connections.get() < limit {
            return;
        }
        core.counts.is_full();
        while self.connections.get() >= limit {
            self.left.notified().await;
        }
    }

    /// Ready once no connection is served any more, and none will be.
    pub(crate) async fn idle(&self) {
        while self.connections.get() > 0 || self.listeners.get() > 0 {
            self.changed.notified().await;
        }
    }

    /// Connections that are being served.
    pub(crate) fn connections(&self) -> usize {
        self.connections.get()
    }

    /// Counts a connection until the guard is dropped.
    pub(crate) fn connection(core: &Rc<Core>) -> Served {
        let count = &core.draining.connections;
        count.set(count.get() + 1);
        core.counts.connection_begins();
        Served(Rc::clone(core))
    }
}

/// Ready once draining has started. A connection keeps its own, and with it its place among those
/// that wait, from one request to the next.
pub(crate) struct Started<'d> {
    draining: &'d Draining,
    /// Its place among those that wait.
    seat: Option<usize>,
}

impl Started<'_> {
    /// Awaits what an idle connection waits for; from the start of draining on for as long as idle
    /// connections are kept, and for `least` in any case.
    pub(crate) async fn while_kept<T>(
        &mut self,
        least: Duration,
        wait: impl Future<Output = T>,
    ) -> Option<T> {
        let draining = self.draining;
        Draining::until_over(self, wait, || least.max(draining.patience.get())).await
    }
}

impl Future for Started<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let draining = self.draining;
        if draining.started.get() {
            return Poll::Ready(());
        }
        let mut waiting = draining.waiting.borrow_mut();
        match self.seat.and_then(|seat| waiting.get_mut(seat)) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.seat = Some(waiting.insert(cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Started<'_> {
    fn drop(&mut self) {
        // From the start on nobody waits, and no seat is given.
        if let Some(seat) = self.seat {
            self.draining.waiting.borrow_mut().try_remove(seat);
        }
    }
}

/// A listener that may still accept.
pub(crate) struct Accepting(Rc<Core>);

impl Accepting {
    /// Counts a listener until the guard is dropped.
    pub(crate) fn new(core: &Rc<Core>) -> Self {
        let count = &core.draining.listeners;
        count.set(count.get() + 1);
        Self(Rc::clone(core))
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        let draining = &self.0.draining;
        draining.listeners.set(draining.listeners.get() - 1);
        draining.changed.notify_waiters();
    }
}

/// A connection that is being served.
pub(crate) struct Served(Rc<Core>);

impl Drop for Served {
    fn drop(&mut self) {
        let draining = &self.0.draining;
        draining.connections.set(draining.connections.get() - 1);
        self.0.counts.connection_ends();
        draining.left.notify_waiters();
        if draining.connections.get() == 0 {
            draining.changed.notify_waiters();
        }
    }
}
