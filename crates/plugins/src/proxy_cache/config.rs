//! Settings of `proxy-cache`.

use keelgate_entities::Object;
use keelgate_entities::schema::{CheckRule, Field, ITEM, PluginSchema};
use serde::Deserialize;

use crate::registry::VERSION;
use crate::setting::null_as_default;

/// Name of the plugin.
pub(crate) const NAME: &str = "proxy-cache";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 100, VERSION)
        .fields([
            Field::array(
                "response_code",
                Field::integer(ITEM).between(100.0, 900.0),
            )
            .required()
            .default(vec![200, 301, 404])
            .len_min(1)
            .description("Statuses of responses that are kept."),
            Field::array(
                "request_method",
                Field::string(ITEM).one_of(["HEAD", "GET", "POST", "PATCH", "PUT"]),
            )
            .required()
            .default(vec!["GET", "HEAD"])
            .description("Methods of requests whose responses are kept."),
            Field::array("content_type", Field::string(ITEM))
                .required()
                .default(vec!["text/plain", "application/json"])
                .description("Media types of responses that are kept, with exactly these parameters; `*` stands for any type or subtype."),
            Field::integer("cache_ttl")
                .default(300)
                .gt(0.0)
                .description("Seconds that a response is good for."),
            Field::string("strategy")
                .required()
                .one_of(["memory"])
                .description("Where responses are kept: in the memory of each node."),
            Field::boolean("cache_control")
                .required()
                .default(false)
                .description("Whether the Cache-Control headers of requests and responses count."),
            Field::boolean("ignore_uri_case")
                .optional()
                .default(false)
                .description("Whether paths that differ only in letter case are the same."),
            Field::integer("storage_ttl").description(
                "Seconds that a response is kept, whatever it is good for.",
            ),
            Field::record(
                "memory",
                [Field::string("dictionary_name")
                    .required()
                    .default("kong_db_cache")
                    .description("Without effect: a node has one store.")],
            ),
            Field::array("vary_query_params", Field::string(ITEM))
                .description("Query arguments that tell requests apart; all, where none is named."),
            Field::array("vary_headers", Field::string(ITEM))
                .description("Headers that tell requests apart."),
            Field::record(
                "response_headers",
                [
                    Field::boolean("age").default(true),
                    Field::boolean("X-Cache-Status").default(true),
                    Field::boolean("X-Cache-Key").default(true),
                ],
            )
            .description("Which headers tell clients about the cache."),
        ])
        .check(CheckRule::custom(&["config"], check_dictionary))
}

/// A configuration names one of the dictionaries that it would find elsewhere.
fn check_dictionary(plugin: &Object) -> Result<(), String> {
    const KNOWN: [&str; 11] = [
        "kong",
        "kong_locks",
        "kong_healthchecks",
        "kong_cluster_events",
        "kong_rate_limiting_counters",
        "kong_core_db_cache",
        "kong_core_db_cache_miss",
        "kong_db_cache",
        "kong_db_cache_miss",
        "kong_secrets",
        "prometheus_metrics",
    ];
    let config = plugin.get("config");
    let memory = config.and_then(|config| config.get("memory"));
    let name = memory.and_then(|memory| memory.get("dictionary_name")?.as_str());
    match name {
        Some(name) if !KNOWN.contains(&name) => Err(format!("missing shared dict '{name}'")),
        _ => Ok(()),
    }
}

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) response_code: Vec<u16>,
    pub(crate) request_method: Vec<String>,
    pub(crate) content_type: Vec<String>,
    /// Seconds.
    pub(crate) cache_ttl: Option<u64>,
    pub(crate) cache_control: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) ignore_uri_case: bool,
    /// Seconds.
    pub(crate) storage_ttl: Option<i64>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) vary_query_params: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) vary_headers: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) response_headers: Told,
}

/// What clients are told.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Told {
    pub(crate) age: Option<bool>,
    #[serde(rename = "X-Cache-Status")]
    pub(crate) status: Option<bool>,
    #[serde(rename = "X-Cache-Key")]
    pub(crate) key: Option<bool>,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            age: Some(true),
            status: Some(true),
            key: Some(true),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self {
            response_code: vec![200, 301, 404],
            request_method: texts(&["GET", "HEAD"]),
            content_type: texts(&["text/plain", "application/json"]),
            cache_ttl: Some(300),
            cache_control: false,
            ignore_uri_case: false,
            storage_ttl: None,
            vary_query_params: Vec::new(),
            vary_headers: Vec::new(),
            response_headers: Told::default(),
        }
    }
}
