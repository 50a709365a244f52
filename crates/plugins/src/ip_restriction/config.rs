//! Settings of `ip-restriction`.

use keelgate_entities::schema::{CheckRule, Field, ITEM, PluginSchema, typedefs};
use serde::Deserialize;

use crate::registry::VERSION;

/// Name of the plugin.
pub(crate) const NAME: &str = "ip-restriction";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 990, VERSION)
        .default_protocols(&["http", "https", "tcp", "tls", "grpc", "grpcs"])
        .fields([
            Field::array("allow", typedefs::ip_or_cidr(ITEM))
                .description("Addresses and blocks that are let through; all when unset."),
            Field::array("deny", typedefs::ip_or_cidr(ITEM))
                .description("Addresses and blocks that are refused, even if allowed."),
            Field::number("status")
                .optional()
                .description("Status of refusals; 403 when unset."),
            Field::string("message")
                .optional()
                .description("Message of refusals."),
        ])
        .check(CheckRule::at_least_one_of(&["config.allow", "config.deny"]))
}

/// The settings.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) allow: Option<Vec<String>>,
    pub(crate) deny: Option<Vec<String>>,
    pub(crate) status: Option<f64>,
    pub(crate) message: Option<String>,
}
