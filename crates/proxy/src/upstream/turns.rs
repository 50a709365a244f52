//! The peers of an upstream that are tried one after the other.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use keelgate_balancer::{Balancer, HashSource, Hashed, Host, Open, Outcome, PeerIndex, Pick};
use keelgate_runtime::{Origin, Runtime, UpstreamEntry};
use smallvec::SmallVec;

/// How long one waits for the first answer about the names of an upstream.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// Picks a peer for each attempt of a request or a session.
pub(crate) struct Turns<'r> {
    entry: &'r UpstreamEntry,
    balancer: Arc<Balancer>,
    /// Of this balancer.
    tried: SmallVec<[PeerIndex; 4]>,
}

/// A peer for one attempt.
pub(crate) struct Turn<'r> {
    entry: &'r UpstreamEntry,
    balancer: Arc<Balancer>,
    peer: PeerIndex,
    /// Where the peer is.
    pub(crate) address: SocketAddr,
    /// Counts the request or session as open at the peer.
    open: Option<Open>,
}

impl<'r> Turns<'r> {
    /// `None` when the origin is no upstream.
    pub(crate) fn of(runtime: &'r Runtime, origin: Origin) -> Option<Self> {
        let Origin::Upstream(index) = origin else {
            return None;
        };
        let entry = runtime.upstream(index)?;
        Some(Self {
            balancer: entry.balancer(),
            entry,
            tried: SmallVec::new(),
        })
    }

    /// What consistent hashing makes of what is asked.
    pub(crate) fn hash(&self, asked: &impl HashSource) -> Option<Hashed> {
        self.balancer.hash(asked, fastrand::u128(..))
    }

    /// The peer for the next attempt, if there is one.
    pub(crate) async fn next(&mut self, hash: Option<u64>) -> Option<Turn<'r>> {
        let peer = loop {
            let picked = self.balancer.pick(&Pick {
                hash,
                tried: &self.tried,
                random: fastrand::u64(..),
                now: now(),
            });
            if let Some(picked) = picked {
                break picked;
            }
            // The names of a new upstream are on their way; nothing else is worth waiting for.
            if !self.balancer.is_pending() {
                return None;
            }
            let later = self.entry.balancer_after(&self.balancer);
            self.balancer = tokio::time::timeout(FIRST_ANSWER, later).await.ok()?;
            self.tried.clear();
        };
        self.tried.push(peer);
        Some(Turn {
            entry: self.entry,
            address: self.balancer.peer(peer)?.address,
            open: self.balancer.open(peer),
            balancer: Arc::clone(&self.balancer),
            peer,
        })
    }
}

impl Turn<'_> {
    /// What the peer is called; `None` when it only has an address.
    pub(crate) fn name(&self) -> Option<&str> {
        if let Some(name) = &self.entry.upstream.host_header {
            return Some(name);
        }
        let view = self.balancer.peer(self.peer)?;
        view.name.or(match &view.target_address.host {
            Host::Name(name) => Some(name),
            Host::Ip(_) => None,
        })
    }

    /// Tells the balancer how it went.
    pub(crate) fn report(&self, outcome: Outcome) {
        if let Some(health) = self.balancer.report(self.peer, outcome) {
            tracing::warn!(
                address = %self.address,
                health = health.as_str(),
                ?outcome,
                "the health of a target has changed"
            );
        }
    }

    /// Tells the balancer what came, and how long it took.
    pub(crate) fn answered(&self, outcome: Outcome, latency: Duration) {
        self.report(outcome);
        if let Some(open) = &self.open {
            open.answered(latency, now());
        }
    }

    /// What counts the session as open at the peer while it is held.
    pub(crate) fn into_open(self) -> Option<Open> {
        self.open
    }
}

/// The time since the first pick of this process.
fn now() -> Duration {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}
