//! The decisions of a publisher for one storage, without I/O and without a clock.
//!
//! The machine keeps what it knows of the storage and derives the next operation from that
//! knowledge alone; any doubt (a lost comparison, an answer that did not come, a change of leader)
//! only forgets knowledge, so that the next operation is to read again. That is why no order of
//! answers, pauses and faults can make it overwrite something newer: every write of `config.json`
//! compares with the very version whose content was seen to be older.

use std::time::Duration;

use keelgate_snapshot::Identity;

use crate::Backoff;

/// How a publisher paces itself.
#[derive(Clone, Copy, Debug)]
pub struct PublishSettings {
    /// After a publication, how long further changes are gathered
    /// (`cluster_fallback_config_export_delay`).
    pub delay: Duration,
    /// How often a settled storage is read again, to notice what was deleted or damaged.
    pub check: Duration,
    /// Bound of the first retry's delay; it doubles.
    pub retry_base: Duration,
    /// Bound of every retry's delay.
    pub retry_cap: Duration,
}

impl Default for PublishSettings {
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(5),
            check: Duration::from_secs(60),
            retry_base: Duration::from_millis(200),
            retry_cap: Duration::from_secs(20),
        }
    }
}

/// What `config.json` was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Verified.
    Good(Identity),
    /// Whole, but its signature is missing or not trusted; the identity is a claim.
    Unverified(Identity),
    /// Damaged: truncated, altered, or no snapshot at all.
    Unreadable,
    /// Written by a build whose documents this one cannot read.
    TooNew,
}

/// The answer to a read of `config.json`.
#[derive(Clone, Debug)]
pub(crate) enum Read<V> {
    Absent,
    NotModified,
    Found { version: V, content: Content },
}

/// What a write of `config.json` compares with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected<V> {
    Absent,
    Version(V),
}

/// What the driver is to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action<V> {
    /// Read and verify `config.json`; with a version: only if it differs.
    Read(Option<V>),
    /// Find the newest good history object that is not older than what is to be published.
    ReadHistory(Identity),
    /// Make sure that the history object exists and is good.
    WriteHistory(Identity),
    /// Write `config.json`.
    WriteConfig(Identity, Expected<V>),
    /// Delete the oldest history objects.
    Prune,
    /// Nothing to do before this time, or before an event.
    Wait(Option<Duration>),
}

/// Why a publisher refuses to write; it is reported, and checked again from time to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// The storage holds a newer snapshot of this cluster.
    Ahead(Identity),
    /// The storage holds another snapshot with the same epoch and revision.
    Fork(Identity),
    /// The storage holds a snapshot of another cluster.
    Foreign(Identity),
    /// The storage holds a snapshot that claims to be newer, but is not verified.
    Unverified(Identity),
    /// The storage holds a document of a newer build.
    TooNew,
}

impl std::fmt::Display for Blocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ahead(found) => write!(
                f,
                "the storage holds the newer snapshot {found}: this node is behind; if its database was restored from a backup, start the next epoch"
            ),
            Self::Fork(found) => write!(
                f,
                "the storage holds {found}, another configuration of the same epoch and revision: two control planes write as one cluster; stop one and start the next epoch"
            ),
            Self::Foreign(found) => write!(
                f,
                "the storage holds snapshot {found} of cluster {}: give every cluster a prefix of its own in cluster_fallback_config_storage",
                found.cluster_id
            ),
            Self::Unverified(found) => write!(
                f,
                "the storage holds a document that claims to be {found}, not older than this node's snapshot, and is not signed with the cluster's key: find out who wrote it and delete it, or start the next epoch"
            ),
            Self::TooNew => f.write_str(
                "the storage holds a document of a newer build under this version: update this node",
            ),
        }
    }
}

/// Where publishing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No snapshot yet.
    Empty,
    /// Another node leads.
    Following,
    /// Work is to be done, now or after a delay.
    Working,
    /// The storage holds the newest snapshot, read back and verified.
    Stored(Identity),
    /// Writing would be wrong.
    Blocked(Blocked),
}

/// What is known of `config.json`.
#[derive(Clone, Debug)]
enum Known<V> {
    Nothing,
    Absent,
    Present { version: V, content: Content },
}

/// What follows from comparing the storage with what is wanted.
enum Verdict<V> {
    Unknown,
    Same,
    Refuse(Blocked),
    Replace {
        expected: Expected<V>,
        /// Whether `config.json` itself says nothing about how far the storage was: then the
        /// history decides.
        ask_history: bool,
    },
}

/// A publisher of one storage. `V` is the storage's version of an object.
#[derive(Debug)]
pub(crate) struct Machine<V> {
    settings: PublishSettings,
    random: fastrand::Rng,
    backoff: Backoff,
    wanted: Option<Identity>,
    /// When the wanted snapshot may be published; nothing once that has begun.
    due: Option<Duration>,
    /// Until when changes are gathered after the last publication.
    window: Duration,
    leading: bool,
    known: Known<V>,
    /// The newest good history object, once asked for.
    history: Option<Option<Identity>>,
    /// The snapshot whose history object is known to be there.
    kept: Option<Identity>,
    prune: bool,
    retry_at: Duration,
    check_at: Duration,
}

impl<V: Clone + PartialEq> Machine<V> {
    /// `seed` feeds the jitter.
    pub(crate) fn new(settings: PublishSettings, seed: u64) -> Self {
        Self {
            settings,
            random: fastrand::Rng::with_seed(seed),
            backoff: Backoff::new(settings.retry_base, settings.retry_cap),
            wanted: None,
            due: None,
            window: Duration::ZERO,
            leading: false,
            known: Known::Nothing,
            history: None,
            kept: None,
            prune: false,
            retry_at: Duration::ZERO,
            check_at: Duration::MAX,
        }
    }

    /// A snapshot was made: it supersedes one that still waits.
    pub(crate) fn newest(&mut self, now: Duration, identity: Identity) {
        if self.wanted == Some(identity) {
            return;
        }
        self.wanted = Some(identity);
        self.history = None;
        if self.due.is_none() {
            self.due = Some(now.max(self.window));
        }
    }

    /// The election said who leads.
    pub(crate) fn lead(&mut self, leading: bool) {
        if leading && !self.leading {
            self.forget();
            self.kept = None;
        }
        self.leading = leading;
    }

    /// The next operation; the driver reports its result before it asks again.
    pub(crate) fn poll(&mut self, now: Duration) -> Action<V> {
        let Some(wanted) = self.wanted.filter(|_| self.leading) else {
            return Action::Wait(None);
        };
        if now < self.retry_at {
            return Action::Wait(Some(self.retry_at));
        }
        if now >= self.check_at {
            self.check_at = Duration::MAX;
            return Action::Read(match &self.known {
                Known::Present { version, .. } => Some(version.clone()),
                _ => None,
            });
        }
        match self.verdict(&wanted) {
            Verdict::Unknown => Action::Read(None),
            Verdict::Same | Verdict::Refuse(_) => {
                self.due = None;
                if self.prune {
                    return Action::Prune;
                }
                if self.check_at == Duration::MAX {
                    let spread = 0.9 + 0.2 * self.random.f64();
                    self.check_at = now + self.settings.check.mul_f64(spread);
                }
                Action::Wait(Some(self.check_at))
            }
            Verdict::Replace {
                expected,
                ask_history,
            } => {
                if let Some(due) = self.due {
                    if now < due {
                        return Action::Wait(Some(due));
                    }
                    self.window = due + self.settings.delay;
                    self.due = None;
                }
                if ask_history && self.history.is_none() {
                    Action::ReadHistory(wanted)
                } else if self.kept != Some(wanted) {
                    Action::WriteHistory(wanted)
                } else {
                    Action::WriteConfig(wanted, expected)
                }
            }
        }
    }

    fn verdict(&self, wanted: &Identity) -> Verdict<V> {
        let (version, content) = match &self.known {
            Known::Nothing => return Verdict::Unknown,
            Known::Absent => return self.judged_by_history(wanted, Expected::Absent),
            Known::Present { version, content } => (version, content),
        };
        let replace = || Verdict::Replace {
            expected: Expected::Version(version.clone()),
            ask_history: false,
        };
        match content {
            Content::Good(found) if found == wanted => Verdict::Same,
            Content::Good(found) => match refusal(found, wanted) {
                Some(blocked) => Verdict::Refuse(blocked),
                None => replace(),
            },
            // A claim is good enough to stay away from what may be newer, and the same snapshot
            // signed with a former key is renewed.
            Content::Unverified(found) if found == wanted => replace(),
            Content::Unverified(found) => match refusal(found, wanted) {
                Some(Blocked::Foreign(found)) => Verdict::Refuse(Blocked::Foreign(found)),
                Some(_) => Verdict::Refuse(Blocked::Unverified(*found)),
                None => replace(),
            },
            Content::Unreadable => {
                self.judged_by_history(wanted, Expected::Version(version.clone()))
            }
            Content::TooNew => Verdict::Refuse(Blocked::TooNew),
        }
    }

    /// Decides where `config.json` is gone or damaged: the history tells how far the cluster was.
    fn judged_by_history(&self, wanted: &Identity, expected: Expected<V>) -> Verdict<V> {
        match self.history.flatten() {
            Some(found) if found != *wanted => match refusal(&found, wanted) {
                Some(blocked) => Verdict::Refuse(blocked),
                None => Verdict::Replace {
                    expected,
                    ask_history: true,
                },
            },
            _ => Verdict::Replace {
                expected,
                ask_history: true,
            },
        }
    }

    pub(crate) fn read(&mut self, answer: Read<V>) {
        match answer {
            Read::NotModified => {}
            Read::Absent => {
                self.known = Known::Absent;
                self.history = None;
                self.kept = None;
            }
            Read::Found { version, content } => {
                self.known = Known::Present { version, content };
                self.history = None;
            }
        }
        if matches!(self.standing(), Standing::Stored(_) | Standing::Blocked(_)) {
            self.backoff.reset();
        }
    }

    pub(crate) fn history_read(&mut self, newest: Option<Identity>) {
        self.history = Some(newest);
    }

    pub(crate) fn history_written(&mut self, identity: Identity) {
        self.kept = Some(identity);
        self.prune = true;
    }

    /// `config.json` was written, by the storage's word; what counts is what is read back.
    pub(crate) fn config_written(&mut self) {
        self.forget();
    }

    pub(crate) fn pruned(&mut self) {
        self.prune = false;
    }

    /// The last operation failed, or its outcome is not known.
    pub(crate) fn failed(&mut self, now: Duration) {
        self.forget();
        self.retry_at = now + self.backoff.next(&mut self.random);
    }

    pub(crate) fn standing(&self) -> Standing {
        let Some(wanted) = self.wanted else {
            return Standing::Empty;
        };
        if !self.leading {
            return Standing::Following;
        }
        match self.verdict(&wanted) {
            Verdict::Same => Standing::Stored(wanted),
            Verdict::Refuse(blocked) => Standing::Blocked(blocked),
            Verdict::Unknown | Verdict::Replace { .. } => Standing::Working,
        }
    }

    pub(crate) fn wanted(&self) -> Option<Identity> {
        self.wanted
    }

    /// What `config.json` is known to hold.
    pub(crate) fn stored(&self) -> Option<Identity> {
        match &self.known {
            Known::Present {
                content: Content::Good(identity),
                ..
            } => Some(*identity),
            _ => None,
        }
    }

    /// How many operations failed in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.backoff.failures()
    }

    fn forget(&mut self) {
        self.known = Known::Nothing;
        self.history = None;
        self.check_at = Duration::MAX;
    }
}

/// Why `found` must not be replaced by `wanted`; the two differ.
fn refusal(found: &Identity, wanted: &Identity) -> Option<Blocked> {
    if found.cluster_id != wanted.cluster_id {
        return Some(Blocked::Foreign(*found));
    }
    match found.position().cmp(&wanted.position()) {
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Equal => Some(Blocked::Fork(*found)),
        std::cmp::Ordering::Greater => Some(Blocked::Ahead(*found)),
    }
}

#[cfg(test)]
mod tests;
