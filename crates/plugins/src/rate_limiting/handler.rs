//! How `rate-limiting` judges a request.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use crate::HeaderMap;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use keelgate_entities::kinds;
use uuid::Uuid;

use super::caller::Caller;
use super::cluster::ClusterCounts;
use super::config::{Config, LimitBy, NAME, Policy};
use super::counters::{Counters, Limit, Usage};
use super::period::{Period, seconds_of};
use super::shared::SharedCounts;
use crate::error::Reason;
use crate::registry::Node;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, Response, setting};

const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// A compiled `rate-limiting`.
pub(crate) struct RateLimiting {
    limits: Vec<Limit>,
    limit_by: By,
    hide_headers: bool,
    error_code: StatusCode,
    error_message: String,
    fault_tolerant: bool,
    counts: Counts,
}

/// Where requests are counted.
enum Counts {
    /// On this node, apart from those of other plugins.
    Local(Uuid, Arc<Counters>),
    /// In Redis.
    Shared(SharedCounts),
    /// In the database.
    Cluster(ClusterCounts),
}

/// What tells callers apart; their address where it is absent.
enum By {
    Consumer,
    Credential,
    Ip,
    Service,
    Header(HeaderName),
    Path(String),
}

/// What `access` found out, kept for the response's headers.
struct Standing {
    usage: Usage,
    /// Seconds since 1970.
    now: u32,
}

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
            let tally = node.tallies.of(&server);
            let interval = Duration::try_from_secs_f64(config.sync_rate).ok();
            Counts::Shared(SharedCounts::new(server, tally, plugin, interval))
        }
        Policy::Cluster => Counts::Cluster(ClusterCounts::new(node, "ratelimit", plugin)?),
        Policy::Local => Counts::Local(plugin.id, Arc::clone(&node.rate_limits)),
    };
    let limits: Vec<Limit> = [
        config.second,
        config.minute,
        config.hour,
        config.day,
        config.month,
        config.year,
    ]
    .into_iter()
    .zip(Period::ALL)
    .filter_map(|(requests, period)| {
        let requests = requests?;
        Some(Limit { period, requests })
    })
    .collect();
    if limits.is_empty() {
        let problem = "no limit is set; set one of second, minute, hour, day, month and year";
        return Err(Reason::setting("second", problem));
    }
    Ok(Arc::new(RateLimiting {
        limits,
        limit_by: By::new(&config)?,
        hide_headers: config.hide_client_headers,
        // A fraction is cut off, as a status line would.
        error_code: setting::status("error_code", config.error_code.unwrap_or(429.0) as u16)?,
        error_message: config.error_message.unwrap_or_default(),
        fault_tolerant: config.fault_tolerant,
        counts,
    }))
}

impl By {
    fn new(config: &Config) -> Result<Self, Reason> {
        let needed = |field: &str| Reason::setting(field, "required for this limit_by");
        Ok(match config.limit_by {
            LimitBy::Consumer => Self::Consumer,
            LimitBy::Credential => Self::Credential,
            LimitBy::Ip => Self::Ip,
            LimitBy::Service => Self::Service,
            LimitBy::Header => {
                let name = config.header_name.as_deref();
                let name = name.ok_or_else(|| needed("header_name"))?;
                Self::Header(setting::header_name("header_name", name)?)
            }
            LimitBy::Path => {
                let path = config.path.clone();
                Self::Path(path.ok_or_else(|| needed("path"))?)
            }
        })
    }

    fn caller<'e>(&'e self, exchange: &'e Exchange<'_>) -> Caller<'e> {
        let address = Caller::Address(exchange.client.ip);
        match self {
            Self::Consumer => Caller::consumer(exchange),
            Self::Credential => Caller::credential(exchange),
            Self::Service => Caller::entity(exchange.service.map(|service| service.id), exchange),
            Self::Header(name) => match exchange.headers.get(name) {
                Some(value) => Caller::Text(value.as_bytes()),
                None => address,
            },
            Self::Path(path) if exchange.path() == *path => Caller::Text(path.as_bytes()),
            Self::Path(_) | Self::Ip => address,
        }
    }
}

impl RateLimiting {
    /// Tells the client where it stands; returns `RateLimit-Reset`.
    fn tell(&self, standing: &Standing, headers: &mut HeaderMap) -> HeaderValue {
        let Standing { usage, now } = standing;
        headers.reserve(2 * self.limits.len() + 4);
        let mut tightest = (f64::INFINITY, 1);
        let mut least_limit = 0.0;
        for (limit, used) in self.limits.iter().zip(&usage.used) {
            let taken = f64::from(*used) + f64::from(u8::from(usage.counted));
            let remaining = (limit.requests - taken).max(0.0);
            // Of equally tight limits, the longer one tells when to come back.
            if remaining <= tightest.0 {
                let elapsed = now.saturating_sub(limit.period.start(*now));
                let reset = limit.period.seconds().saturating_sub(elapsed).max(1);
                tightest = (remaining, reset);
                least_limit = limit.requests;
            }
            let (limit_name, remaining_name) = header_names(limit.period);
            headers.insert(limit_name, number(limit.requests));
            headers.insert(remaining_name, number(remaining));
        }
        let (remaining, reset) = tightest;
        let reset = HeaderValue::from(reset);
        headers.insert(LIMIT, number(least_limit));
        headers.insert(REMAINING, number(remaining));
        headers.insert(RESET, reset.clone());
        reset
    }

    fn judge(&self, exchange: &mut Exchange<'_>, standing: Standing) -> Flow {
        if !standing.usage.counted {
            return self.refuse(&standing);
        }
        if !self.hide_headers {
            exchange.keep(NAME, standing);
        }
        Flow::Continue
    }

    fn refuse(&self, standing: &Standing) -> Flow {
        let mut response = Response::error(self.error_code, self.error_message.as_str());
        if !self.hide_headers {
            let reset = self.tell(standing, &mut response.headers);
            response.headers.insert(RETRY_AFTER, reset);
        }
        Flow::Respond(Box::new(response))
    }
}

impl Plugin for RateLimiting {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            header_filter: !self.hide_headers,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        let now = seconds_of(exchange.times.received_at);
        let caller = self.limit_by.caller(exchange);
        match &self.counts {
            Counts::Local(plugin, counters) => {
                let usage = counters.count(*plugin, &caller.bytes(), &self.limits, now);
                Access::Ready(self.judge(exchange, Standing { usage, now }))
            }
            Counts::Shared(counts) => {
                let keys = counts.keys(&caller.text(), &self.limits, now);
                if let Some(usage) = counts.count_known(&keys, &self.limits) {
                    return Access::Ready(self.judge(exchange, Standing { usage, now }));
                }
                Access::Pending(Box::pin(async move {
                    match counts.count(&keys, &self.limits).await {
                        Ok(usage) => self.judge(exchange, Standing { usage, now }),
                        Err(error) => uncounted(&error, self.fault_tolerant),
                    }
                }))
            }
            Counts::Cluster(counts) => {
                let caller = caller.text();
                Access::Pending(Box::pin(async move {
                    match counts.count(&caller, &self.limits, now).await {
                        Ok(usage) => self.judge(exchange, Standing { usage, now }),
                        Err(error) => uncounted(&error, self.fault_tolerant),
                    }
                }))
            }
        }
    }

    fn header_filter<'r>(&'r self, exchange: &mut Exchange<'r>) {
        if let Some(standing) = exchange.take_back(NAME) {
            self.tell(&standing, &mut exchange.response.headers);
        }
    }
}

/// What becomes of a request that cannot be counted.
pub(crate) fn uncounted(error: &dyn Error, fault_tolerant: bool) -> Flow {
    tracing::debug!(%error, fault_tolerant, "a request is not counted");
    match fault_tolerant {
        true => Flow::Continue,
        false => Flow::Respond(Box::new(Response::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "An unexpected error occurred",
        ))),
    }
}

/// Names of the headers of one limit: what it is, and what remains of it.
fn header_names(period: Period) -> (HeaderName, HeaderName) {
    let (limit, remaining) = match period {
        Period::Second => ("x-ratelimit-limit-second", "x-ratelimit-remaining-second"),
        Period::Minute => ("x-ratelimit-limit-minute", "x-ratelimit-remaining-minute"),
        Period::Hour => ("x-ratelimit-limit-hour", "x-ratelimit-remaining-hour"),
        Period::Day => ("x-ratelimit-limit-day", "x-ratelimit-remaining-day"),
        Period::Month => ("x-ratelimit-limit-month", "x-ratelimit-remaining-month"),
        Period::Year => ("x-ratelimit-limit-year", "x-ratelimit-remaining-year"),
    };
    (
        HeaderName::from_static(limit),
        HeaderName::from_static(remaining),
    )
}

/// A number as a header value; whole ones are written without an allocation for text.
pub(crate) fn number(value: f64) -> HeaderValue {
    if value.fract() == 0.0 && (0.0..1e15).contains(&value) {
        return HeaderValue::from(value as u64);
    }
    HeaderValue::try_from(setting::number(value)).expect("numbers are written in ASCII")
}
