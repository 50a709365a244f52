//! Settings of `grpc-web`.

use keelgate_entities::schema::{Field, PluginSchema};
use serde::Deserialize;

use crate::registry::VERSION;

/// Name of the plugin.
pub(crate) const NAME: &str = "grpc-web";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 3, VERSION).fields([
        Field::string("proto").description(
            "The .proto file that describes the services; only clients that send JSON need it.",
        ),
        Field::boolean("pass_stripped_path").description(
            "Whether the upstream is sent the path that strip_path has left over, in place of the whole one.",
        ),
        Field::string("allow_origin_header")
            .default("*")
            .description("The Access-Control-Allow-Origin that browsers are told."),
    ])
}

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) proto: Option<String>,
    pub(crate) pass_stripped_path: Option<bool>,
    pub(crate) allow_origin_header: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            proto: None,
            pass_stripped_path: None,
            allow_origin_header: Some("*".to_owned()),
        }
    }
}
