//! Settings of `file-log`.

use std::collections::BTreeMap;

use keelgate_entities::schema::{Field, PluginSchema};
use serde::Deserialize;

use crate::logging::HTTP;
use crate::logging::fields;
use crate::registry::VERSION;
use crate::setting::null_as_default;

/// Name of the plugin.
pub(crate) const NAME: &str = "file-log";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 9, VERSION)
        .default_protocols(HTTP)
        .fields([
            Field::string("path")
                .required()
                .matches(r"^[^*&%\\`]+$")
                .err("not a valid filename")
                .description("The file; it is made if it does not exist."),
            Field::boolean("reopen")
                .required()
                .default(false)
                .description("Whether the file is opened anew for every record."),
            fields::setting(),
        ])
}

/// The settings.
#[derive(Debug, Deserialize)]
pub(crate) struct Config {
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) reopen: bool,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) custom_fields_by_lua: BTreeMap<String, String>,
}
