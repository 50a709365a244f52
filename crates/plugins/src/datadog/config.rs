//! Settings of `datadog`.

use keelgate_entities::schema::{Field, ITEM, PluginSchema, typedefs};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::logging::HTTP;
use crate::logging::queue;
use crate::logging::stat::{self, ConsumerIdentifier, StatType};
use crate::registry::VERSION;
use crate::setting::null_as_default;

/// Name of the plugin.
pub(crate) const NAME: &str = "datadog";

/// The metrics that are sent where a configuration names none.
pub(super) fn default_metrics() -> Value {
    let metric = |name, stat_type| {
        json!({
            "name": name, "stat_type": stat_type, "tags": ["app:kong"],
            "consumer_identifier": "custom_id",
        })
    };
    let mut count = metric("request_count", "counter");
    count["sample_rate"] = json!(1);
    json!([
        count,
        metric("latency", "timer"),
        metric("request_size", "timer"),
        metric("response_size", "timer"),
        metric("upstream_latency", "timer"),
        metric("kong_latency", "timer"),
    ])
}

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 10, VERSION)
        .default_protocols(HTTP)
        .fields([
            typedefs::host("host")
                .referenceable()
                .default("localhost")
                .description("Host of the Datadog agent."),
            typedefs::port("port")
                .default(8125)
                .description("Port of the Datadog agent."),
            Field::string("prefix")
                .default("kong")
                .description("What every metric's name begins with."),
            Field::string("service_name_tag")
                .default("name")
                .description("The tag that tells the service."),
            Field::string("status_tag")
                .default("status")
                .description("The tag that tells the status."),
            Field::string("consumer_tag")
                .default("consumer")
                .description("The tag that tells the consumer."),
            Field::integer("retry_count").description("Without effect; use queue.max_retry_time."),
            Field::integer("queue_size").description("The old name of queue.max_batch_size."),
            Field::number("flush_timeout")
                .description("The old name of queue.max_coalescing_delay."),
            queue::setting(),
            Field::array("metrics", metric())
                .required()
                .default(default_metrics())
                .description("What is sent."),
        ])
}

fn metric() -> Field {
    Field::record(
        ITEM,
        [
            Field::string("name")
                .required()
                .one_of([
                    "kong_latency",
                    "latency",
                    "request_count",
                    "request_size",
                    "response_size",
                    "upstream_latency",
                ])
                .description("What is sent."),
            Field::string("stat_type")
                .required()
                .one_of([
                    "counter",
                    "gauge",
                    "histogram",
                    "meter",
                    "set",
                    "timer",
                    "distribution",
                ])
                .description("What sort of number it is."),
            Field::array("tags", Field::string(ITEM).matches("^.*[^:]$"))
                .description("Further tags."),
            Field::number("sample_rate")
                .between(0.0, 1.0)
                .description("What the agent is told of how often the metric is sent."),
            Field::string("consumer_identifier")
                .one_of(["consumer_id", "custom_id", "username"])
                .description("What consumers are called by."),
        ],
    )
    .check(stat::sample_rate_where_needed())
    .unstated()
}

/// The settings.
#[derive(Debug, Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) host: Option<String>,
    #[serde(default)]
    pub(crate) port: Option<u16>,
    #[serde(default)]
    pub(crate) prefix: Option<String>,
    #[serde(default)]
    pub(crate) service_name_tag: Option<String>,
    #[serde(default)]
    pub(crate) status_tag: Option<String>,
    #[serde(default)]
    pub(crate) consumer_tag: Option<String>,
    #[serde(default)]
    pub(crate) queue_size: Option<usize>,
    #[serde(default)]
    pub(crate) flush_timeout: Option<f64>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) queue: queue::Settings,
    #[serde(default)]
    pub(crate) metrics: Option<Vec<Metric>>,
}

/// A metric.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) stat_type: StatType,
    #[serde(default)]
    pub(crate) tags: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) sample_rate: Option<f64>,
    #[serde(default)]
    pub(crate) consumer_identifier: Option<ConsumerIdentifier>,
}
