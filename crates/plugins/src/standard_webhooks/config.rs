//! Settings of `standard-webhooks`.

use keelgate_entities::schema::{Field, PluginSchema};
use serde::Deserialize;

use crate::registry::VERSION;

/// Name of the plugin.
pub(crate) const NAME: &str = "standard-webhooks";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 760, VERSION)
        .no_consumer()
        .http_only()
        .fields([
            Field::string("secret_v1")
                .required()
                .referenceable()
                .encrypted()
                .description("Secret that webhooks are signed with."),
            Field::integer("tolerance_second")
                .required()
                .gt(-1.0)
                .default(300)
                .description("Seconds that a webhook may be old, at most."),
        ])
}

/// The settings.
#[derive(Deserialize)]
pub(crate) struct Config {
    pub(crate) secret_v1: String,
    /// Seconds.
    #[serde(default = "five_minutes")]
    pub(crate) tolerance_second: u32,
}

fn five_minutes() -> u32 {
    300
}
