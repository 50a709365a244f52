//! Settings of `azure-functions`.

use keelgate_entities::schema::{Field, PluginSchema};
use serde::Deserialize;

use crate::logging::HTTP;
use crate::registry::VERSION;

/// Name of the plugin.
pub(crate) const NAME: &str = "azure-functions";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 749, VERSION)
        .default_protocols(HTTP)
        .fields([
            Field::number("timeout")
                .default(600_000)
                .description("Milliseconds to connect in, and that the function may be silent for."),
            Field::number("keepalive")
                .default(60_000)
                .description("Milliseconds that a connection is kept while it is not used."),
            Field::boolean("https")
                .default(true)
                .description("Whether the function is called over TLS."),
            Field::boolean("https_verify")
                .default(false)
                .description("Whether the certificate of the function's host is verified, against lua_ssl_trusted_certificate."),
            Field::string("apikey")
                .encrypted()
                .referenceable()
                .description("Key of the function, sent as x-functions-key."),
            Field::string("clientid")
                .encrypted()
                .referenceable()
                .description("Client id, sent as x-functions-clientid."),
            Field::string("appname")
                .required()
                .description("Name of the app that the function belongs to."),
            Field::string("hostdomain")
                .required()
                .default("azurewebsites.net")
                .description("Domain that the app's name stands before."),
            Field::string("routeprefix")
                .default("api")
                .description("First part of the function's path."),
            Field::string("functionname")
                .required()
                .description("Name of the function: the rest of its path."),
        ])
}

/// The settings.
#[derive(Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    /// Milliseconds.
    pub(crate) timeout: Option<f64>,
    /// Milliseconds.
    pub(crate) keepalive: Option<f64>,
    pub(crate) https: Option<bool>,
    pub(crate) https_verify: Option<bool>,
    pub(crate) apikey: Option<String>,
    pub(crate) clientid: Option<String>,
    pub(crate) appname: Option<String>,
    pub(crate) hostdomain: String,
    pub(crate) routeprefix: Option<String>,
    pub(crate) functionname: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: Some(600_000.0),
            keepalive: Some(60_000.0),
            https: Some(true),
            https_verify: Some(false),
            apikey: None,
            clientid: None,
            appname: None,
            hostdomain: "azurewebsites.net".to_owned(),
            routeprefix: Some("api".to_owned()),
            functionname: None,
        }
    }
}
