//! How `response-ratelimiting` counts what responses cost.

use std::net::IpAddr;
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
use crate::rate_limiting::counters::{Counters, Limit};
use crate::rate_limiting::handler::{check_policy, number};
use crate::rate_limiting::period::{Period, seconds_of};
use crate::registry::Node;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, Response, setting};

/// A compiled `response-ratelimiting`.
pub(crate) struct ResponseRateLimiting {
    plugin: Uuid,
    resources: Vec<Resource>,
    limit_by: LimitBy,
    /// Where responses say what they cost.
    header: HeaderName,
    block_on_first_violation: bool,
    hide_headers: bool,
    counters: Arc<Counters>,
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
    caller: Caller,
    /// By resource and limit, before the response.
    used: SmallVec<[SmallVec<[u32; 6]>; 2]>,
}

/// The response came when nothing was left: it is not passed on.
struct Withheld;

/// What tells callers apart.
type Caller = SmallVec<[u8; 16]>;

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    check_policy(config.policy)?;
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
        plugin: plugin.id,
        resources: resources.collect::<Result<_, _>>()?,
        limit_by: config.limit_by,
        header: setting::header_name("header_name", header)?,
        block_on_first_violation: config.block_on_first_violation,
        hide_headers: config.hide_client_headers,
        counters: Arc::clone(&node.rate_limits),
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
    fn caller(&self, exchange: &Exchange<'_>) -> Caller {
        let credential = exchange.credential.map(|credential| credential.id);
        let id = match self.limit_by {
            LimitBy::Consumer => exchange.consumer.map(|consumer| consumer.id).or(credential),
            LimitBy::Credential => credential,
            LimitBy::Ip => None,
        };
        match (id, exchange.client.ip) {
            (Some(id), _) => SmallVec::from_slice(id.as_bytes()),
            (None, IpAddr::V4(ip)) => SmallVec::from_slice(&ip.octets()),
            (None, IpAddr::V6(ip)) => SmallVec::from_slice(&ip.octets()),
        }
    }

    /// One caller's share of one resource.
    fn key(resource: &Resource, caller: &Caller) -> SmallVec<[u8; 64]> {
        // The caller's length tells where the name begins, so that no two pairs read the same.
        let mut key = SmallVec::from_slice(&[caller.len() as u8]);
        key.extend_from_slice(caller);
        key.extend_from_slice(resource.name.as_bytes());
        key
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
        let mut all_used = SmallVec::new();
        for resource in &self.resources {
            let key = Self::key(resource, &caller);
            let used = self.counters.used(self.plugin, &key, &resource.limits, now);
            if self.block_on_first_violation && resource.remaining(&used).any(|left| left <= 0.0) {
                let message = format!("API rate limit exceeded for '{}'", resource.name);
                let refusal = Response::error(StatusCode::TOO_MANY_REQUESTS, message);
                return Access::Ready(Flow::Respond(Box::new(refusal)));
            }
            all_used.push(used);
        }
        let standing = Standing {
            now,
            caller,
            used: all_used,
        };
        exchange.keep(NAME, standing);
        Access::Ready(Flow::Continue)
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
        for (resource, cost) in self.resources.iter().zip(costs) {
            if cost > 0 {
                let key = Self::key(resource, &standing.caller);
                self.counters
                    .add(self.plugin, &key, &resource.limits, cost, standing.now);
            }
        }
    }

    fn body_filter<'r>(&'r self, exchange: &mut Exchange<'r>, piece: Bytes, _last: bool) -> Bytes {
        match exchange.kept_by::<Withheld>(NAME) {
            Some(Withheld) => Bytes::new(),
            None => piece,
        }
    }
}
