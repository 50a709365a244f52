//! Settings of `request-size-limiting`.

use keelgate_entities::schema::{Field, PluginSchema};
use serde::Deserialize;

use crate::registry::VERSION;

/// Name of the plugin.
pub(crate) const NAME: &str = "request-size-limiting";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 951, VERSION).http_only().fields([
        Field::integer("allowed_payload_size")
            .default(128)
            .description("The greatest body that is let through, in `size_unit`."),
        Field::string("size_unit")
            .required()
            .default("megabytes")
            .one_of(["megabytes", "kilobytes", "bytes"])
            .description("Unit of the limit: 1048576, 1024 or 1 bytes."),
        Field::boolean("require_content_length")
            .required()
            .default(false)
            .description("Whether requests must tell their size beforehand, or be chunked."),
    ])
}

/// The settings.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) allowed_payload_size: Option<i64>,
    pub(crate) size_unit: SizeUnit,
    pub(crate) require_content_length: bool,
}

/// A unit of sizes.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SizeUnit {
    #[default]
    Megabytes,
    Kilobytes,
    Bytes,
}

impl Config {
    /// The limit in bytes.
    pub(crate) fn limit(&self) -> u64 {
        let unit = match self.size_unit {
            SizeUnit::Megabytes => 1024 * 1024,
            SizeUnit::Kilobytes => 1024,
            SizeUnit::Bytes => 1,
        };
        let size = self.allowed_payload_size.unwrap_or(128);
        u64::try_from(size).unwrap_or(0).saturating_mul(unit)
    }
}
