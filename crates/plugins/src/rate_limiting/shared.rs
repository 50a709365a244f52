//! Counts of requests in Redis, shared by all nodes that count there, Kong's among them: keys, values
//! and expiry are Kong's.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keelgate_entities::kinds;
use redis::Pipeline;
use smallvec::SmallVec;
use uuid::Uuid;

use super::counters::{Limit, Usage};
use super::period::Period;
use super::tally::Tally;
use crate::redis::{Server, Unanswered};

/// Counts one request; a key that is new expires when its window is over.
const COUNT: &str = "local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return count";

/// Counts several; likewise.
const ADD: &str = "local new = redis.call('EXISTS', KEYS[1]) == 0
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
if new then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return count";

/// A key of Redis.
pub(crate) type Key = Vec<u8>;

/// Where one configuration of a plugin counts.
pub(crate) struct SharedCounts {
    server: Arc<Server>,
    prefix: String,
    /// Between two synchronisations; none where every request asks.
    interval: Option<Duration>,
    tally: Arc<Tally>,
    /// Whether a synchronisation is due.
    due: Arc<AtomicBool>,
}

/// What a plugin's keys begin with: its route and its service, or nil where it has none.
pub(crate) fn prefix(name: &str, plugin: &kinds::Plugin) -> String {
    let route = plugin.route.as_ref().map_or(Uuid::nil(), |route| route.0);
    let service = plugin
        .service
        .as_ref()
        .map_or(Uuid::nil(), |service| service.0);
    format!("{name}:{route}:{service}:")
}

/// When a window begins, as keys tell it: in milliseconds since 1970.
pub(crate) fn window(period: Period, now: u32) -> u64 {
    u64::from(period.start(now)) * 1000
}

/// The keys of a caller, one for each limit.
pub(super) fn keys(prefix: &str, caller: &[u8], limits: &[Limit], now: u32) -> SmallVec<[Key; 2]> {
    let key = |limit: &Limit| {
        let mut key = Vec::with_capacity(prefix.len() + caller.len() + 24);
        key.extend_from_slice(prefix.as_bytes());
        key.extend_from_slice(caller);
        let (at, period) = (window(limit.period, now), limit.period.setting());
        write!(key, ":{at}:{period}").expect("memory takes what is written");
        key
    };
    limits.iter().map(key).collect()
}

/// Adds to the counts of these keys.
pub(crate) async fn add(
    server: &Server,
    amounts: impl IntoIterator<Item = (&Key, i64, Period)>,
) -> Result<Vec<i64>, Unanswered> {
    let mut asked = Pipeline::new();
    for (key, amount, period) in amounts {
        asked.cmd("EVAL").arg(ADD).arg(1).arg(key);
        asked.arg(amount).arg(period.seconds());
    }
    server.ask(&asked).await
}

/// What these keys count.
pub(crate) async fn used(
    server: &Server,
    keys: impl IntoIterator<Item = &Key>,
) -> Result<Vec<i64>, Unanswered> {
    let mut asked = Pipeline::new();
    for key in keys {
        asked.cmd("GET").arg(key);
    }
    let counts: Vec<Option<i64>> = server.ask(&asked).await?;
    Ok(counts.into_iter().map(Option::unwrap_or_default).collect())
}

impl SharedCounts {
    pub(crate) fn new(
        server: Arc<Server>,
        tally: Arc<Tally>,
        plugin: &kinds::Plugin,
        interval: Option<Duration>,
    ) -> Self {
        Self {
            server,
            prefix: prefix("ratelimit", plugin),
            interval,
            tally,
            due: Arc::new(AtomicBool::new(false)),
        }
    }

    /// The keys of a caller, one for each limit.
    pub(crate) fn keys(&self, caller: &[u8], limits: &[Limit], now: u32) -> SmallVec<[Key; 2]> {
        keys(&self.prefix, caller, limits, now)
    }

    /// Counts a request without asking Redis, if what is known of all limits is fresh enough.
    pub(crate) fn count_known(&self, keys: &[Key], limits: &[Limit]) -> Option<Usage> {
        self.interval?;
        let usage = self.tally.count(keys, limits)?;
        if usage.counted {
            self.synchronise_soon();
        }
        Some(usage)
    }

    /// Counts a request.
    pub(crate) async fn count(&self, keys: &[Key], limits: &[Limit]) -> Result<Usage, Unanswered> {
        if let Some(interval) = self.interval {
            let used = used(&self.server, keys).await?;
            for ((key, limit), used) in keys.iter().zip(limits).zip(used) {
                self.tally.learn(key, limit.period, used, interval);
            }
            if let Some(usage) = self.count_known(keys, limits) {
                return Ok(usage);
            }
            // There is no room for more callers: this one is counted in Redis alone.
        }
        let mut asked = Pipeline::new();
        for (key, limit) in keys.iter().zip(limits) {
            asked.cmd("EVAL").arg(COUNT).arg(1).arg(key);
            asked.arg(limit.period.seconds());
        }
        let counts: Vec<i64> = self.server.ask(&asked).await?;
        Ok(usage(limits, counts.into_iter().map(|count| count - 1)))
    }

    fn synchronise_soon(&self) {
        let Some(interval) = self.interval else {
            return;
        };
        if self.due.swap(true, Ordering::Relaxed) {
            return;
        }
        let (server, tally) = (Arc::clone(&self.server), Arc::clone(&self.tally));
        let due = Arc::clone(&self.due);
        tokio::spawn(async move {
            tokio::time::sleep(interval).await;
            // What is counted from here on is for the next time.
            due.store(false, Ordering::Relaxed);
            tally.synchronise(&server, interval).await;
        });
    }
}

/// Whether a request fits, when this much was used before it. One that does not fit is counted,
/// too: Kong counts before it compares.
pub(super) fn usage(limits: &[Limit], used: impl IntoIterator<Item = i64>) -> Usage {
    let used: SmallVec<[u32; 6]> = used.into_iter().map(whole).collect();
    let fits = |(limit, used): (&Limit, &u32)| f64::from(*used) < limit.requests;
    Usage {
        counted: limits.iter().zip(&used).all(fits),
        used,
    }
}

/// A count within the bounds of the type.
pub(crate) fn whole(count: i64) -> u32 {
    u32::try_from(count.max(0)).unwrap_or(u32::MAX)
}
