//! How long what was heard about a name counts. Reads no clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use keelgate_balancer::{Endpoint, Record, Resolution};
use tokio::time::Instant;

use crate::settings::Dns;

/// An answer counts this long at least: whoever hands out a time to live of 0 would be asked
/// without end.
const SHORTEST: Duration = Duration::from_secs(1);

/// A name has no address, or nobody could be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotResolved(pub(crate) Arc<str>);

/// What name servers said, or did not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Where the name is found.
    Found {
        record: Record,
        /// At least one, sorted.
        endpoints: Arc<[Endpoint]>,
        /// How long that counts.
        ttl: Duration,
    },
    /// That there is nothing of this name.
    Nothing(Arc<str>),
    /// No answer of any use.
    Failure(Arc<str>),
}

/// What is known of a name.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Never pending.
    pub(crate) resolution: Resolution,
    /// From then on a new answer is sought.
    pub(crate) valid_until: Instant,
    /// From then on it may not be used, even if no new answer is to be had.
    usable_until: Instant,
    /// How many times in a row name servers have failed.
    pub(crate) failures: u32,
    /// Somebody asks for the next answer already.
    asked: AtomicBool,
}

impl Answer {
    /// What is known after this was heard.
    pub(crate) fn after(previous: Option<&Self>, heard: Heard, dns: &Dns, now: Instant) -> Self {
        match heard {
            Heard::Found {
                record,
                endpoints,
                ttl,
            } => {
                let valid_until = now + dns.valid_ttl.unwrap_or(ttl).max(SHORTEST);
                Self {
                    resolution: Resolution::Found { record, endpoints },
                    valid_until,
                    usable_until: valid_until + dns.stale_ttl,
                    failures: 0,
                    asked: AtomicBool::new(false),
                }
            }
            Heard::Nothing(why) => Self::failed(why, now + dns.not_found_ttl.max(SHORTEST), 0),
            Heard::Failure(why) => {
                let again = now + dns.error_ttl.max(SHORTEST);
                let failures = previous.map_or(0, |previous| previous.failures) + 1;
                match previous {
                    Some(kept) if kept.is_usable(now) => Self {
                        resolution: kept.resolution.clone(),
                        valid_until: again,
                        usable_until: kept.usable_until,
                        failures,
                        asked: AtomicBool::new(false),
                    },
                    _ => Self::failed(why, again, failures),
                }
            }
        }
    }

    fn failed(why: Arc<str>, until: Instant, failures: u32) -> Self {
        Self {
            resolution: Resolution::Failed(why),
            valid_until: until,
            usable_until: until,
            failures,
            asked: AtomicBool::new(false),
        }
    }

    /// Nobody can be asked any more.
    pub(crate) fn closed() -> Self {
        Self::failed("the gateway is stopping".into(), Instant::now(), 0)
    }

    /// Whether nothing newer need be sought.
    pub(crate) fn is_valid(&self, now: Instant) -> bool {
        now < self.valid_until
    }

    /// Whether it may serve while a newer one is sought.
    pub(crate) fn is_usable(&self, now: Instant) -> bool {
        now < self.usable_until && matches!(self.resolution, Resolution::Found { .. })
    }

    /// Whether nothing can be made of it any more.
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        !self.is_valid(now) && !self.is_usable(now)
    }

    /// True for the first who wants the next answer.
    pub(crate) fn claim(&self) -> bool {
        !self.asked.load(Relaxed) && !self.asked.swap(true, Relaxed)
    }

    /// The one who wanted the next answer could not ask for it.
    pub(crate) fn unclaim(&self) {
        self.asked.store(false, Relaxed);
    }

    /// The kind of record that was found.
    pub(crate) fn record(&self) -> Option<Record> {
        match self.resolution {
            Resolution::Found { record, .. } => Some(record),
            _ => None,
        }
    }

    /// Where the name is found, or why nowhere.
    pub(crate) fn endpoints(&self) -> Result<&[Endpoint], NotResolved> {
        match &self.resolution {
            Resolution::Failed(why) => Err(NotResolved(Arc::clone(why))),
            found => Ok(found.endpoints()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn dns() -> Dns {
        Dns {
            stale_ttl: 100 * SECOND,
            not_found_ttl: 30 * SECOND,
            error_ttl: SECOND,
            ..Dns::default()
        }
    }

    fn found(last: u8, ttl: Duration) -> Heard {
        Heard::Found {
            record: Record::A,
            endpoints: Arc::new([Endpoint {
                ip: [10, 0, 0, last].into(),
                port: None,
                weight: None,
                name: None,
            }]),
            ttl,
        }
    }

    #[test]
    fn an_answer_counts_for_its_time_to_live_and_serves_stale_afterwards() {
        let now = Instant::now();
        let answer = Answer::after(None, found(1, 10 * SECOND), &dns(), now);
        assert!(answer.is_valid(now + 9 * SECOND));
        assert!(!answer.is_valid(now + 10 * SECOND));
        assert!(answer.is_usable(now + 109 * SECOND));
        assert!(!answer.is_usable(now + 110 * SECOND));
        assert!(answer.is_over(now + 110 * SECOND));
    }

    #[test]
    fn the_settings_win_over_the_time_to_live() {
        let now = Instant::now();
        let dns = Dns {
            valid_ttl: Some(5 * SECOND),
            ..dns()
        };
        let answer = Answer::after(None, found(1, 3600 * SECOND), &dns, now);
        assert!(!answer.is_valid(now + 5 * SECOND));
    }

    #[test]
    fn a_time_to_live_of_nothing_counts_a_second() {
        let now = Instant::now();
        let answer = Answer::after(None, found(1, Duration::ZERO), &dns(), now);
        assert!(answer.is_valid(now));
        assert!(!answer.is_valid(now + SECOND));
    }

    #[test]
    fn addresses_are_kept_while_name_servers_fail_but_not_for_ever() {
        let begin = Instant::now();
        let mut answer = Answer::after(None, found(1, SECOND), &dns(), begin);
        let kept = answer.resolution.clone();
        for second in 1..101 {
            let now = begin + second * SECOND;
            answer = Answer::after(Some(&answer), Heard::Failure("no".into()), &dns(), now);
            assert_eq!(answer.resolution, kept, "after {second} s");
            assert_eq!(answer.failures, second);
        }
        let now = begin + 101 * SECOND;
        answer = Answer::after(Some(&answer), Heard::Failure("no".into()), &dns(), now);
        assert_eq!(answer.resolution, Resolution::Failed("no".into()));
        answer = Answer::after(Some(&answer), found(2, SECOND), &dns(), now);
        assert_eq!(answer.failures, 0);
        assert!(answer.is_valid(now));
    }

    #[test]
    fn a_name_that_is_gone_is_gone_at_once() {
        let now = Instant::now();
        let answer = Answer::after(None, found(1, SECOND), &dns(), now);
        let answer = Answer::after(Some(&answer), Heard::Nothing("none".into()), &dns(), now);
        assert_eq!(answer.resolution, Resolution::Failed("none".into()));
        assert!(answer.is_valid(now + 29 * SECOND));
        assert!(answer.is_over(now + 30 * SECOND));
    }

    #[test]
    fn one_alone_asks_for_the_next_answer() {
        let answer = Answer::after(None, found(1, SECOND), &dns(), Instant::now());
        assert!(answer.claim());
        assert!(!answer.claim());
    }
}
