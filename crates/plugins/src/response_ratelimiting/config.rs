//! Settings of `response-ratelimiting`.

use std::collections::BTreeMap;

use keelgate_entities::schema::{CheckRule, Field, ITEM, PluginSchema};
use serde::Deserialize;
use serde_json::Value;

use crate::rate_limiting::config::{Policy, check_policy};
use crate::rate_limiting::period::{self, Period};
use crate::redis;
use crate::registry::VERSION;
use crate::setting::null_as_default;

/// Name of the plugin.
pub(crate) const NAME: &str = "response-ratelimiting";

/// Description of the settings, on nodes that serve without a database.
pub(crate) fn schema() -> PluginSchema {
    described(policy().custom(check_policy))
}

/// The same on nodes that serve with one.
pub(crate) fn schema_with_database() -> PluginSchema {
    described(policy())
}

/// Where costs are counted.
fn policy() -> Field {
    Field::string("policy")
        .default("local")
        .one_of(["local", "cluster", "redis"])
        .description(
            "Where costs are counted: on each node by itself, in the database, or in Redis.",
        )
}

fn described(policy: Field) -> PluginSchema {
    let limit = |period: Period| Field::number(period.setting()).gt(0.0);
    let limits = Field::record(ITEM, Period::ALL.map(limit))
        .required()
        .custom_value(|limits| match period::order_problem(limits) {
            None => Ok(()),
            Some(problem) => Err(format!("the {problem}")),
        })
        .check(CheckRule::at_least_one_of(&[
            "second", "minute", "hour", "day", "month", "year",
        ]));
    let schema = PluginSchema::new(NAME, 900, VERSION).http_only().fields([
        Field::string("header_name")
            .default("x-kong-limit")
            .description("Header of responses that says what they cost: `name=1, other=2`."),
        Field::string("limit_by")
            .default("consumer")
            .one_of(["consumer", "credential", "ip"])
            .description("What tells callers apart; where it is absent, their address does."),
        policy,
        Field::boolean("fault_tolerant")
            .required()
            .default(true)
            .description("Whether requests are let through when costs cannot be counted."),
        redis::schema(),
        Field::boolean("block_on_first_violation")
            .required()
            .default(false)
            .description("Whether requests are refused as soon as one limit is used up, before it is known what they cost."),
        Field::boolean("hide_client_headers")
            .required()
            .default(false)
            .description("Whether responses leave out what remains of the limits."),
        Field::map("limits", Field::string(ITEM), limits)
            .required()
            .len_min(1)
            .description("What may be used up within a calendar window, in UTC, by the names that responses use."),
    ]);
    redis::needed_by_policy(schema)
}

/// The settings that this build uses.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) header_name: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) limit_by: LimitBy,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) policy: Policy,
    pub(crate) fault_tolerant: bool,
    pub(crate) redis: redis::Settings,
    pub(crate) block_on_first_violation: bool,
    pub(crate) hide_client_headers: bool,
    /// By name, then by period.
    pub(crate) limits: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            header_name: Some("x-kong-limit".to_owned()),
            limit_by: LimitBy::default(),
            policy: Policy::default(),
            fault_tolerant: true,
            redis: redis::Settings::default(),
            block_on_first_violation: false,
            hide_client_headers: false,
            limits: BTreeMap::new(),
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
}
