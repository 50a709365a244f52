//! Settings of `syslog`.

use std::collections::BTreeMap;

use keelgate_entities::schema::{Field, PluginSchema};
use serde::Deserialize;

use crate::logging::HTTP;
use crate::logging::fields;
use crate::logging::severity::{self, Severities};
use crate::registry::VERSION;
use crate::setting::null_as_default;

/// Name of the plugin.
pub(crate) const NAME: &str = "syslog";

/// Facilities and their numbers.
const FACILITIES: [(&str, u8); 20] = [
    ("auth", 4),
    ("authpriv", 10),
    ("cron", 9),
    ("daemon", 3),
    ("ftp", 11),
    ("kern", 0),
    ("lpr", 6),
    ("mail", 2),
    ("news", 7),
    ("syslog", 5),
    ("user", 1),
    ("uucp", 8),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 4, VERSION)
        .default_protocols(HTTP)
        .fields(severity::settings(Field::required))
        .fields([
            fields::setting(),
            Field::string("facility")
                .required()
                .default("user")
                .one_of(FACILITIES.map(|(name, _)| name))
                .description("What the machine's log takes the records for."),
        ])
}

/// The settings.
#[derive(Debug, Deserialize)]
pub(crate) struct Config {
    #[serde(flatten)]
    pub(crate) severities: Severities,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) custom_fields_by_lua: BTreeMap<String, String>,
    #[serde(default)]
    facility: Option<String>,
}

impl Config {
    /// The number of the facility.
    pub(crate) fn facility(&self) -> u8 {
        let wanted = self.facility.as_deref().unwrap_or("user");
        let known = FACILITIES.iter().find(|(name, _)| *name == wanted);
        known.map_or(1, |(_, number)| *number)
    }
}
