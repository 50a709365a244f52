//! Settings of `bot-detection`.

use keelgate_entities::schema::{Field, ITEM, PluginSchema};
use serde::Deserialize;
use serde_json::Value;

use crate::registry::VERSION;
use crate::setting::null_as_default;

/// Name of the plugin.
pub(crate) const NAME: &str = "bot-detection";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    let expressions =
        |name| Field::array(name, Field::string(ITEM).is_regex()).default(Value::Array(Vec::new()));
    PluginSchema::new(NAME, 2500, VERSION)
        .no_consumer()
        .http_only()
        .fields([
            expressions("allow").description(
                "Regular expressions; a User-Agent that one of them finds is let through.",
            ),
            expressions("deny").description(
                "Regular expressions; a User-Agent that one of them finds is refused, unless it is allowed.",
            ),
        ])
}

/// The settings.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) allow: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) deny: Vec<String>,
}
