//! The decisions of a publisher for one storage, without I/O and without a clock.
//!
//! The machine keeps a picture of the storage and derives the next operation from it alone; any
//! doubt (a lost comparison, an answer that did not come, a change of leader) only forgets, so that
//! the next operation is to read again. That is why no order of answers, pauses and faults can make
//! it overwrite something newer: every write of `config.json` compares with the very version whose
//! content was seen to be older. Where the storage does not compare, it is the history, whose
//! objects are named by their content, that cannot go back.

use std::time::Duration;

use keelgate_snapshot::Identity;

use super::edition::Edition;
use super::picture::{Expected, Picture, Read, Verdict};
use super::{Blocked, PublishSettings};
use crate::{Backoff, Fencing};

/// A storage that asks to be left alone for longer is asked again nevertheless.
const RETRY_AFTER_CAP: Duration = Duration::from_secs(300);

/// The index is looked at once in so many checks.
const CHECKS_PER_INDEX: u32 = 10;

/// The history object of what is stored is looked at once in so many checks.
const CHECKS_PER_COPY: u32 = 10;

/// A follower that found nothing missing looks again after so many times its patience.
const RELIEF_PAUSES: u32 = 5;

/// What the driver is to do next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action<V> {
    /// Read and verify `config.json`; with a version: only if it differs.
    Read(Option<V>),
    /// Find the newest good history object that is not older than this.
    ReadHistory(Identity),
    /// Make sure that the history object exists and is good: create it, or replace what is bad or
    /// an older statement of the same snapshot.
    WriteHistory(Edition),
    /// Write `config.json`.
    WriteConfig(Edition, Expected<V>),
    /// Copy this history object, if it is still there and good, into `config.json`.
    Restore(Edition, Expected<V>),
    /// Delete the oldest history objects.
    Prune,
    /// Make sure that the index names this version and its fencing.
    Index,
    /// Nothing to do before this time, or before an event.
    Wait(Option<Duration>),
}

/// Where publishing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Standing {
    /// No snapshot yet.
    Empty,
    /// Another node leads.
    Following,
    /// Work is to be done, now or after a delay.
    Working,
    /// `config.json` holds the newest snapshot; the history is looked at as well.
    Checking,
    /// The storage holds the newest snapshot, read back and verified.
    Stored(Identity),
    /// Writing would be wrong.
    Blocked(Blocked),
}

/// What decides, apart from times: two machines with the same mind and the same pace act alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mind<V> {
    wanted: Option<Edition>,
    leading: bool,
    /// Whether this node publishes although it does not lead: the leader has not stored what this
    /// node has, perhaps because it never heard of it.
    relieving: bool,
    picture: Picture<V>,
    /// The edition whose history object is known to be there.
    kept: Option<Edition>,
    /// Whether the history object of what `config.json` holds is to be seen to: that of the first
    /// comes after it, and any may be deleted or damaged.
    owed: bool,
    prune: bool,
    /// Whether the index is to be looked at.
    index: bool,
}

/// When things may be done.
#[derive(Clone, Debug)]
struct Pace {
    random: fastrand::Rng,
    backoff: Backoff,
    /// When the wanted snapshot may be published; nothing once that has begun.
    due: Option<Duration>,
    /// Until when changes are gathered after the last publication.
    window: Duration,
    retry_at: Duration,
    check_at: Duration,
    /// Earliest next write of `config.json`.
    config_at: Duration,
    /// Earliest next write of the history object of one snapshot.
    history_at: Option<(Identity, Duration)>,
    /// Checks since the index was looked at.
    checks: u32,
    /// Checks since the history object of what is stored was looked at.
    copy_checks: u32,
    /// Whether the probe has told how the storage is protected.
    probed: bool,
    /// What a follower expects the leader to have stored at that time.
    stake: Option<(Edition, Duration)>,
    /// Whether it has just looked.
    looked: bool,
}

/// A publisher of one storage. `V` is the storage's version of an object.
#[derive(Clone, Debug)]
pub(crate) struct Machine<V> {
    settings: PublishSettings,
    mind: Mind<V>,
    pace: Pace,
}

impl<V: Clone + PartialEq> Machine<V> {
    /// `seed` feeds the jitter.
    pub(crate) fn new(settings: PublishSettings, seed: u64) -> Self {
        Self {
            settings,
            mind: Mind {
                wanted: None,
                leading: false,
                relieving: false,
                picture: Picture::new(),
                kept: None,
                owed: false,
                prune: false,
                index: true,
            },
            pace: Pace {
                random: fastrand::Rng::with_seed(seed),
                backoff: Backoff::new(settings.retry_base, settings.retry_cap),
                due: None,
                window: Duration::ZERO,
                retry_at: Duration::ZERO,
                check_at: Duration::MAX,
                config_at: Duration::ZERO,
                history_at: None,
                checks: 0,
                copy_checks: 0,
                probed: false,
                stake: None,
                looked: false,
            },
        }
    }

    /// A snapshot was made: it supersedes one that still waits. An older statement of the wanted
    /// snapshot changes nothing.
    pub(crate) fn newest(&mut self, now: Duration, edition: Edition) {
        if self
            .mind
            .wanted
            .is_some_and(|wanted| wanted.covers(&edition))
        {
            return;
        }
        self.mind.wanted = Some(edition);
        self.mind.picture.forget_history();
        let soon = now + self.settings.relief * 3 / 2;
        self.pace.stake.take_if(|(_, at)| *at > soon);
        if self.pace.due.is_none() {
            self.pace.due = Some(now.max(self.pace.window));
        }
    }

    /// The election said who leads.
    pub(crate) fn lead(&mut self, leading: bool) {
        if leading && !self.mind.leading {
            self.forget();
            self.mind.kept = None;
            self.mind.index = true;
            // A former leader may have died before it was done.
            self.pace.copy_checks = CHECKS_PER_COPY - 1;
        }
        if leading != self.mind.leading {
            self.mind.relieving = false;
            self.pace.stake = None;
            self.pace.looked = false;
        }
        self.mind.leading = leading;
    }

    /// The probe said whether the storage compares.
    pub(crate) fn fence(&mut self, fencing: Fencing) {
        self.pace.probed = true;
        if self.mind.picture.fencing() != fencing {
            self.mind.picture.fence(fencing);
            self.mind.index = true;
            self.pace.check_at = Duration::MAX;
        }
    }

    pub(crate) fn fencing(&self) -> Fencing {
        self.mind.picture.fencing()
    }

    /// The next operation; the driver reports its result before it asks again.
    pub(crate) fn poll(&mut self, now: Duration) -> Action<V> {
        let Some(wanted) = self.mind.wanted else {
            return Action::Wait(None);
        };
        if !self.mind.leading && !self.pace.probed {
            return Action::Wait(None);
        }
        if now < self.pace.retry_at {
            return self.wait(self.pace.retry_at);
        }
        if !self.mind.leading
            && let Some(action) = self.follow(now, wanted)
        {
            return action;
        }
        if now >= self.pace.check_at {
            self.pace.check_at = Duration::MAX;
            self.pace.checks += 1;
            self.mind.index |= self.pace.checks >= CHECKS_PER_INDEX;
            self.pace.copy_checks += 1;
            if self.pace.copy_checks >= CHECKS_PER_COPY {
                self.pace.copy_checks = 0;
                self.mind.kept = None;
                self.mind.owed = true;
            }
            return Action::Read(self.mind.picture.version());
        }
        match self.mind.picture.judge(&wanted) {
            Verdict::Unknown => Action::Read(None),
            Verdict::SameSoFar => Action::ReadHistory(wanted.identity),
            Verdict::Same => {
                if self.mind.owed && self.mind.kept != Some(wanted) {
                    return self.keep(now, wanted);
                }
                if self.mind.index {
                    return Action::Index;
                }
                if self.mind.prune {
                    return Action::Prune;
                }
                self.rest(now)
            }
            Verdict::Refuse(_) => self.rest(now),
            Verdict::ReplaceSoFar => match self.begin(now) {
                Some(due) => self.wait(due),
                None => Action::ReadHistory(wanted.identity),
            },
            Verdict::Replace(expected) => match self.begin(now) {
                Some(due) => self.wait(due),
                None => self.publish(now, wanted, expected),
            },
            Verdict::Restore(found, expected) => {
                self.write_config(now, Action::Restore(found, expected))
            }
        }
    }

    /// What a follower does; nothing when it is time to publish itself.
    ///
    /// The newest snapshot may have reached this node and not the leader, before the control plane
    /// went away. Every write compares, so that two who publish cost no more than a lost comparison.
    fn follow(&mut self, now: Duration, wanted: Edition) -> Option<Action<V>> {
        let spread = 1.0 + 0.5 * self.pace.random.f64();
        let patience = self.settings.relief.mul_f64(spread);
        let (stake, at) = *self.pace.stake.get_or_insert((wanted, now + patience));
        if !self.mind.relieving {
            if now < at {
                return Some(self.wait(at));
            }
            if !std::mem::replace(&mut self.pace.looked, true) {
                return Some(Action::Read(self.mind.picture.version()));
            }
        }
        self.pace.looked = false;
        match self.mind.picture.judge(&stake) {
            Verdict::Unknown if self.mind.relieving => return None,
            Verdict::Unknown => return Some(self.wait(now)),
            Verdict::Same | Verdict::SameSoFar | Verdict::Refuse(_) => {}
            Verdict::Replace(_) | Verdict::ReplaceSoFar | Verdict::Restore(..) => {
                if !std::mem::replace(&mut self.mind.relieving, true) {
                    self.mind.kept = None;
                }
                return None;
            }
        }
        if self.mind.relieving && self.mind.owed {
            return None;
        }
        self.mind.relieving = false;
        let pause = match self.mind.picture.judge(&wanted) {
            Verdict::Same | Verdict::SameSoFar | Verdict::Refuse(_) => patience * RELIEF_PAUSES,
            _ => patience,
        };
        self.pace.stake = Some((wanted, now + pause));
        Some(self.wait(now + pause))
    }

    /// Begins with the publication of what is wanted, or tells when that is due.
    fn begin(&mut self, now: Duration) -> Option<Duration> {
        let due = self.pace.due?;
        if now < due {
            return Some(due);
        }
        self.pace.window = due + self.settings.delay;
        self.pace.due = None;
        None
    }

    fn publish(&mut self, now: Duration, wanted: Edition, expected: Expected<V>) -> Action<V> {
        // Readers must know that nothing compares before they can meet something put back.
        if self.mind.index && self.fencing() == Fencing::None {
            return Action::Index;
        }
        // Where there is no `config.json`, readers take the newest of the history. Nothing new may
        // appear there before there is one, or they could find less once a slower publisher has
        // created it: so it is created first, which only one can.
        self.mind.owed |= expected == Expected::Absent;
        if self.mind.kept == Some(wanted) || expected == Expected::Absent {
            return self.write_config(now, Action::WriteConfig(wanted, expected));
        }
        self.keep(now, wanted)
    }

    fn keep(&mut self, now: Duration, wanted: Edition) -> Action<V> {
        match self.pace.history_at {
            Some((identity, at)) if identity == wanted.identity && now < at => self.wait(at),
            _ => {
                self.pace.history_at = Some((wanted.identity, now + self.settings.gap));
                Action::WriteHistory(wanted)
            }
        }
    }

    fn write_config(&mut self, now: Duration, write: Action<V>) -> Action<V> {
        if now < self.pace.config_at {
            return self.wait(self.pace.config_at);
        }
        if !self.mind.picture.is_fresh() {
            return Action::Read(self.mind.picture.version());
        }
        self.pace.config_at = now + self.settings.gap;
        write
    }

    /// Nothing to do before the next check.
    fn rest(&mut self, now: Duration) -> Action<V> {
        self.pace.due = None;
        if self.pace.check_at == Duration::MAX {
            let spread = 0.9 + 0.2 * self.pace.random.f64();
            self.pace.check_at = now + self.check_every().mul_f64(spread);
        }
        self.wait(self.pace.check_at)
    }

    fn wait(&mut self, until: Duration) -> Action<V> {
        self.mind.picture.age();
        Action::Wait(Some(until))
    }

    fn check_every(&self) -> Duration {
        match self.fencing() {
            Fencing::Compare => self.settings.check,
            Fencing::None => self.settings.check_unfenced,
        }
    }

    pub(crate) fn read(&mut self, answer: Read<V>) {
        let was_absent = self.mind.picture.is_absent();
        self.mind.picture.read(answer);
        if self.mind.picture.is_absent() && !was_absent {
            // Somebody deletes here: the history may be gone as well. Where it stays absent, the
            // history was just seen to.
            self.mind.kept = None;
        }
        self.settle();
    }

    pub(crate) fn history_read(&mut self, newest: Option<Edition>) {
        self.mind.picture.history_read(newest);
        self.settle();
    }

    pub(crate) fn history_written(&mut self, edition: Edition) {
        self.mind.kept = Some(edition);
        self.mind.owed = false;
        self.pace.copy_checks = 0;
        self.mind.prune = true;
        self.mind.picture.age();
    }

    /// What is wanted cannot be used by any data plane: the last one that can is wanted again.
    pub(crate) fn unfit(&mut self, last_good: Option<Edition>) {
        self.mind.wanted = last_good;
        self.mind.picture.forget_history();
        self.pace.due = None;
    }

    /// `config.json` was written, by the storage's word; what counts is what is read back.
    pub(crate) fn config_written(&mut self) {
        self.forget();
    }

    pub(crate) fn pruned(&mut self) {
        self.mind.prune = false;
    }

    /// The index is as it should be, or could not be mended for now.
    pub(crate) fn indexed(&mut self, done: bool) {
        self.mind.index = false;
        self.pace.checks = if done { 0 } else { CHECKS_PER_INDEX };
    }

    /// The last operation failed, or its outcome is not known.
    pub(crate) fn failed(&mut self, now: Duration) {
        self.forget();
        self.pace.looked = false;
        self.pace.retry_at = now + self.pace.backoff.next(&mut self.pace.random);
    }

    /// With the failure the storage asked to be left alone for so long.
    pub(crate) fn leave_alone(&mut self, pause: Duration) {
        self.pace.retry_at += pause.min(RETRY_AFTER_CAP);
    }

    pub(crate) fn standing(&self) -> Standing {
        let Some(wanted) = self.mind.wanted else {
            return Standing::Empty;
        };
        if !self.mind.leading {
            return Standing::Following;
        }
        match self.mind.picture.judge(&wanted) {
            Verdict::Same => Standing::Stored(wanted.identity),
            Verdict::Refuse(blocked) => Standing::Blocked(blocked),
            Verdict::SameSoFar => Standing::Checking,
            _ => Standing::Working,
        }
    }

    pub(crate) fn wanted(&self) -> Option<Edition> {
        self.mind.wanted
    }

    /// What `config.json` is known to hold.
    pub(crate) fn stored(&self) -> Option<Identity> {
        self.mind.picture.stored()
    }

    /// How many operations failed in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.pace.backoff.failures()
    }

    fn settle(&mut self) {
        if matches!(self.standing(), Standing::Stored(_) | Standing::Blocked(_)) {
            self.pace.backoff.reset();
        }
    }

    fn forget(&mut self) {
        self.mind.picture.forget();
        self.pace.check_at = Duration::MAX;
    }
}

#[cfg(test)]
mod knowledge;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use knowledge::Knowledge;
