//! Counts of requests in the database that the nodes share.

use std::sync::Arc;
use std::time::Duration;

use keelgate_entities::kinds;

use super::config;
use super::counters::{Limit, Usage};
use super::period::Period;
use super::shared::{self, Key};
use crate::error::Reason;
use crate::records::{Amount, Records, RecordsError};
use crate::registry::Node;

/// Where one configuration of a plugin counts.
pub(crate) struct ClusterCounts {
    records: Arc<dyn Records>,
    prefix: String,
}

impl ClusterCounts {
    /// For the counters of a plugin, whose keys begin with its name.
    pub(crate) fn new(node: &Node, name: &str, plugin: &kinds::Plugin) -> Result<Self, Reason> {
        let records = node.records.own().ok_or_else(|| {
            let problem = config::NO_DATABASE;
            Reason::setting("policy", problem)
        })?;
        Ok(Self {
            records,
            prefix: shared::prefix(name, plugin),
        })
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Counts a request, unless one of the limits is used up.
    pub(crate) async fn count(
        &self,
        caller: &[u8],
        limits: &[Limit],
        now: u32,
    ) -> Result<Usage, RecordsError> {
        let keys = shared::keys(&self.prefix, caller, limits, now);
        let amounts = keys.into_iter().zip(limits).map(|(key, limit)| Amount {
            limit: Some(limit.requests),
            ..amount(key, 1, limit.period)
        });
        let counted = self.records.count(amounts.collect()).await?;
        Ok(Usage {
            used: whole(counted.before).collect(),
            counted: counted.fits,
        })
    }

    /// What these keys count.
    pub(crate) async fn used(&self, keys: Vec<Key>) -> Result<Vec<u32>, RecordsError> {
        Ok(whole(self.records.counted(keys).await?).collect())
    }

    /// Adds to the counts of these keys, beside what goes on here.
    pub(crate) fn add(&self, amounts: impl IntoIterator<Item = (Key, i64, Period)>) {
        let amounts = amounts.into_iter();
        let amounts: Vec<_> = amounts
            .map(|(key, more, period)| amount(key, more, period))
            .collect();
        if amounts.is_empty() {
            return;
        }
        let counting = self.records.count(amounts);
        tokio::spawn(async move {
            if let Err(error) = counting.await {
                tracing::error!(%error, "what a response costs is not counted");
            }
        });
    }
}

fn amount(key: Key, amount: i64, period: Period) -> Amount {
    Amount {
        key,
        amount,
        limit: None,
        lasts: Duration::from_secs(u64::from(period.longest())),
    }
}

fn whole(counts: Vec<i64>) -> impl Iterator<Item = u32> {
    counts.into_iter().map(shared::whole)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use serde_json::json;

    use crate::testing::records::InMemory;
    use crate::testing::*;
    use crate::{Exchange, Plugin};

    fn at(seconds: u64) -> Exchange<'static> {
        let mut exchange = exchange("GET", "/a");
        exchange.times.received_at = UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        exchange
    }

    async fn status(plugin: &'static dyn Plugin, seconds: u64) -> u16 {
        let response = access_waiting(plugin, &mut at(seconds)).await;
        response.map_or(200, |response| response.status.as_u16())
    }

    #[tokio::test]
    async fn nodes_share_what_they_count() {
        let records = std::sync::Arc::new(InMemory::new());
        let config = json!({"minute": 3, "hour": 9, "policy": "cluster"});
        let node = || compiled_with(&records, directory(), "rate-limiting", config.clone());
        let (one, other) = (node(), node());
        for plugin in [one, other, one] {
            assert_eq!(status(plugin, NOW).await, 200);
        }
        for plugin in [one, other] {
            assert_eq!(status(plugin, NOW).await, 429);
        }
        // Who is refused has used up nothing.
        let mut counts: Vec<_> = records.counters().into_values().collect();
        counts.sort_unstable();
        assert_eq!(counts, [3, 3]);
        let mut next = at(NOW + 60);
        assert!(access_waiting(other, &mut next).await.is_none());
        other.header_filter(&mut next);
        let headers = &next.response.headers;
        assert_eq!(values(headers, "x-ratelimit-remaining-minute"), ["2"]);
        assert_eq!(values(headers, "x-ratelimit-remaining-hour"), ["5"]);
    }

    #[tokio::test]
    async fn requests_pass_uncounted_or_not_at_all_while_the_database_is_away() {
        for (is_tolerant, expected) in [(true, 200), (false, 500)] {
            let records = std::sync::Arc::new(InMemory::new());
            let config = json!({"minute": 3, "policy": "cluster", "fault_tolerant": is_tolerant});
            let plugin = compiled_with(&records, directory(), "rate-limiting", config);
            records.go_away();
            assert_eq!(status(plugin, NOW).await, expected);
        }
    }

    #[tokio::test]
    async fn what_responses_cost_is_shared_too() {
        let records = std::sync::Arc::new(InMemory::new());
        let config = json!({
            "limits": {"video": {"minute": 3}}, "policy": "cluster",
            "block_on_first_violation": true,
        });
        let node = || {
            compiled_with(
                &records,
                directory(),
                "response-ratelimiting",
                config.clone(),
            )
        };
        for (plugin, left) in [(node(), "3"), (node(), "1")] {
            let mut exchange = at(NOW);
            assert!(access_waiting(plugin, &mut exchange).await.is_none());
            exchange.response.headers = headers(&[("x-kong-limit", "video=2")]);
            plugin.header_filter(&mut exchange);
            let told = values(&exchange.response.headers, "x-ratelimit-remaining-video");
            assert_eq!(told, [left]);
            // What is counted beside the response.
            tokio::task::yield_now().await;
        }
        assert_eq!(records.counters().into_values().collect::<Vec<_>>(), [4]);
        assert_eq!(status(node(), NOW).await, 429);
    }
}
