//! What logs are told of a session.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use keelgate_plugins::exchange::{Client, TlsSession, Try};
use keelgate_plugins::stream::{Ended, Traffic};
use keelgate_runtime::Routed;

use super::logged::Logged;
use super::{StreamRecord, Streams, Transport};

/// What is known of a session while it lasts. Dropped, also by a worker that ends, it is counted and
/// told to the log, and to the plugins that log it.
pub(super) struct Account {
    streams: Rc<Streams>,
    transport: Transport,
    began: Instant,
    pub(super) client: Cell<IpAddr>,
    pub(super) status: Cell<u16>,
    with_client: Cell<Traffic>,
    with_upstream: Cell<Traffic>,
    logged: RefCell<Option<Logged>>,
    /// Those of a session that plugins log.
    tries: RefCell<Vec<Try>>,
    before_upstream: Cell<Option<Duration>>,
}

impl Account {
    pub(super) fn open(streams: &Rc<Streams>, transport: Transport, client: IpAddr) -> Self {
        streams.settings().counts.begins(transport);
        Self {
            streams: Rc::clone(streams),
            transport,
            began: Instant::now(),
            client: Cell::new(client),
            status: Cell::new(200),
            with_client: Cell::default(),
            with_upstream: Cell::default(),
            logged: RefCell::default(),
            tries: RefCell::default(),
            before_upstream: Cell::default(),
        }
    }

    /// The session has a route, whose plugins may log it.
    pub(super) fn route(&self, routed: &Routed<'_>, client: &Client) {
        *self.logged.borrow_mut() = Logged::of(routed, client);
    }

    /// The session is encrypted in this way, and not passed through.
    pub(super) fn encrypt(&self, session: Option<TlsSession>) {
        if let Some(logged) = &mut *self.logged.borrow_mut() {
            logged.client.session = session;
        }
    }

    /// An address is about to be tried, which was looked for since then.
    pub(super) fn try_at(&self, address: SocketAddr, since: Instant) {
        if self.logged.borrow().is_none() {
            return;
        }
        if self.before_upstream.get().is_none() {
            self.before_upstream.set(Some(self.began.elapsed()));
        }
        let chosen_in = since.elapsed();
        self.tries.borrow_mut().push(Try {
            address,
            at: SystemTime::now() - chosen_in,
            chosen_in,
            failed: None,
        });
    }

    /// The address that was tried last did not take the session.
    pub(super) fn try_failed(&self, status: u16) {
        if let Some(last) = self.tries.borrow_mut().last_mut() {
            last.failed = Some(status);
        }
    }

    /// Bytes were sent to the client.
    pub(super) fn add_sent(&self, bytes: usize) {
        add(&self.with_client, 0, bytes);
    }

    /// Bytes were received from the client.
    pub(super) fn add_received(&self, bytes: usize) {
        add(&self.with_client, bytes, 0);
    }

    /// Bytes were exchanged with the upstream.
    pub(super) fn add_upstream(&self, received: usize, sent: usize) {
        add(&self.with_upstream, received, sent);
    }
}

fn add(to: &Cell<Traffic>, received: usize, sent: usize) {
    let mut traffic = to.get();
    traffic.received += received as u64;
    traffic.sent += sent as u64;
    to.set(traffic);
}

impl Drop for Account {
    fn drop(&mut self) {
        let settings = self.streams.settings();
        let (status, Traffic { received, sent }) = (self.status.get(), self.with_client.get());
        settings.counts.ends(self.transport, status, sent, received);
        let (ended_at, lasted) = (SystemTime::now(), self.began.elapsed());
        if let Some(log) = &settings.log {
            log.record(&StreamRecord {
                client: self.client.get(),
                ended_at,
                transport: self.transport,
                status,
                sent,
                received,
                lasted,
            });
        }
        if let Some(logged) = self.logged.get_mut() {
            logged.tell(&Ended {
                client: &logged.client,
                route: &logged.route,
                service: logged.service.as_ref(),
                status,
                with_client: self.with_client.get(),
                with_upstream: self.with_upstream.get(),
                tries: self.tries.get_mut(),
                began_at: ended_at - lasted,
                before_upstream: self.before_upstream.get(),
                took: lasted,
            });
        }
    }
}
