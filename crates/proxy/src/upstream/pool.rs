//! Idle connections to upstreams, one pool per core.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::rc::Rc;

use rustc_hash::FxBuildHasher;
use tokio::time::Instant;

use crate::net::Connection;
use crate::settings::Keepalive;

/// What a connection must have in common with a request to serve it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) address: SocketAddr,
    /// TLS profile and server name; none in clear.
    pub(crate) tls: Option<(u64, Rc<str>)>,
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
}

impl Pool {
    pub(crate) fn new(settings: Keepalive) -> Self {
        Self {
            settings,
            idle: RefCell::default(),
        }
    }

    /// The connection for `key` that was used last and is still open.
    pub(crate) fn take(&self, key: &Key) -> Option<Pooled> {
        let mut idle = self.idle.borrow_mut();
        let Entry::Occupied(mut entry) = idle.entry(key.clone()) else {
            return None;
        };
        let found = loop {
            match entry.get_mut().pop() {
                Some(idle) if self.is_too_old(&idle) || idle.connection.is_stale() => {}
                found => break found,
            }
        };
        if entry.get().is_empty() {
            entry.remove();
        }
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
        let list = idle.entry(pooled.key).or_default();
        if list.len() >= self.settings.pool_size {
            // The one that idles longest gives way.
            list.remove(0);
        }
        list.push(Idle {
            connection: pooled.connection,
            served,
            since: Instant::now(),
        });
    }

    /// Closes what has idled too long.
    pub(crate) fn sweep(&self) {
        self.idle.borrow_mut().retain(|_, list| {
            list.retain(|idle| !self.is_too_old(idle) && !idle.connection.is_stale());
            !list.is_empty()
        });
    }

    fn is_too_old(&self, idle: &Idle) -> bool {
        !self.settings.idle_timeout.is_zero() && idle.since.elapsed() >= self.settings.idle_timeout
    }
}
