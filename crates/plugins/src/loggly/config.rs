//! Settings of `loggly`.

use std::collections::BTreeMap;

use keelgate_entities::schema::{Field, ITEM, PluginSchema, typedefs};
use serde::Deserialize;

use crate::logging::HTTP;
use crate::logging::fields;
use crate::logging::severity::{self, Severities};
use crate::registry::VERSION;
use crate::setting::null_as_default;

/// Name of the plugin.
pub(crate) const NAME: &str = "loggly";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 6, VERSION)
        .default_protocols(HTTP)
        .fields([
            typedefs::host("host")
                .default("logs-01.loggly.com")
                .description("Host that records are sent to."),
            typedefs::port("port")
                .default(514)
                .description("Port that records are sent to."),
            Field::string("key")
                .required()
                .encrypted()
                .referenceable()
                .description("Token of the customer."),
            Field::set("tags", Field::string(ITEM))
                .default(vec!["kong"])
                .description("Tags of the records."),
        ])
        .fields(severity::settings(|field| field))
        .fields([
            Field::number("timeout")
                .default(10_000)
                .description("Milliseconds that sending records takes, at most."),
            fields::setting(),
        ])
}

/// The settings.
#[derive(Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) host: Option<String>,
    #[serde(default)]
    pub(crate) port: Option<u16>,
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) tags: Option<Vec<String>>,
    #[serde(flatten)]
    pub(crate) severities: Severities,
    /// Milliseconds.
    #[serde(default)]
    pub(crate) timeout: Option<f64>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) custom_fields_by_lua: BTreeMap<String, String>,
}
