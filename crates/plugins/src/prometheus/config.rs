//! Settings of `prometheus`.

use keelgate_entities::schema::{Field, PluginSchema};
use serde::Deserialize;

use crate::logging::HTTP;
use crate::registry::VERSION;
use crate::setting::null_as_default;

/// Name of the plugin.
pub(crate) const NAME: &str = "prometheus";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    let switch = |name, description| Field::boolean(name).default(false).description(description);
    PluginSchema::new(NAME, 13, VERSION).default_protocols(HTTP).fields([
        switch(
            "per_consumer",
            "Whether `kong_http_requests_total` and `kong_bandwidth_bytes` tell consumers apart.",
        ),
        switch(
            "status_code_metrics",
            "Whether requests are counted by status, in `kong_http_requests_total`.",
        ),
        switch(
            "ai_metrics",
            "Without effect: no plugin of this build speaks to language models.",
        ),
        switch(
            "latency_metrics",
            "Whether times are measured, in `kong_kong_latency_ms`, `kong_upstream_latency_ms` and `kong_request_latency_ms`.",
        ),
        switch(
            "bandwidth_metrics",
            "Whether bytes are counted, in `kong_bandwidth_bytes`.",
        ),
        switch(
            "upstream_health_metrics",
            "Whether the health of targets is told, in `kong_upstream_target_health`.",
        ),
    ])
}

/// The settings.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) per_consumer: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) status_code_metrics: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) latency_metrics: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) bandwidth_metrics: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) upstream_health_metrics: bool,
}
