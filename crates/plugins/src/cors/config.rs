//! Settings of `cors`.

use keelgate_entities::schema::{Field, ITEM, PluginSchema};
use serde::Deserialize;

use crate::registry::VERSION;

/// Name of the plugin.
pub(crate) const NAME: &str = "cors";

const METHODS: [&str; 9] = [
    "GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "TRACE", "CONNECT",
];

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 2000, VERSION)
        .no_consumer()
        .http_only()
        .fields([
            Field::array(
                "origins",
                Field::string(ITEM).custom(check_origin),
            )
            .description("Origins that may call: `*`, origins as they are, or regular expressions; all when unset."),
            Field::array("headers", Field::string(ITEM))
                .description("Request headers that are allowed; those that are asked for when unset."),
            Field::array("exposed_headers", Field::string(ITEM))
                .description("Response headers that pages may read."),
            Field::array("methods", Field::string(ITEM).one_of(METHODS))
                .default(METHODS.to_vec())
                .description("Methods that are allowed."),
            Field::number("max_age")
                .description("Seconds for which a browser may keep the answer to a preflight request."),
            Field::boolean("credentials")
                .required()
                .default(false)
                .description("Whether pages may send cookies and other credentials."),
            Field::boolean("private_network")
                .required()
                .default(false)
                .description("Whether public pages may call into a private network."),
            Field::boolean("preflight_continue")
                .required()
                .default(false)
                .description("Whether the upstream answers preflight requests."),
        ])
}

fn check_origin(origin: &str) -> Result<(), String> {
    if origin == "*" || regex::Regex::new(origin).is_ok() {
        Ok(())
    } else {
        Err(format!("'{origin}' is not a valid regex"))
    }
}

/// The settings.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) origins: Option<Vec<String>>,
    pub(crate) headers: Option<Vec<String>>,
    pub(crate) exposed_headers: Option<Vec<String>>,
    pub(crate) methods: Option<Vec<String>>,
    pub(crate) max_age: Option<f64>,
    pub(crate) credentials: bool,
    pub(crate) private_network: bool,
    pub(crate) preflight_continue: bool,
}

impl Config {
    /// The methods, for `Access-Control-Allow-Methods`.
    pub(crate) fn methods(&self) -> String {
        match &self.methods {
            Some(methods) => methods.join(","),
            None => METHODS.join(","),
        }
    }
}
