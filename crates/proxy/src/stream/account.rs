//! What the log is told of a session.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use super::{StreamRecord, Streams, Transport};

/// What is known of a session while it lasts. Dropped, also by a worker that ends, it is counted and
/// told to the log.
pub(super) struct Account {
    streams: Rc<Streams>,
    transport: Transport,
    began: Instant,
    pub(super) client: Cell<IpAddr>,
    pub(super) status: Cell<u16>,
    pub(super) sent: Cell<u64>,
    pub(super) received: Cell<u64>,
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
            sent: Cell::new(0),
            received: Cell::new(0),
        }
    }

    pub(super) fn add_sent(&self, bytes: usize) {
        self.sent.set(self.sent.get() + bytes as u64);
    }

    pub(super) fn add_received(&self, bytes: usize) {
        self.received.set(self.received.get() + bytes as u64);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let settings = self.streams.settings();
        let (status, sent, received) = (self.status.get(), self.sent.get(), self.received.get());
        settings.counts.ends(self.transport, status, sent, received);
        if let Some(log) = &settings.log {
            log.record(&StreamRecord {
                client: self.client.get(),
                ended_at: SystemTime::now(),
                transport: self.transport,
                status,
                sent,
                received,
                lasted: self.began.elapsed(),
            });
        }
    }
}
