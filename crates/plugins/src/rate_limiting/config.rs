//! Settings of `rate-limiting`.

use keelgate_entities::schema::{CheckRule, Field, PluginSchema, typedefs};
use serde::Deserialize;
use serde_json::Value;

use super::period::{self, Period};
use crate::registry::VERSION;
use crate::{redis, setting};

/// Name of the plugin.
pub(crate) const NAME: &str = "rate-limiting";

/// Why nothing is counted in the database.
pub(crate) const NO_DATABASE: &str = "'cluster' counts in the database of the node that serves, which this node has not: expected one \
     of: local, redis";

/// Description of the settings, on nodes that serve without a database.
pub(crate) fn schema() -> PluginSchema {
    described(policy().custom(check_policy))
}

/// The same on nodes that serve with one.
pub(crate) fn schema_with_database() -> PluginSchema {
    described(policy())
}

/// Where requests are counted.
fn policy() -> Field {
    Field::string("policy")
        .default("local")
        .len_min(0)
        .one_of(["local", "cluster", "redis"])
        .description(
            "Where requests are counted: on each node by itself, in the database, or in Redis.",
        )
}

fn described(policy: Field) -> PluginSchema {
    let schema = PluginSchema::new(NAME, 910, VERSION)
        .http_only()
        .fields(Period::ALL.map(|period| {
            Field::number(period.setting()).gt(0.0).description(
                "Requests that are let through within one calendar window of this length, in UTC.",
            )
        }))
        .fields([
            Field::string("limit_by")
                .default("consumer")
                .one_of(["consumer", "credential", "ip", "service", "header", "path"])
                .description("What tells callers apart; where it is absent, their address does."),
            typedefs::header_name("header_name").description("The header for `limit_by: header`."),
            typedefs::path("path").description("The path for `limit_by: path`."),
            policy,
            Field::boolean("fault_tolerant")
                .required()
                .default(true)
                .description("Whether requests are let through when they cannot be counted."),
            redis::schema(),
            Field::boolean("hide_client_headers")
                .required()
                .default(false)
                .description("Whether responses leave out what remains of the limits."),
            Field::number("error_code")
                .default(429)
                .gt(0.0)
                .description("Status of refusals."),
            Field::string("error_message")
                .default("API rate limit exceeded")
                .description("Message of refusals."),
            Field::number("sync_rate")
                .required()
                .default(-1)
                .description(
                    "Seconds between two synchronisations with Redis; -1 for every request.",
                ),
        ])
        .custom(check_limits)
        .check(CheckRule::at_least_one_of(&[
            "config.second",
            "config.minute",
            "config.hour",
            "config.day",
            "config.month",
            "config.year",
        ]));
    redis::needed_by_policy(schema)
        .check(CheckRule::conditional(
            "config.limit_by",
            |field| field.eq("header"),
            "config.header_name",
            Field::required,
        ))
        .check(CheckRule::conditional(
            "config.limit_by",
            |field| field.eq("path"),
            "config.path",
            Field::required,
        ))
}

/// Refused when it is written, as on Kong's nodes without a database.
pub(crate) fn check_policy(policy: &str) -> Result<(), String> {
    match policy {
        "local" | "redis" => Ok(()),
        _ => Err("expected one of: local, redis".to_owned()),
    }
}

/// A longer window cannot have a lower limit, and only Redis is synchronised with.
fn check_limits(config: &Value) -> Result<(), String> {
    if let Some(problem) = period::order_problem(config) {
        return Err(format!("The {problem}"));
    }
    let redis = config.get("policy").and_then(Value::as_str) == Some("redis");
    let sync_rate = config.get("sync_rate").and_then(Value::as_f64);
    match sync_rate {
        Some(rate) if rate != -1.0 && !redis => {
            Err("sync_rate can only be used with the redis policy".to_owned())
        }
        Some(rate) if rate != -1.0 && rate < 0.02 => {
            Err("sync_rate must be greater than 0.02, or -1 to disable".to_owned())
        }
        _ => Ok(()),
    }
}

/// The settings that this build uses.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) second: Option<f64>,
    pub(crate) minute: Option<f64>,
    pub(crate) hour: Option<f64>,
    pub(crate) day: Option<f64>,
    pub(crate) month: Option<f64>,
    pub(crate) year: Option<f64>,
    #[serde(deserialize_with = "setting::null_as_default")]
    pub(crate) limit_by: LimitBy,
    pub(crate) header_name: Option<String>,
    pub(crate) path: Option<String>,
    #[serde(deserialize_with = "setting::null_as_default")]
    pub(crate) policy: Policy,
    pub(crate) fault_tolerant: bool,
    pub(crate) redis: redis::Settings,
    /// Seconds between two synchronisations with Redis; none for less than nothing.
    pub(crate) sync_rate: f64,
    pub(crate) hide_client_headers: bool,
    pub(crate) error_code: Option<f64>,
    pub(crate) error_message: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            second: None,
            minute: None,
            hour: None,
            day: None,
            month: None,
            year: None,
            limit_by: LimitBy::default(),
            header_name: None,
            path: None,
            policy: Policy::default(),
            fault_tolerant: true,
            redis: redis::Settings::default(),
            sync_rate: -1.0,
            hide_client_headers: false,
            error_code: Some(429.0),
            error_message: Some("API rate limit exceeded".to_owned()),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LimitBy {
    #[default]
    Consumer,
    Credential,
    Ip,
    Service,
    Header,
    Path,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Policy {
    #[default]
    Local,
    Cluster,
    Redis,
}
