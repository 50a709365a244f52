//! Connections that carry several requests at once (HTTP/2), one set per core.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Ping, SendStream};
use http::Request;
use rustc_hash::FxBuildHasher;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Fault;
use super::pool::Key;
use crate::net::Stream;
use crate::settings::Keepalive;

/// Connections of one core at most that are shared; those beyond serve one request each.
const MAX_LINKS: usize = 4096;

/// Streams at once on one connection, if the upstream takes as many.
const MAX_STREAMS: usize = 128;

/// What an upstream may send ahead on one stream, in bytes; and on all of them, so that a client
/// that reads slowly holds back nobody else.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MAX_STREAMS as u32;

/// Longest head of an upstream's response, in bytes.
const MAX_HEAD: u32 = 64 * 1024;

/// Connections of one core.
#[derive(Clone)]
pub(crate) struct Links(Rc<Known>);

struct Known {
    settings: Keepalive,
    slots: RefCell<HashMap<Key, Slot, FxBuildHasher>>,
    count: Cell<usize>,
}

#[derive(Default)]
struct Slot {
    links: Vec<Rc<Link>>,
    /// A connection is on its way; who needs one waits for it.
    opening: Option<Rc<Notify>>,
}

/// One connection.
struct Link {
    sender: SendRequest<Bytes>,
    open: Cell<usize>,
    served: Cell<u32>,
    /// It takes no more requests.
    retired: Cell<bool>,
    idle_since: Cell<Instant>,
}

/// What is known about a key at the moment.
pub(super) enum Look {
    /// There is room on a connection.
    Place(Place),
    /// A connection is on its way.
    Wait(Rc<Notify>),
    /// Whoever asked is to open one.
    Open(Opening),
}

/// The duty to open a connection; dropped, it is over, and those that wait look again.
pub(super) struct Opening {
    known: Rc<Known>,
    key: Key,
    /// Who waits; nobody where connections are not shared.
    told: Option<Rc<Notify>>,
}

/// A place for one request.
pub(super) struct Place {
    link: Rc<Link>,
    reused: bool,
}

impl Links {
    pub(crate) fn new(settings: Keepalive) -> Self {
        Self(Rc::new(Known {
            settings,
            slots: RefCell::default(),
            count: Cell::new(0),
        }))
    }

    pub(super) fn look(&self, key: &Key) -> Look {
        let open = |told| {
            Look::Open(Opening {
                known: Rc::clone(&self.0),
                key: key.clone(),
                told,
            })
        };
        if !self.0.shares() {
            return open(None);
        }
        let mut slots = self.0.slots.borrow_mut();
        let slot = slots.entry(key.clone()).or_default();
        let before = slot.links.len();
        slot.links
            .retain(|link| self.0.is_fresh(link) && link.is_alive());
        self.0
            .count
            .set(self.0.count.get() - (before - slot.links.len()));
        if let Some(link) = slot.links.iter().find(|link| link.has_room()) {
            return Look::Place(Place::on(link));
        }
        if let Some(opening) = &slot.opening {
            return Look::Wait(Rc::clone(opening));
        }
        let told = Rc::new(Notify::new());
        slot.opening = Some(Rc::clone(&told));
        open(Some(told))
    }

    /// Closes what has idled too long, and what idles beyond the number that is kept.
    pub(crate) fn sweep(&self) {
        let known = &self.0;
        let mut left = 0;
        known.slots.borrow_mut().retain(|_, slot| {
            let mut idle = 0;
            slot.links.retain(|link| {
                let idles = link.open.get() == 0;
                idle += usize::from(idles);
                let kept = !idles || idle <= known.settings.pool_size && !known.is_too_old(link);
                kept && known.is_fresh(link) && link.is_alive()
            });
            left += slot.links.len();
            !slot.links.is_empty() || slot.opening.is_some()
        });
        known.count.set(left);
    }
}

impl Known {
    /// Whether the connection may take another request.
    fn is_fresh(&self, link: &Link) -> bool {
        let limit = self.settings.max_requests;
        !link.retired.get() && (limit == 0 || link.served.get() < limit)
    }

    fn is_too_old(&self, link: &Link) -> bool {
        let limit = self.settings.idle_timeout;
        !limit.is_zero() && link.idle_since.get().elapsed() >= limit
    }

    fn shares(&self) -> bool {
        self.settings.pool_size > 0 && self.count.get() < MAX_LINKS
    }

    fn add(&self, key: &Key, link: &Rc<Link>) {
        let mut slots = self.slots.borrow_mut();
        slots
            .entry(key.clone())
            .or_default()
            .links
            .push(Rc::clone(link));
        self.count.set(self.count.get() + 1);
    }
}

impl Opening {
    /// Speaks HTTP/2 on a new connection; a place for whoever opened it.
    ///
    /// The others wait until it is known how many streams the upstream takes.
    pub(super) async fn start(self, stream: Stream) -> Result<Place, Fault> {
        let (sender, mut connection) = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEAD)
            .initial_max_send_streams(1)
            .handshake(stream)
            .await?;
        let link = Rc::new(Link {
            sender,
            open: Cell::new(0),
            served: Cell::new(0),
            retired: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
        });
        let place = Place::on(&link);
        if self.told.is_some() {
            self.known.add(&self.key, &link);
        }
        let weak = Rc::downgrade(&link);
        drop(link);
        tokio::task::spawn_local(async move {
            let mut pings = connection.ping_pong();
            // The upstream's settings come before its answer to a ping.
            let settled = async {
                if let Some(pings) = &mut pings {
                    let _ = pings.ping(Ping::opaque()).await;
                }
                drop(self);
                std::future::pending::<()>().await;
            };
            tokio::select! {
                _ = connection => {}
                () = settled => {}
            }
            if let Some(link) = Weak::upgrade(&weak) {
                link.retired.set(true);
            }
        });
        Ok(place)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let Some(told) = &self.told else {
            return;
        };
        if let Some(slot) = self.known.slots.borrow_mut().get_mut(&self.key) {
            slot.opening = None;
        }
        told.notify_waiters();
    }
}

impl Link {
    fn is_alive(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        !matches!(self.sender.clone().poll_ready(&mut cx), Poll::Ready(Err(_)))
    }

    fn has_room(&self) -> bool {
        self.open.get() < self.sender.current_max_send_streams().min(MAX_STREAMS)
    }
}

impl Place {
    fn on(link: &Rc<Link>) -> Self {
        let served = link.served.get();
        link.open.set(link.open.get() + 1);
        link.served.set(served.saturating_add(1));
        Self {
            link: Rc::clone(link),
            reused: served > 0,
        }
    }

    /// Whether the connection has served before.
    pub(super) fn reused(&self) -> bool {
        self.reused
    }

    /// Whether the connection takes more requests.
    pub(super) fn is_alive(&self) -> bool {
        self.link.is_alive()
    }

    /// The connection takes no more requests.
    pub(super) fn retire(&self) {
        self.link.retired.set(true);
    }

    /// Begins a stream.
    pub(super) fn send(
        &self,
        head: Request<()>,
        end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), Fault> {
        self.link
            .sender
            .clone()
            .send_request(head, end)
            .map_err(|error| match Fault::from(error) {
                // Nothing was sent on a connection that is over.
                _ if !self.link.is_alive() => Fault::Refused,
                Fault::Refused => Fault::Refused,
                fault => Fault::Unsayable(fault.to_string()),
            })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.link.open.set(self.link.open.get() - 1);
        self.link.idle_since.set(Instant::now());
    }
}
