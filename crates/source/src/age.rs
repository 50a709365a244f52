//! How old a configuration may be that no control plane stands behind.
//!
//! A storage that shows the same old document for ever (a freeze) cannot be told from a cluster
//! that is not changed, unless time says so. That is why control planes with an age bound restate
//! an unchanged configuration, and why age counts from the last restatement, by the clock of the
//! maker and that of this node.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use keelgate_fallback::Verify;
use keelgate_snapshot::{Snapshot, VerifyError};

/// What a data plane does with a configuration that is older than the bound
/// (`cluster_fallback_config_max_age_policy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StalePolicy {
    /// Serves it and raises the alarm.
    #[default]
    Serve,
    /// Does not begin to serve it. What already serves goes on, with the alarm.
    Refuse,
}

/// The bound (`cluster_fallback_config_max_age`) and what happens beyond it.
#[derive(Clone, Copy, Debug, Default)]
pub struct AgeBound {
    max_age: Option<Duration>,
    policy: StalePolicy,
}

impl AgeBound {
    /// A bound; zero is none.
    pub fn new(max_age: Duration, policy: StalePolicy) -> Self {
        Self {
            max_age: (!max_age.is_zero()).then_some(max_age),
            policy,
        }
    }

    /// Refuses a snapshot that is too old to begin to serve at `now`.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Stale`] says since when nobody has stood behind it.
    pub fn check(&self, snapshot: &Snapshot, now: SystemTime) -> Result<(), VerifyError> {
        let stated_at = snapshot.created_at();
        match self.max_age {
            Some(max_age)
                if self.policy == StalePolicy::Refuse && since(stated_at, now) > max_age =>
            {
                Err(VerifyError::Stale {
                    identity: *snapshot.identity(),
                    stated_at,
                    max_age,
                })
            }
            _ => Ok(()),
        }
    }

    /// Has the bound checked, by this node's clock, whenever `verify` finds a snapshot good: a
    /// reader passes on to its next best object.
    pub fn enforce(self, verify: Verify) -> Verify {
        if self.max_age.is_none() || self.policy == StalePolicy::Serve {
            return verify;
        }
        Arc::new(move |document| {
            let snapshot = verify(document)?;
            self.check(&snapshot, SystemTime::now())?;
            Ok(snapshot)
        })
    }
}

/// How often within the bound an unchanged configuration is stated anew.
const STATEMENTS: u32 = 4;

/// No time, when the clocks disagree about the order.
fn since(earlier: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(earlier).unwrap_or_default()
}

/// Watches the age of what is served.
#[derive(Debug)]
pub(crate) struct AgeWatch {
    bound: AgeBound,
    /// When a control plane last stood behind what was served.
    confirmed_at: Option<SystemTime>,
    stale: bool,
}

/// What the watch has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AgeChange {
    /// What is served is older than the bound.
    Stale {
        /// When it was last stated or confirmed.
        stated_at: SystemTime,
        max_age: Duration,
    },
    /// It is not any more.
    Fresh,
}

impl AgeWatch {
    /// Longest time between two looks: clocks are set, and machines sleep.
    const LOOK: Duration = Duration::from_secs(60);

    pub(crate) fn new(bound: AgeBound) -> Self {
        Self {
            bound,
            confirmed_at: None,
            stale: false,
        }
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.stale
    }

    /// How old what a connected control plane stands behind may become until somebody says so anew.
    pub(crate) fn restate_after(&self) -> Option<Duration> {
        self.bound.max_age.map(|max_age| max_age / STATEMENTS)
    }

    /// Looks at what is served at `now`: when it was stated (none: nothing is served), and whether
    /// a control plane stands behind it.
    pub(crate) fn look(
        &mut self,
        now: SystemTime,
        stated_at: Option<SystemTime>,
        is_current: bool,
    ) -> Option<AgeChange> {
        if is_current {
            self.confirmed_at = Some(now);
        }
        let stated_at = stated_at.map(|at| at.max(self.confirmed_at.unwrap_or(at)));
        let beyond = stated_at
            .zip(self.bound.max_age)
            .filter(|(at, max_age)| !is_current && since(*at, now) > *max_age);
        match (beyond, std::mem::replace(&mut self.stale, beyond.is_some())) {
            (Some((stated_at, max_age)), false) => Some(AgeChange::Stale { stated_at, max_age }),
            (None, true) => Some(AgeChange::Fresh),
            _ => None,
        }
    }

    /// How long until the next look is due; never without a bound.
    pub(crate) fn next_look(
        &self,
        now: SystemTime,
        stated_at: Option<SystemTime>,
        is_current: bool,
    ) -> Option<Duration> {
        let max_age = self.bound.max_age?;
        let stated_at = stated_at?;
        if is_current {
            return Some((max_age / STATEMENTS).min(Self::LOOK));
        }
        if self.stale {
            return Some(Self::LOOK);
        }
        let stated_at = stated_at.max(self.confirmed_at.unwrap_or(stated_at));
        let left = max_age.saturating_sub(since(stated_at, now));
        // Just after the end, so that the look finds it passed.
        Some((left + Duration::from_millis(1)).min(Self::LOOK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(100);

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    fn watch() -> AgeWatch {
        AgeWatch::new(AgeBound::new(BOUND, StalePolicy::Serve))
    }

    #[test]
    fn the_alarm_is_raised_once_and_ends_with_a_restatement() {
        let mut watch = watch();
        assert_eq!(watch.look(at(100), Some(at(0)), false), None);
        let stale = AgeChange::Stale {
            stated_at: at(0),
            max_age: BOUND,
        };
        assert_eq!(watch.look(at(101), Some(at(0)), false), Some(stale));
        assert_eq!(watch.look(at(102), Some(at(0)), false), None);
        assert!(watch.is_stale());
        assert_eq!(
            watch.look(at(103), Some(at(50)), false),
            Some(AgeChange::Fresh)
        );
        assert!(!watch.is_stale());
    }

    #[test]
    fn what_a_control_plane_stands_behind_does_not_age() {
        let mut watch = watch();
        assert_eq!(watch.look(at(500), Some(at(0)), true), None);
        assert_eq!(
            watch.look(at(600), Some(at(0)), false),
            None,
            "age counts from the last time it was there"
        );
        assert!(watch.look(at(601), Some(at(0)), false).is_some());
        assert_eq!(
            watch.look(at(700), Some(at(0)), true),
            Some(AgeChange::Fresh)
        );
    }

    #[test]
    fn nothing_that_is_not_there_is_stale_and_without_bound_nothing_is() {
        assert_eq!(watch().look(at(900), None, false), None);
        let mut unbounded = AgeWatch::new(AgeBound::default());
        assert_eq!(unbounded.look(at(900), Some(at(0)), false), None);
        assert_eq!(unbounded.next_look(at(900), Some(at(0)), false), None);
    }

    #[test]
    fn the_next_look_is_when_the_bound_passes_and_at_least_every_minute() {
        let mut watch = watch();
        let next = |watch: &AgeWatch, now| watch.next_look(at(now), Some(at(0)), false);
        assert_eq!(next(&watch, 0), Some(AgeWatch::LOOK));
        assert_eq!(next(&watch, 90), Some(Duration::from_millis(10_001)));
        assert!(watch.look(at(101), Some(at(0)), false).is_some());
        assert_eq!(next(&watch, 101), Some(AgeWatch::LOOK), "no busy loop");
        let current = watch.next_look(at(101), Some(at(0)), true);
        assert_eq!(current, Some(BOUND / 4));
    }

    #[test]
    fn a_clock_that_is_behind_the_makers_makes_nothing_stale() {
        assert_eq!(watch().look(at(0), Some(at(5000)), false), None);
    }
}
