//! What a gateway does with requests besides passing them on: how many routes it looks through, and
//! which plugins it runs for how many consumers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::request::Request;

/// Routes, plugins and consumers.
#[derive(Clone)]
pub(crate) struct Policy {
    pub(crate) routes: usize,
    pub(crate) consumers: usize,
    /// In declarative form, for all routes.
    pub(crate) plugins: Vec<Value>,
}

impl Policy {
    pub(crate) fn plain(routes: usize) -> Self {
        Self {
            routes,
            consumers: 0,
            plugins: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, plugin: &str, config: &Value) -> Self {
        self.plugins.push(json!({"name": plugin, "config": config}));
        self
    }

    /// Counts requests, and never refuses one.
    pub(crate) fn with_rate_limiting(self) -> Self {
        let config = json!({"minute": 100_000_000, "policy": "local"});
        self.with("rate-limiting", &config)
    }

    pub(crate) fn for_consumers(mut self, consumers: usize) -> Self {
        self.consumers = consumers;
        self
    }

    /// The path of a route: everything where there is one alone.
    pub(crate) fn path(&self, route: usize) -> String {
        match self.routes {
            1 => "/".to_owned(),
            _ => format!("/route-{route}/"),
        }
    }

    pub(crate) fn consumer(index: usize) -> String {
        format!("consumer-{index}")
    }

    /// A request for every route, each by a consumer.
    pub(crate) fn requests(&self) -> anyhow::Result<Vec<Request>> {
        (0..self.routes)
            .map(|route| {
                let name = Self::consumer(route % self.consumers.max(1));
                let basic = format!("Basic {}", STANDARD.encode(format!("{name}:{name}")));
                let mut headers = Vec::new();
                if self.runs("key-auth") {
                    headers.push(("apikey", name.as_str()));
                }
                if self.runs("basic-auth") {
                    headers.push(("authorization", basic.as_str()));
                }
                Request::get(&format!("{}1024", self.path(route)), &headers)
            })
            .collect()
    }

    fn runs(&self, plugin: &str) -> bool {
        self.plugins.iter().any(|one| one["name"] == plugin)
    }
}
