//! Settings of `basic-auth`.

use keelgate_entities::schema::{Field, PluginSchema};
use serde::Deserialize;

use crate::registry::VERSION;

/// Name of the plugin.
pub(crate) const NAME: &str = "basic-auth";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 1100, VERSION)
        .no_consumer()
        .http_only()
        .fields([
            Field::string("anonymous").description(
                "Id or username of the consumer that requests without a valid password act as.",
            ),
            Field::boolean("hide_credentials")
                .required()
                .default(false)
                .description(
                    "Whether the password is removed from the request before it is sent upstream.",
                ),
            Field::string("realm")
                .required()
                .default("service")
                .description("Realm that the WWW-Authenticate header of a refusal names."),
        ])
}

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) anonymous: Option<String>,
    pub(crate) hide_credentials: bool,
    pub(crate) realm: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            anonymous: None,
            hide_credentials: false,
            realm: "service".to_owned(),
        }
    }
}
