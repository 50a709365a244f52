//! Settings of `statsd`.

use keelgate_entities::schema::{Field, ITEM, PluginSchema, typedefs};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::logging::HTTP;
use crate::logging::queue;
use crate::logging::stat::{self, ConsumerIdentifier, StatType};
use crate::registry::VERSION;
use crate::setting::null_as_default;

/// Name of the plugin.
pub(crate) const NAME: &str = "statsd";

const METRICS: [&str; 13] = [
    "kong_latency",
    "latency",
    "request_count",
    "request_per_user",
    "request_size",
    "response_size",
    "status_count",
    "status_count_per_user",
    "unique_users",
    "upstream_latency",
    "status_count_per_workspace",
    "status_count_per_user_per_route",
    "shdict_usage",
];

const STAT_TYPES: [&str; 6] = ["counter", "gauge", "histogram", "meter", "set", "timer"];

const CONSUMERS: [&str; 3] = ["consumer_id", "custom_id", "username"];

const SERVICES: [&str; 4] = [
    "service_id",
    "service_name",
    "service_host",
    "service_name_or_host",
];

const WORKSPACES: [&str; 2] = ["workspace_id", "workspace_name"];

/// The metrics that are sent where a configuration names none.
pub(super) fn default_metrics() -> Value {
    json!([
        {"name": "request_count", "stat_type": "counter", "sample_rate": 1},
        {"name": "latency", "stat_type": "timer"},
        {"name": "request_size", "stat_type": "counter", "sample_rate": 1},
        {"name": "status_count", "stat_type": "counter", "sample_rate": 1},
        {"name": "response_size", "stat_type": "counter", "sample_rate": 1},
        {"name": "unique_users", "stat_type": "set"},
        {"name": "request_per_user", "stat_type": "counter", "sample_rate": 1},
        {"name": "upstream_latency", "stat_type": "timer"},
        {"name": "kong_latency", "stat_type": "timer"},
        {"name": "status_count_per_user", "stat_type": "counter", "sample_rate": 1},
        {"name": "status_count_per_workspace", "stat_type": "counter", "sample_rate": 1},
        {"name": "status_count_per_user_per_route", "stat_type": "counter", "sample_rate": 1},
        {"name": "shdict_usage", "stat_type": "gauge", "sample_rate": 1},
    ])
}

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 11, VERSION).default_protocols(HTTP).fields([
        typedefs::host("host")
            .default("localhost")
            .description("Host of the StatsD server."),
        typedefs::port("port")
            .default(8125)
            .description("Port of the StatsD server."),
        Field::string("prefix")
            .default("kong")
            .description("What every metric's name begins with."),
        Field::array("metrics", metric())
            .default(default_metrics())
            .description("What is sent."),
        Field::array(
            "allow_status_codes",
            Field::string(ITEM).matches("^[0-9]+-[0-9]+$"),
        )
        .description("Only requests that are answered with a status in one of these ranges count."),
        Field::number("udp_packet_size")
            .between(0.0, 65_507.0)
            .default(0)
            .description("Metrics are put together into datagrams of so many bytes; each goes by itself for 0."),
        Field::boolean("use_tcp")
            .default(false)
            .description("Whether metrics are sent over TCP."),
        Field::boolean("hostname_in_prefix")
            .default(false)
            .description("Whether the prefix is followed by the name of the machine."),
        Field::string("consumer_identifier_default")
            .required()
            .default("custom_id")
            .one_of(CONSUMERS)
            .description("What consumers are called by, where a metric does not say."),
        Field::string("service_identifier_default")
            .required()
            .default("service_name_or_host")
            .one_of(SERVICES)
            .description("What services are called by, where a metric does not say."),
        Field::string("workspace_identifier_default")
            .required()
            .default("workspace_id")
            .one_of(WORKSPACES)
            .description("What the workspace is called by, where a metric does not say."),
        Field::integer("retry_count").description("Without effect; use queue.max_retry_time."),
        Field::integer("queue_size").description("The old name of queue.max_batch_size."),
        Field::number("flush_timeout")
            .description("The old name of queue.max_coalescing_delay."),
        Field::string("tag_style")
            .optional()
            .one_of(["dogstatsd", "influxdb", "librato", "signalfx"])
            .description("How tags are written; without it, names tell what tags would."),
        queue::setting(),
    ])
}

fn metric() -> Field {
    Field::record(
        ITEM,
        [
            Field::string("name")
                .required()
                .one_of(METRICS)
                .description("What is sent."),
            Field::string("stat_type")
                .required()
                .one_of(STAT_TYPES)
                .description("What sort of number it is."),
            Field::number("sample_rate")
                .gt(0.0)
                .description("What the server is told of how often the metric is sent."),
            Field::string("consumer_identifier")
                .one_of(CONSUMERS)
                .description("What consumers are called by."),
            Field::string("service_identifier")
                .one_of(SERVICES)
                .description("What services are called by."),
            Field::string("workspace_identifier")
                .one_of(WORKSPACES)
                .description("What the workspace is called by."),
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
    pub(crate) metrics: Option<Vec<Metric>>,
    #[serde(default)]
    pub(crate) allow_status_codes: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) udp_packet_size: Option<f64>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) use_tcp: bool,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) hostname_in_prefix: bool,
    #[serde(default)]
    pub(crate) consumer_identifier_default: Option<ConsumerIdentifier>,
    #[serde(default)]
    pub(crate) service_identifier_default: Option<ServiceIdentifier>,
    #[serde(default)]
    pub(crate) workspace_identifier_default: Option<WorkspaceIdentifier>,
    #[serde(default)]
    pub(crate) queue_size: Option<usize>,
    #[serde(default)]
    pub(crate) flush_timeout: Option<f64>,
    #[serde(default)]
    pub(crate) tag_style: Option<TagStyle>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) queue: queue::Settings,
}

/// A metric.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Metric {
    pub(crate) name: String,
    pub(crate) stat_type: StatType,
    #[serde(default)]
    pub(crate) sample_rate: Option<f64>,
    #[serde(default)]
    pub(crate) consumer_identifier: Option<ConsumerIdentifier>,
    #[serde(default)]
    pub(crate) service_identifier: Option<ServiceIdentifier>,
    #[serde(default)]
    pub(crate) workspace_identifier: Option<WorkspaceIdentifier>,
}

/// What a service is called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum ServiceIdentifier {
    #[serde(rename = "service_id")]
    Id,
    #[serde(rename = "service_name")]
    Name,
    #[serde(rename = "service_host")]
    Host,
    #[serde(rename = "service_name_or_host")]
    NameOrHost,
}

/// What the workspace is called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WorkspaceIdentifier {
    WorkspaceId,
    WorkspaceName,
}

/// How tags are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TagStyle {
    Dogstatsd,
    Influxdb,
    Librato,
    Signalfx,
}
