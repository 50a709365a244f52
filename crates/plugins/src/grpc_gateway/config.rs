//! Settings of `grpc-gateway`.

use keelgate_entities::schema::{Field, PluginSchema};
use serde::Deserialize;

use crate::registry::VERSION;

/// Name of the plugin.
pub(crate) const NAME: &str = "grpc-gateway";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 998, VERSION)
        .default_protocols(&["grpc", "grpcs", "http", "https"])
        .fields([Field::string("proto").optional().description(
            "The .proto file that describes the services, and binds their methods to paths with google.api.http.",
        )])
}

/// The settings.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) proto: Option<String>,
}
