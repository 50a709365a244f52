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

/// A connection to an upstream, new or used before.
pub(crate) struct Pooled {
    pub(crate) connection: Connection,
    pub(crate) key: Key,
    /// Requests that it served before.
    pub(crate) served: u32,
}

struct Idle {
    connection: Connection,
    served: u32,
    since: Instant,
}

/// Idle connections of one core.
pub(crate) struct Pool {
    settings: Keepalive,
    idle: RefCell<HashMap<Key, Vec<Idle>, FxBuildHasher>>,
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
        let found = loop {
            let popped = list.pop();
            self.count
                .set(self.count.get() - usize::from(popped.is_some()));
            match popped {
                Some(idle) if self.is_too_old(&idle) || idle.connection.is_stale() => {}
                found => break found,
            }
        };
        found.map(|idle| Pooled {
            connection: idle.connection,
            key: key.clone(),
            served: idle.served,
        })
    }

    /// Keeps a connection whose response was read to its end.
    pub(crate) fn put(&self, pooled: Pooled) {
        let served = pooled.served + 1;
        let worn = self.settings.max_requests != 0 && served >= self.settings.max_requests;
        if self.settings.pool_size == 0 || worn {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if self.count.get() >= MAX_IDLE {
            return;
        }
        let list = match idle.get_mut(&pooled.key) {
            Some(list) => list,
            None => idle.entry(pooled.key).or_default(),
        };
        if list.len() >= self.settings.pool_size {
            // The one that idles longest gives way.
            list.remove(0);
        } else {
            self.count.set(self.count.get() + 1);
        }
        list.push(Idle {
            connection: pooled.connection,
            served,
            since: clock::now(),
        });
    }

    /// Closes what has idled too long.
    pub(crate) fn sweep(&self) {
        let mut left = 0;
        self.idle.borrow_mut().retain(|_, list| {
            list.retain(|idle| {
                idle.connection.rest();
                !self.is_too_old(idle) && !idle.connection.is_stale()
            });
            left += list.len();
            !list.is_empty()
        });
        self.count.set(left);
    }

    fn is_too_old(&self, idle: &Idle) -> bool {
        let limit = self.settings.idle_timeout;
        !limit.is_zero() && clock::now().saturating_duration_since(idle.since) >= limit
    }
}
