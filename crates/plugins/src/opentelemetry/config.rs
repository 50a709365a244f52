//! Settings of `opentelemetry`.

use std::collections::BTreeMap;

use keelgate_entities::Object;
use keelgate_entities::schema::{CheckRule, Field, ITEM, PluginSchema, Shorthand, typedefs};
use serde::Deserialize;
use serde_json::Value;

use crate::logging::queue;
use crate::registry::VERSION;
use crate::setting::null_as_default;
use crate::traces::format::NAMES;
use crate::traces::propagation::{self, HeaderType};

/// Name of the plugin.
pub(crate) const NAME: &str = "opentelemetry";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    let timeout = |name, default: u32, description| {
        typedefs::timeout(name)
            .default(default)
            .description(description)
    };
    let header_types = ["preserve", "ignore"].into_iter().chain(NAMES);
    PluginSchema::new(NAME, 14, VERSION)
        .http_only()
        .fields([
            typedefs::url("traces_endpoint")
                .referenceable()
                .description("URL that spans are sent to (OTLP over HTTP)."),
            typedefs::url("logs_endpoint")
                .referenceable()
                .description("URL that records of requests are sent to (OTLP over HTTP)."),
            Field::map(
                "headers",
                typedefs::header_name(ITEM),
                Field::string(ITEM).referenceable(),
            )
            .description("Headers of the requests that carry spans and records."),
            Field::map(
                "resource_attributes",
                Field::string(ITEM).required(),
                Field::string(ITEM).required(),
            )
            .description("Attributes of this gateway, instead of or beside its own: `service.name`, `service.version`, `service.instance.id`."),
            queue::setting().default(serde_json::json!({ "max_batch_size": 200 })),
            Field::integer("batch_span_count")
                .description("The old name of queue.max_batch_size."),
            Field::integer("batch_flush_delay")
                .description("The old name of queue.max_coalescing_delay."),
            timeout("connect_timeout", 1000, "Milliseconds until there is a connection, at most."),
            timeout("send_timeout", 5000, "Milliseconds that sending takes, at most."),
            timeout("read_timeout", 5000, "Milliseconds until the collector answers, at most."),
            Field::string("http_response_header_for_traceid")
                .description("Header that tells the client the id of the trace."),
            Field::string("header_type")
                .optional()
                .default("preserve")
                .one_of(header_types)
                .description("What `propagation` told in older configurations."),
            Field::number("sampling_rate")
                .optional()
                .between(0.0, 1.0)
                .description("The share of traces that are recorded, from 0 to 1; without it, 0.01."),
            propagation::setting("w3c"),
        ])
        .config_check(CheckRule::at_least_one_of(&[
            "traces_endpoint",
            "logs_endpoint",
        ]))
        .shorthand(
            Shorthand::new(typedefs::url("endpoint").referenceable(), |value| {
                let mut fields = Object::new();
                fields.insert("traces_endpoint".to_owned(), value.clone());
                fields
            }),
        )
}

/// The settings.
#[derive(Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) traces_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) logs_endpoint: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) resource_attributes: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) queue: Option<queue::Settings>,
    #[serde(default)]
    pub(crate) batch_span_count: Option<usize>,
    #[serde(default)]
    pub(crate) batch_flush_delay: Option<f64>,
    /// Milliseconds, as are the next two.
    #[serde(default)]
    pub(crate) connect_timeout: Option<f64>,
    #[serde(default)]
    pub(crate) send_timeout: Option<f64>,
    #[serde(default)]
    pub(crate) read_timeout: Option<f64>,
    #[serde(default)]
    pub(crate) http_response_header_for_traceid: Option<String>,
    #[serde(default = "propagation::preserve")]
    pub(crate) header_type: Option<HeaderType>,
    #[serde(default)]
    pub(crate) sampling_rate: Option<f64>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) propagation: propagation::Settings,
}
