//! Settings of `tcp-log`.

use std::collections::BTreeMap;

use keelgate_entities::schema::{Field, PluginSchema, typedefs};
use serde::Deserialize;

use crate::logging::HTTP;
use crate::logging::fields;
use crate::registry::VERSION;
use crate::setting::null_as_default;

/// Name of the plugin.
pub(crate) const NAME: &str = "tcp-log";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 7, VERSION)
        .default_protocols(HTTP)
        .fields([
            typedefs::host("host")
                .required()
                .description("Host that records are sent to."),
            typedefs::port("port")
                .required()
                .description("Port that records are sent to."),
            Field::number("timeout")
                .default(10_000)
                .description("Milliseconds that sending records takes, at most."),
            Field::number("keepalive")
                .default(60_000)
                .description("Milliseconds that an idle connection is kept."),
            Field::boolean("tls")
                .required()
                .default(false)
                .description("Whether records are sent over TLS."),
            Field::string("tls_sni").description(
                "Name that the receiver's certificate is verified for, instead of its host.",
            ),
            fields::setting(),
        ])
}

/// The settings.
#[derive(Debug, Deserialize)]
pub(crate) struct Config {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Milliseconds.
    #[serde(default)]
    pub(crate) timeout: Option<f64>,
    /// Milliseconds.
    #[serde(default)]
    pub(crate) keepalive: Option<f64>,
    #[serde(default)]
    pub(crate) tls: bool,
    #[serde(default)]
    pub(crate) tls_sni: Option<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) custom_fields_by_lua: BTreeMap<String, String>,
}
