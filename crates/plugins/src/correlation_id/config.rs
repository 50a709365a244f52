//! Settings of `correlation-id`.

use keelgate_entities::schema::{Field, PluginSchema};
use serde::Deserialize;

use crate::registry::VERSION;

/// Name of the plugin.
pub(crate) const NAME: &str = "correlation-id";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 100_001, VERSION)
        .http_only()
        .fields([
            Field::string("header_name")
                .default("Kong-Request-ID")
                .description("The header that carries the id."),
            Field::string("generator")
                .required()
                .default("uuid#counter")
                .one_of(["uuid", "uuid#counter", "tracker"])
                .description("How an id is made for requests that bring none."),
            Field::boolean("echo_downstream")
                .required()
                .default(false)
                .description("Whether the response carries the id, too."),
        ])
}

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) header_name: Option<String>,
    pub(crate) generator: Generator,
    pub(crate) echo_downstream: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            header_name: Some("Kong-Request-ID".to_owned()),
            generator: Generator::Counter,
            echo_downstream: false,
        }
    }
}

/// How an id is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Generator {
    /// A random UUID.
    #[serde(rename = "uuid")]
    Uuid,
    /// The UUID of the worker thread and a count.
    #[serde(rename = "uuid#counter")]
    Counter,
    /// Addresses, process, connection and time.
    #[serde(rename = "tracker")]
    Tracker,
}
