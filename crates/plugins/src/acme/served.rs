//! Certificates that this node has at hand.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use rustls::sign::CertifiedKey;

/// Names that are remembered at the same time.
const CAPACITY: u64 = 16_384;

/// How long a certificate is served before it is looked for whether another node has renewed it.
const FRESH: Duration = Duration::from_secs(60);

/// How long it is not looked for again what was not there.
const ABSENT: Duration = Duration::from_secs(5);

/// The certificates. When there is no room, those that were used least go.
pub(crate) struct Served(Cache<String, Held>);

#[derive(Clone)]
struct Held {
    key: Option<Arc<CertifiedKey>>,
    until: Instant,
}

/// What is known of a name.
pub(super) struct Found {
    pub(super) key: Option<Arc<CertifiedKey>>,
    /// Whether it is time to look for it, which falls to the one who is told so.
    pub(super) due: bool,
}

impl Default for Served {
    fn default() -> Self {
        Self(Cache::new(CAPACITY))
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Served")
    }
}

impl Served {
    /// The certificate for a name.
    pub(super) fn find(&self, name: &str) -> Found {
        let now = Instant::now();
        let held = self.0.get(name);
        if let Some(held) = &held
            && now < held.until
        {
            let key = held.key.clone();
            return Found { key, due: false };
        }
        let key = held.and_then(|held| held.key);
        self.hold(name, key.clone(), now + ABSENT);
        Found { key, due: true }
    }

    pub(super) fn put(&self, name: &str, key: Arc<CertifiedKey>) {
        self.hold(name, Some(key), Instant::now() + FRESH);
    }

    /// It is no longer there.
    pub(super) fn forget(&self, name: &str) {
        self.hold(name, None, Instant::now() + ABSENT);
    }

    fn hold(&self, name: &str, key: Option<Arc<CertifiedKey>>, until: Instant) {
        self.0.insert(name.to_owned(), Held { key, until });
    }
}
