//! How `response-ratelimiting` counts what responses cost.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use keelgate_entities::kinds;
use serde_json::Value;
use smallvec::SmallVec;
use uuid::Uuid;

use super::config::{Config, LimitBy, NAME};
use crate::error::Reason;
use crate::exchange::MadeBy;
use crate::rate_limiting::caller::Caller;
use crate::rate_limiting::cluster::ClusterCounts;
use crate::rate_limiting::config::Policy;
use crate::rate_limiting::counters::{Counters, Limit};
use crate::rate_limiting::handler::{number, uncounted};
use crate::rate_limiting::period::{Period, seconds_of};
use crate::rate_limiting::shared::{self, Key};
use crate::redis::{Server, Unanswered};
use crate::registry::Node;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, Response, setting};

/// A compiled `response-ratelimiting`.
pub(crate) struct ResponseRateLimiting {
    resources: Vec<Resource>,
    limit_by: LimitBy,
    /// Where responses say what they cost.
    header: HeaderName,
    block_on_first_violation: bool,
    hide_headers: bool,
    fault_tolerant: bool,
    counts: Counts,
}

/// Where costs are counted.
enum Counts {
    /// On this node, apart from those of other plugins.
    Local(Uuid, Arc<Counters>),
    /// In Redis, under keys that begin so.
    Shared(Arc<Server>, String),
    /// In the database.
    Cluster(ClusterCounts),
}

/// Something that responses use up.
struct Resource {
    name: String,
    limits: Vec<Limit>,
    /// What remains of the tightest limit, before the response.
    remaining: HeaderName,
    /// For each limit: what it is, and what remains of it.
    headers: Vec<(HeaderName, HeaderName)>,
}

/// What `access` found out.
struct Standing {
    /// Seconds since 1970.
    now: u32,
    caller: CallerKey,
    used: Used,
}

/// By resource and limit, before the response.
type Used = SmallVec<[SmallVec<[u32; 6]>; 2]>;

/// The response came when nothing was left: it is not passed on.
struct Withheld;

/// What tells callers apart, as it is counted by: few bytes, or text for Redis.
type CallerKey = SmallVec<[u8; 48]>;

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let counts = match config.policy {
        Policy::Redis => {
            let server = node.redis.server(&config.redis, node)?;
            Counts::Shared(server, shared::prefix("response-ratelimit", plugin))
        }
        Policy::Cluster => Counts::Cluster(ClusterCounts::new(node, "response-ratelimit", plugin)?),
        Policy::Local => Counts::Local(plugin.id, Arc::clone(&node.rate_limits)),
    };
    let resources = config.limits.into_iter().map(|(name, limits)| {
        let limits = Period::ALL.iter().filter_map(|period| {
            let requests = limits.get(period.setting()).and_then(Value::as_f64)?;
            Some(Limit {
                period: *period,
                requests,
            })
        });
        Resource::new(name, limits.collect())
    });
    let header = config.header_name.as_deref().unwrap_or("x-kong-limit");
    Ok(Arc::new(ResponseRateLimiting {
        resources: resources.collect::<Result<_, _>>()?,
        limit_by: config.limit_by,
        header: setting::header_name("header_name", header)?,
        block_on_first_violation: config.block_on_first_violation,
        hide_headers: config.hide_client_headers,
        fault_tolerant: config.fault_tolerant,
        counts,
    }))
}

impl Resource {
    fn new(name: String, limits: Vec<Limit>) -> Result<Self, Reason> {
        let header = |text: String| setting::header_name("limits", &text);
        let pair = |limit: &Limit| -> Result<_, Reason> {
            let period = limit.period.setting();
            Ok((
                header(format!("X-RateLimit-Limit-{name}-{period}"))?,
                header(format!("X-RateLimit-Remaining-{name}-{period}"))?,
            ))
        };
        Ok(Self {
            remaining: header(format!("X-RateLimit-Remaining-{name}"))?,
            headers: limits.iter().map(pair).collect::<Result<_, _>>()?,
            limits,
            name,
        })
    }

    /// What remains of each limit; less than nothing where more was used up.
    fn remaining(&self, used: &[u32]) -> impl Iterator<Item = f64> {
        let limits = self.limits.iter().zip(used);
        limits.map(|(limit, used)| limit.requests - f64::from(*used))
    }
}

impl ResponseRateLimiting {
    fn caller(&self, exchange: &Exchange<'_>) -> CallerKey {
        let caller = match self.limit_by {
            LimitBy::Consumer => Caller::consumer(exchange),
            LimitBy::Credential => Caller::credential(exchange),
            LimitBy::Ip => Caller::Address(exchange.client.ip),
        };
        match self.counts {
            Counts::Local(..) => SmallVec::from_slice(&caller.bytes()),
            Counts::Shared(..) | Counts::Cluster(_) => SmallVec::from_vec(caller.text()),
        }
    }

    /// One caller's share of one resource.
    fn key(resource: &Resource, caller: &[u8]) -> SmallVec<[u8; 64]> {
        // The caller's length tells where the name begins, so that no two pairs read the same.
        let mut key = SmallVec::from_slice(&[caller.len() as u8]);
        key.extend_from_slice(caller);
        key.extend_from_slice(resource.name.as_bytes());
        key
    }

    /// The key of one limit in Redis or the database.
    fn shared_key(
        prefix: &str,
        resource: &Resource,
        limit: &Limit,
        caller: &[u8],
        now: u32,
    ) -> Key {
        let mut key = Vec::with_capacity(prefix.len() + caller.len() + resource.name.len() + 24);
        key.extend_from_slice(prefix.as_bytes());
        key.extend_from_slice(caller);
        let (at, period) = (shared::window(limit.period, now), limit.period.setting());
        write!(key, ":{at}:{}:{period}", resource.name).expect("memory takes what is written");
        key
    }

    /// The keys of all limits of a caller, resource by resource.
    fn shared_keys(&self, prefix: &str, caller: &[u8], now: u32) -> Vec<Key> {
        let resources = self.resources.iter();
        resources
            .flat_map(|resource| resource.limits.iter().map(move |limit| (resource, limit)))
            .map(|(resource, limit)| Self::shared_key(prefix, resource, limit, caller, now))
            .collect()
    }

    /// What the keys of all limits count.
    fn used(&self, counts: impl IntoIterator<Item = u32>) -> Used {
        let mut counts = counts.into_iter();
        let of_resource = |resource: &Resource| {
            let counts = counts.by_ref().take(resource.limits.len());
            counts.collect()
        };
        self.resources.iter().map(of_resource).collect()
    }

    /// What was used in Redis.
    async fn used_in_redis(
        &self,
        server: &Server,
        prefix: &str,
        caller: &[u8],
        now: u32,
    ) -> Result<Used, Unanswered> {
        let keys = self.shared_keys(prefix, caller, now);
        let counts = shared::used(server, &keys).await?;
        Ok(self.used(counts.into_iter().map(shared::whole)))
    }

    /// Lets the request through, unless something is used up and that is enough to refuse it.
    fn judge(&self, exchange: &mut Exchange<'_>, standing: Standing) -> Flow {
        for (resource, used) in self.resources.iter().zip(&standing.used) {
            if self.block_on_first_violation && resource.remaining(used).any(|left| left <= 0.0) {
                let message = format!("API rate limit exceeded for '{}'", resource.name);
                let refusal = Response::error(StatusCode::TOO_MANY_REQUESTS, message);
                return Flow::Respond(Box::new(refusal));
            }
        }
        exchange.keep(NAME, standing);
        Flow::Continue
    }

    /// Counts what a response costs; in Redis and in the database beside the response.
    fn add(&self, caller: &[u8], costs: &[u32], now: u32) {
        let costs = self.resources.iter().zip(costs);
        let costs = costs.filter(|(_, cost)| **cost > 0);
        match &self.counts {
            Counts::Local(plugin, counters) => {
                for (resource, cost) in costs {
                    let key = Self::key(resource, caller);
                    counters.add(*plugin, &key, &resource.limits, *cost, now);
                }
            }
            Counts::Cluster(counts) => {
                counts
                    .add(costs.flat_map(|cost| Self::amounts(counts.prefix(), caller, cost, now)));
            }
            Counts::Shared(server, prefix) => {
                let amounts = costs.flat_map(|cost| Self::amounts(prefix, caller, cost, now));
                let amounts: Vec<_> = amounts.collect();
                if amounts.is_empty() {
                    return;
                }
                let server = Arc::clone(server);
                tokio::spawn(async move {
                    let amounts = amounts
                        .iter()
                        .map(|(key, cost, period)| (key, *cost, *period));
                    if let Err(error) = shared::add(&server, amounts).await {
                        tracing::error!(%error, "what a response costs is not counted");
                    }
                });
            }
        }
    }

    /// What is added to the keys of all limits of a resource.
    fn amounts(
        prefix: &str,
        caller: &[u8],
        (resource, cost): (&Resource, &u32),
        now: u32,
    ) -> Vec<(Key, i64, Period)> {
        let amount = |limit: &Limit| {
            let key = Self::shared_key(prefix, resource, limit, caller, now);
            (key, i64::from(*cost), limit.period)
        };
        resource.limits.iter().map(amount).collect()
    }

    /// What the response says that it costs, for each resource.
    fn costs(&self, exchange: &Exchange<'_>) -> SmallVec<[u32; 2]> {
        let response = &exchange.response;
        let told = (response.made_by == MadeBy::Upstream)
            .then(|| response.headers.get(&self.header)?.to_str().ok())
            .flatten()
            .unwrap_or_default();
        let cost = |resource: &Resource| {
            let mut costs = told.split(',').filter_map(|part| {
                let (name, cost) = part.split_once('=')?;
                (name.trim() == resource.name && !cost.contains('=')).then(|| whole(cost))
            });
            costs.next_back().flatten().unwrap_or(0)
        };
        self.resources.iter().map(cost).collect()
    }
}

/// A cost: a whole number, or the next higher one; nothing for what is no cost.
fn whole(text: &str) -> Option<u32> {
    let cost: f64 = text.trim().parse().ok()?;
    // The conversion keeps within the bounds of the type.
    cost.is_finite().then(|| cost.ceil() as u32)
}

impl Plugin for ResponseRateLimiting {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            header_filter: true,
            body_filter: true,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        let now = seconds_of(exchange.times.received_at);
        let caller = self.caller(exchange);
        match &self.counts {
            Counts::Local(plugin, counters) => {
                let used = |resource: &Resource| {
                    let key = Self::key(resource, &caller);
                    counters.used(*plugin, &key, &resource.limits, now)
                };
                let used = self.resources.iter().map(used).collect();
                Access::Ready(self.judge(exchange, Standing { now, caller, used }))
            }
            Counts::Shared(server, prefix) => Access::Pending(Box::pin(async move {
                match self.used_in_redis(server, prefix, &caller, now).await {
                    Ok(used) => self.judge(exchange, Standing { now, caller, used }),
                    Err(error) => uncounted(&error, self.fault_tolerant),
                }
            })),
            Counts::Cluster(counts) => Access::Pending(Box::pin(async move {
                let keys = self.shared_keys(counts.prefix(), &caller, now);
                match counts.used(keys).await {
                    Ok(used) => {
                        let used = self.used(used);
                        self.judge(exchange, Standing { now, caller, used })
                    }
                    Err(error) => uncounted(&error, self.fault_tolerant),
                }
            })),
        }
    }

    fn header_filter<'r>(&'r self, exchange: &mut Exchange<'r>) {
        let Some(standing) = exchange.take_back::<Standing>(NAME) else {
            return;
        };
        let costs = self.costs(exchange);
        let headers = &mut exchange.response.headers;
        let mut exceeded = false;
        for ((resource, used), cost) in self.resources.iter().zip(&standing.used).zip(&costs) {
            let tightest = resource.remaining(used).fold(f64::INFINITY, f64::min);
            headers.insert(resource.remaining.clone(), number(tightest));
            let remaining = resource.remaining(used);
            let of_limits = resource.limits.iter().zip(&resource.headers).zip(remaining);
            for ((limit, (limit_header, remaining_header)), remaining) in of_limits {
                if !self.hide_headers {
                    let left = (remaining - f64::from(*cost)).max(0.0);
                    headers.insert(limit_header.clone(), number(limit.requests));
                    headers.insert(remaining_header.clone(), number(left));
                }
                exceeded |= *cost > 0 && remaining <= 0.0;
            }
        }
        headers.remove(&self.header);
        if exceeded {
            exchange.response.status = StatusCode::TOO_MANY_REQUESTS;
            if headers.contains_key(CONTENT_LENGTH) {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
            }
            exchange.keep(NAME, Withheld);
            return;
        }
        self.add(&standing.caller, &costs, standing.now);
    }

    fn body_filter<'r>(&'r self, exchange: &mut Exchange<'r>, piece: Bytes, _last: bool) -> Bytes {
        match exchange.kept_by::<Withheld>(NAME) {
            Some(Withheld) => Bytes::new(),
            None => piece,
        }
    }
}
