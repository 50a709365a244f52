//! Idle connections to upstreams, one pool per core.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use rustc_hash::FxBuildHasher;
use tokio::time::Instant;

use crate::net::{Connection, clock};
use crate::settings::Keepalive;

/// Idle connections of one core at most, over all keys: clients can choose the server name, and
/// with it the key, where a route preserves the host.
const MAX_IDLE: usize = 4096;

/// What a connection must have in common with a request to serve it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) address: SocketAddr,
    /// TLS profile and server name; none in clear.
    pub(crate) tls: Option<(u64, Rc<str>)>,
}

/// By the address in one or two numbers, which is sooner done than by its parts: a request looks a
/// key up twice.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let port = u64::from(self.address.port());
        match self.address.ip() {
            IpAddr::V4(ip) => state.write_u64(u64::from(ip.to_bits()) << 16 | port),
            IpAddr::V6(ip) => {
                state.write_u128(ip.to_bits());
                state.write_u64(port);
            }
        }
        if let Some((profile, name)) = &self.tls {
            state.write_u64(*profile);
            name.hash(state);
        }
    }
}

/// A connection to an upstream, new or used before. It has a box of its own, in which it goes from the
/// pool to a request and back.
pub(crate) struct Pooled(Box<Kept>);

struct Kept {
    connection: Connection,
    key: Key,
    served: u32,
    /// When it came into the pool, if it has been there.
    since: Option<Instant>,
}

impl Pooled {
    /// A new connection.
    pub(crate) fn new(connection: Connection, key: Key) -> Self {
        Self(Box::new(Kept {
            connection,
            key,
            served: 0,
            since: None,
        }))
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.0.connection
    }

    /// Requests that it served before.
    pub(crate) fn served(&self) -> u32 {
        self.0.served
    }
}

/// Idle connections of one core.
pub(crate) struct Pool {
    settings: Keepalive,
    idle: RefCell<HashMap<Key, Vec<Pooled>, FxBuildHasher>>,
    /// How many there are, over all keys.
    count: Cell<usize>,
}

impl Pool {
    pub(crate) fn new(settings: Keepalive) -> Self {
        Self {
            settings,
            idle: RefCell::default(),
            count: Cell::new(0),
        }
    }

    /// The connection for `key` that was used last and is still open.
    pub(crate) fn take(&self, key: &Key) -> Option<Pooled> {
        let mut idle = self.idle.borrow_mut();
        // An empty list is left to the next sweep.
        let list = idle.get_mut(key)?;
        loop {
            let popped = list.pop();
            self.count
                .set(self.count.get() - usize::from(popped.is_some()));
            match popped {
                Some(idle) if self.is_too_old(&idle) || idle.connection().is_stale() => {}
                found => return found,
            }
        }
    }

    /// Keeps a connection whose response was read to its end.
    pub(crate) fn put(&self, mut pooled: Pooled) {
        let kept = &mut pooled.0;
        kept.served += 1;
        let worn = self.settings.max_requests != 0 && kept.served >= self.settings.max_requests;
        if self.settings.pool_size == 0 || worn {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if self.count.get() >= MAX_IDLE {
            return;
        }
        let list = match idle.get_mut(&kept.key) {
            Some(list) => list,
            None => idle.entry(kept.key.clone()).or_default(),
        };
        if list.len() >= self.settings.pool_size {
            // The one that idles longest gives way.
            list.remove(0);
        } else {
            self.count.set(self.count.get() + 1);
        }
        kept.since = Some(clock::now());
        list.push(pooled);
    }

    /// Closes what has idled too long.
    pub(crate) fn sweep(&self) {
        let mut left = 0;
        self.idle.borrow_mut().retain(|_, list| {
            list.retain(|idle| {
                idle.connection().rest();
                !self.is_too_old(idle) && !idle.connection().is_stale()
            });
            left += list.len();
            !list.is_empty()
        });
        self.count.set(left);
    }

    fn is_too_old(&self, idle: &Pooled) -> bool {
        let limit = self.settings.idle_timeout;
        let is_long = |since| clock::now().saturating_duration_since(since) >= limit;
        !limit.is_zero() && idle.0.since.is_some_and(is_long)
    }
}
