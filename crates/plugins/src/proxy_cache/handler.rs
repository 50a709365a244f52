//! How `proxy-cache` keeps responses and answers with them.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::{AGE, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use keelgate_entities::kinds;

use super::cache_control::Directives;
use super::config::{Config, NAME};
use super::key::{self, Key};
use super::media_type::MediaType;
use super::store::{MAX_BODY, Store, Stored};
use crate::error::Reason;
use crate::exchange::MadeBy;
use crate::registry::Node;
use crate::response::Body;
use crate::{Access, Directory, Exchange, Flow, HeaderMap, Phases, Plugin, Response, setting};

const STATUS: HeaderName = HeaderName::from_static("x-cache-status");
const KEY: HeaderName = HeaderName::from_static("x-cache-key");
const DEBUG: HeaderName = HeaderName::from_static("kong-debug");

/// Headers that belong to one connection or to one message.
const NOT_KEPT: [&str; 12] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "age",
    "x-cache-status",
    "x-cache-key",
];

/// A compiled `proxy-cache`.
pub(crate) struct ProxyCache {
    statuses: Vec<u16>,
    methods: Vec<String>,
    media_types: Vec<MediaType>,
    /// Seconds.
    lifetime: u64,
    obeys_cache_control: bool,
    pub(super) ignore_case: bool,
    /// Seconds; forever, if it is not more than 0.
    kept_for: Option<i64>,
    pub(super) vary_arguments: Vec<String>,
    pub(super) vary_headers: Vec<String>,
    tells_age: bool,
    tells_status: bool,
    tells_key: bool,
    store: Arc<Store>,
}

/// A response that may be kept: of a request that could be answered from the store, but was not.
struct Candidate {
    key: Key,
    /// Once the response's head is known to be one that is kept.
    head: Option<Head>,
}

struct Head {
    headers: HeaderMap,
    lifetime: u64,
    body: BytesMut,
}

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let told = config.response_headers;
    Ok(Arc::new(ProxyCache {
        statuses: config.response_code,
        methods: config.request_method,
        // What is no media type covers no response.
        media_types: config
            .content_type
            .iter()
            .filter_map(|text| MediaType::parse(text))
            .collect(),
        lifetime: config.cache_ttl.unwrap_or(300),
        obeys_cache_control: config.cache_control,
        ignore_case: config.ignore_uri_case,
        kept_for: config.storage_ttl,
        vary_arguments: config.vary_query_params,
        vary_headers: config.vary_headers,
        tells_age: told.age.unwrap_or(false),
        tells_status: told.status.unwrap_or(false),
        tells_key: told.key.unwrap_or(false),
        store: Arc::clone(&node.proxy_cache),
    }))
}

impl ProxyCache {
    fn tell_status(&self, exchange: &mut Exchange<'_>, status: &'static str) {
        if self.tells_status || exchange.headers.contains_key(DEBUG) {
            let status = HeaderValue::from_static(status);
            exchange.response.headers.insert(STATUS, status);
        }
    }

    /// Whether the response to a request may be kept, or one that was kept may answer it.
    fn concerns(&self, exchange: &Exchange<'_>, asked: &Directives) -> bool {
        let refused =
            || asked.no_store || asked.no_cache || exchange.headers.contains_key(AUTHORIZATION);
        let method = exchange.method.as_str();
        self.methods.iter().any(|known| known == method) && !(self.obeys_cache_control && refused())
    }

    /// Whether a kept response is good enough for a request.
    fn is_fresh(&self, stored: &Stored, asked: &Directives, now: u64) -> bool {
        let age = stored.age(now);
        if !self.obeys_cache_control {
            return age <= self.lifetime;
        }
        let (age, lifetime) = (age as f64, stored.lifetime as f64);
        asked.max_age.is_none_or(|most| age <= most)
            && asked.max_stale.is_none_or(|most| age - lifetime <= most)
            && asked.min_fresh.is_none_or(|least| lifetime - age >= least)
    }

    /// The answer that a kept response makes.
    fn answer(&self, exchange: &Exchange<'_>, stored: &Stored, key: &str, now: u64) -> Response {
        let mut response = Response::new(stored.status, Body::Bytes(stored.body.clone()));
        response.made_by = MadeBy::Cache;
        response.headers = stored.headers.clone();
        let debug = exchange.headers.contains_key(DEBUG);
        if self.tells_age || debug {
            response.headers.insert(AGE, stored.age(now).into());
        }
        if self.tells_status || debug {
            let hit = HeaderValue::from_static("Hit");
            response.headers.insert(STATUS, hit);
        }
        if (self.tells_key || debug)
            && let Ok(key) = HeaderValue::from_str(key)
        {
            response.headers.insert(KEY, key);
        }
        response
    }

    /// How long the response is good for, in seconds, if it may be kept.
    fn judge(&self, exchange: &Exchange<'_>, now: u64) -> Option<u64> {
        let response = &exchange.response;
        let of_upstream = response.made_by == MadeBy::Upstream;
        if !of_upstream || !self.statuses.contains(&response.status.as_u16()) {
            return None;
        }
        let content_type = response.headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let content_type = MediaType::parse(content_type)?;
        if !self
            .media_types
            .iter()
            .any(|known| known.covers(&content_type))
        {
            return None;
        }
        if !self.obeys_cache_control {
            return Some(self.lifetime);
        }
        let told = Directives::of(&response.headers);
        if told.private || told.no_store || told.no_cache {
            return None;
        }
        Some(told.lifetime(&response.headers, now)).filter(|lifetime| *lifetime > 0)
    }

    fn keep(&self, exchange: &Exchange<'_>, key: Key, head: Head) {
        let kept_for = match self.kept_for {
            // The conversion is guarded by the pattern.
            Some(seconds @ 1..) => Some(seconds as u64),
            Some(_) => None,
            None => Some(head.lifetime),
        };
        let stored = Stored {
            status: exchange.response.status,
            headers: head.headers,
            body: head.body.freeze(),
            at: seconds(exchange.times.received_at),
            lifetime: head.lifetime,
            kept_for,
        };
        self.store.put(key, stored);
    }
}

impl Plugin for ProxyCache {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            header_filter: true,
            body_filter: true,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        let asked = Directives::of(&exchange.headers);
        if !self.concerns(exchange, &asked) {
            self.tell_status(exchange, "Bypass");
            return Access::Ready(Flow::Continue);
        }
        let key = key::of(self, exchange);
        let now = seconds(exchange.times.received_at);
        let status = match self.store.get(&key, now) {
            Some(stored) if self.is_fresh(&stored, &asked, now) => {
                let response = self.answer(exchange, &stored, &key, now);
                return Access::Ready(Flow::Respond(Box::new(response)));
            }
            Some(_) => "Refresh",
            None if self.obeys_cache_control && asked.only_if_cached => {
                let response = Response::empty(StatusCode::GATEWAY_TIMEOUT);
                return Access::Ready(Flow::Respond(Box::new(response)));
            }
            None => "Miss",
        };
        if (self.tells_key || exchange.headers.contains_key(DEBUG))
            && let Ok(key) = HeaderValue::from_str(&key)
        {
            exchange.response.headers.insert(KEY, key);
        }
        self.tell_status(exchange, status);
        exchange.keep(NAME, Candidate { key, head: None });
        Access::Ready(Flow::Continue)
    }

    fn header_filter<'r>(&'r self, exchange: &mut Exchange<'r>) {
        let Some(candidate) = exchange.take_back::<Candidate>(NAME) else {
            return;
        };
        let now = seconds(exchange.times.received_at);
        let Some(lifetime) = self.judge(exchange, now) else {
            self.tell_status(exchange, "Bypass");
            return;
        };
        let mut headers = exchange.response.headers.clone();
        let named: Vec<_> = headers
            .keys()
            .filter(|name| !is_kept(name))
            .cloned()
            .collect();
        for name in named {
            headers.remove(name);
        }
        let head = Head {
            headers,
            lifetime,
            body: BytesMut::new(),
        };
        let head = Some(head);
        exchange.keep(NAME, Candidate { head, ..candidate });
    }

    fn body_filter<'r>(&'r self, exchange: &mut Exchange<'r>, piece: Bytes, last: bool) -> Bytes {
        let Some(mut candidate) = exchange.take_back::<Candidate>(NAME) else {
            return piece;
        };
        let Some(mut head) = candidate.head.take() else {
            return piece;
        };
        if head.body.len() + piece.len() > MAX_BODY {
            return piece;
        }
        head.body.extend_from_slice(&piece);
        if last {
            self.keep(exchange, candidate.key, head);
        } else {
            candidate.head = Some(head);
            exchange.keep(NAME, candidate);
        }
        piece
    }
}

fn is_kept(name: &HeaderName) -> bool {
    let name = name.as_str();
    !NOT_KEPT.contains(&name) && !name.contains("ratelimit-remaining")
}

pub(super) fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_secs()
}
