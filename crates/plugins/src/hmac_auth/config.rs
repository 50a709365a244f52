//! Settings of `hmac-auth`.

use keelgate_entities::schema::{Field, ITEM, PluginSchema};
use serde::Deserialize;

use super::parameters::Algorithm;
use crate::registry::VERSION;
use crate::setting::null_as_default;

/// Name of the plugin.
pub(crate) const NAME: &str = "hmac-auth";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    let algorithms = || Algorithm::ALL.map(Algorithm::name);
    PluginSchema::new(NAME, 1030, VERSION)
        .no_consumer()
        .http_only()
        .fields([
            Field::boolean("hide_credentials")
                .required()
                .default(false)
                .description("Whether the signature is removed from the request before it is sent upstream."),
            Field::number("clock_skew")
                .default(300)
                .gt(0.0)
                .description("Seconds that the date of a request may differ from the clock, which limits how long it can be replayed."),
            Field::string("anonymous")
                .description("Id or username of the consumer that requests without a valid signature act as."),
            Field::boolean("validate_request_body")
                .required()
                .default(false)
                .description("Whether the Digest header must fit the body."),
            Field::array("enforce_headers", Field::string(ITEM))
                .default(serde_json::Value::Array(Vec::new()))
                .description("Headers that a signature must cover."),
            Field::array("algorithms", Field::string(ITEM).one_of(algorithms()))
                .default(algorithms().to_vec())
                .description("Algorithms that signatures may be made with."),
            Field::string("realm")
                .optional()
                .description("Realm that the WWW-Authenticate header of a refusal names."),
        ])
}

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) hide_credentials: bool,
    /// Seconds.
    pub(crate) clock_skew: Option<f64>,
    pub(crate) anonymous: Option<String>,
    pub(crate) validate_request_body: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) enforce_headers: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) realm: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hide_credentials: false,
            clock_skew: Some(300.0),
            anonymous: None,
            validate_request_body: false,
            enforce_headers: Vec::new(),
            algorithms: Algorithm::ALL.to_vec(),
            realm: None,
        }
    }
}
