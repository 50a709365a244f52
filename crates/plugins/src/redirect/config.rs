//! Settings of `redirect`.

use keelgate_entities::schema::{Field, PluginSchema, typedefs};
use serde::Deserialize;

use crate::registry::VERSION;
use crate::setting;

/// Name of the plugin.
pub(crate) const NAME: &str = "redirect";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 779, VERSION).http_only().fields([
        Field::integer("status_code")
            .required()
            .default(301)
            .between(100.0, 599.0)
            .description("Status of the answer."),
        typedefs::url("location")
            .required()
            .description("Where clients are sent."),
        Field::boolean("keep_incoming_path")
            .default(false)
            .description("Whether path and query are those of the request."),
    ])
}

/// The settings.
#[derive(Debug, Deserialize)]
pub(crate) struct Config {
    #[serde(default = "moved_permanently")]
    pub(crate) status_code: u16,
    pub(crate) location: String,
    #[serde(default, deserialize_with = "setting::null_as_default")]
    pub(crate) keep_incoming_path: bool,
}

fn moved_permanently() -> u16 {
    301
}
