//! The decisions of a candidate, without I/O and without a clock.

use std::time::Duration;

use uuid::{Builder, Uuid};

use super::Lease;
use crate::{Backoff, Fencing};

/// What the driver is to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action<V> {
    /// Read the lease.
    Read,
    /// Create the lease.
    Create(Lease),
    /// Replace the lease, if it is still this version.
    Replace(Lease, V),
    /// Write the lease, whatever is there: the storage does not compare.
    Put(Lease),
    /// Nothing to do before this time; nothing at all after a resignation.
    Wait(Option<Duration>),
}

/// The lease as it was last seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Seen<V> {
    lease: Option<(Lease, V)>,
    /// When this very state was seen first: it can only be older.
    since: Duration,
}

/// The lease while this node holds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held<V> {
    lease: Lease,
    version: V,
    /// When it runs out: a period after the write of it *began*. Others count from when they saw
    /// it, which is later, so they wait for longer.
    until: Duration,
    renew_at: Duration,
}

/// A write whose outcome is not known yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Attempt {
    lease: Lease,
    began: Duration,
}

/// A candidate. `V` is the storage's version of an object.
#[derive(Clone, Debug)]
pub(crate) struct Machine<V> {
    me: Uuid,
    period: Duration,
    fencing: Fencing,
    random: fastrand::Rng,
    backoff: Backoff,
    term: u64,
    seen: Option<Seen<V>>,
    held: Option<Held<V>>,
    attempt: Option<Attempt>,
    next_at: Duration,
    /// Earliest next write of the lease.
    write_at: Duration,
    /// Whether the lease was just read and found to be this node's own: where nothing compares, a
    /// renewal follows only such a read.
    confirmed: bool,
    /// When to reach for a lease that nobody keeps; spread, so that not all do at once.
    claim_at: Option<Duration>,
    resigning: bool,
    resigned: bool,
}

impl<V: Clone + PartialEq> Machine<V> {
    /// `seed` feeds jitter and nonces; it must differ between nodes.
    pub(crate) fn new(me: Uuid, period: Duration, seed: u64) -> Self {
        Self {
            me,
            period,
            fencing: Fencing::Compare,
            random: fastrand::Rng::with_seed(seed),
            backoff: Backoff::new(period / 12, period / 3),
            term: 0,
            seen: None,
            held: None,
            attempt: None,
            next_at: Duration::ZERO,
            write_at: Duration::ZERO,
            confirmed: false,
            claim_at: None,
            resigning: false,
            resigned: false,
        }
    }

    /// The probe said whether the storage compares.
    pub(crate) fn fence(&mut self, fencing: Fencing) {
        self.fencing = fencing;
    }

    /// Whether this node leads at this moment.
    pub(crate) fn leads(&self, now: Duration) -> bool {
        !self.resigning && self.held.as_ref().is_some_and(|held| now < held.until)
    }

    /// Until when it leads if nothing happens.
    pub(crate) fn leads_until(&self) -> Option<Duration> {
        self.held.as_ref().map(|held| held.until)
    }

    /// The leader as far as this node knows, and its term.
    pub(crate) fn leader(&self) -> Option<(Uuid, u64)> {
        if let Some(held) = &self.held {
            return Some((self.me, held.lease.term));
        }
        let (lease, _) = self.seen.as_ref()?.lease.as_ref()?;
        Some((lease.holder?, lease.term))
    }

    /// Gives the lease back at the next poll, so that another node takes over at once.
    pub(crate) fn resign(&mut self) {
        self.resigning = true;
        self.next_at = Duration::ZERO;
    }

    /// The next operation; the driver reports its result before it asks again.
    pub(crate) fn poll(&mut self, now: Duration) -> Action<V> {
        if self.resigned {
            return Action::Wait(None);
        }
        if self.held.as_ref().is_some_and(|held| now >= held.until) {
            self.held = None;
            self.seen = None;
        }
        if self.resigning {
            self.resigned = true;
            return match self.held.take() {
                Some(held) => self.write(now, None, held.lease.term, Some(held.version)),
                None => Action::Wait(None),
            };
        }
        if now < self.next_at {
            return Action::Wait(Some(self.next_at));
        }
        // The outcome of a write is looked up before anything else is tried.
        if self.attempt.is_some() {
            return Action::Read;
        }
        if let Some(held) = &self.held {
            if now < held.renew_at {
                return Action::Wait(Some(held.renew_at));
            }
            if now < self.write_at {
                return Action::Wait(Some(self.write_at));
            }
            if self.fencing == Fencing::None && !self.confirmed {
                return Action::Read;
            }
            let (term, version) = (held.lease.term, held.version.clone());
            return self.write(now, Some(self.me), term, Some(version));
        }
        let claim_at = self.claim_at.map(|at| at.max(self.write_at));
        match (claim_at, &self.seen) {
            (Some(at), _) if now < at => Action::Wait(Some(at)),
            (Some(_), Some(seen)) => {
                self.claim_at = None;
                let expected = seen.lease.as_ref().map(|(_, version)| version.clone());
                // Whoever can write here can write any term; leases are told apart by their nonces.
                let term = self.term.saturating_add(1);
                self.write(now, Some(self.me), term, expected)
            }
            _ => Action::Read,
        }
    }

    fn write(
        &mut self,
        now: Duration,
        holder: Option<Uuid>,
        term: u64,
        expected: Option<V>,
    ) -> Action<V> {
        let nonce = Builder::from_random_bytes(self.random.u128(..).to_be_bytes()).into_uuid();
        let lease = Lease {
            holder,
            term,
            nonce,
        };
        self.attempt = Some(Attempt {
            lease: lease.clone(),
            began: now,
        });
        self.confirmed = false;
        self.write_at = now + self.period / 10;
        match (self.fencing, expected) {
            (Fencing::None, _) => Action::Put(lease),
            (Fencing::Compare, Some(version)) => Action::Replace(lease, version),
            (Fencing::Compare, None) => Action::Create(lease),
        }
    }

    /// The lease was written.
    pub(crate) fn written(&mut self, now: Duration, version: V) {
        if self.fencing == Fencing::None && self.held.is_none() {
            // Others may have claimed it too, and the last one wins. Whoever looked at it before
            // this write has written within a quarter of a period.
            self.next_at = now + self.period / 4;
            return;
        }
        if let Some(attempt) = self.attempt.take() {
            self.hold(attempt, version);
        }
    }

    fn hold(&mut self, attempt: Attempt, version: V) {
        self.backoff.reset();
        self.claim_at = None;
        self.term = attempt.lease.term;
        self.held = Some(Held {
            version,
            until: attempt.began + self.period,
            renew_at: attempt.began + self.period / 3,
            lease: attempt.lease,
        });
        self.next_at = Duration::ZERO;
    }

    /// The lease was read.
    pub(crate) fn read(&mut self, now: Duration, lease: Option<(Lease, V)>) {
        self.backoff.reset();
        if let Some((found, _)) = &lease {
            self.term = self.term.max(found.term);
        }
        let attempt = self.attempt.take();
        if let (Some(attempt), Some((found, version))) = (attempt, &lease)
            && attempt.lease.nonce == found.nonce
            && now < attempt.began + self.period
        {
            let version = version.clone();
            self.hold(attempt, version);
            return;
        }
        if let (Some(held), Some((found, _))) = (&mut self.held, &lease)
            && held.lease.nonce == found.nonce
        {
            // A renewal did not arrive, or is about to be made, and the lease is still this node's.
            held.renew_at = now;
            self.confirmed = true;
            self.next_at = Duration::ZERO;
            return;
        }
        self.held = None;
        self.look(now, lease);
    }

    /// Follows what somebody else has written, or what is missing.
    fn look(&mut self, now: Duration, lease: Option<(Lease, V)>) {
        let version =
            |lease: &Option<(Lease, V)>| lease.as_ref().map(|(_, version)| version.clone());
        let since = match &self.seen {
            Some(seen) if version(&seen.lease) == version(&lease) => seen.since,
            _ => now,
        };
        // Who finds a lease that nobody ever kept, gave back, or that a former life of this node
        // holds, is likely to be alone; an abandoned one is found by all at the same time.
        let vacant = lease
            .as_ref()
            .is_none_or(|(lease, _)| lease.holder.is_none_or(|holder| holder == self.me));
        let abandoned = now >= since + self.period;
        self.seen = Some(Seen { lease, since });
        self.next_at = now;
        if vacant || abandoned {
            let spread = self.period / if vacant { 20 } else { 4 };
            let wait = spread.mul_f64(self.random.f64());
            self.claim_at = Some(now + wait);
        } else {
            self.claim_at = None;
            let pause = (self.period / 3).mul_f64(0.7 + 0.3 * self.random.f64());
            self.next_at = (now + pause).min(since + self.period);
        }
    }

    /// The last operation failed, or its outcome is not known.
    pub(crate) fn failed(&mut self, now: Duration) {
        self.claim_at = None;
        self.next_at = now + self.backoff.next(&mut self.random);
    }

    /// With the failure the storage asked to be left alone for so long.
    pub(crate) fn leave_alone(&mut self, pause: Duration) {
        self.next_at += pause.min(self.period);
    }
}

#[cfg(test)]
mod tests;
