//! Settings of `jwt`.

use keelgate_entities::schema::{CheckRule, Field, ITEM, PluginSchema};
use serde::Deserialize;

use crate::registry::VERSION;
use crate::setting::null_as_default;

/// Name of the plugin.
pub(crate) const NAME: &str = "jwt";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 1450, VERSION)
        .no_consumer()
        .http_only()
        .fields([
            Field::set("uri_param_names", Field::string(ITEM))
                .default(vec!["jwt"])
                .description("Query arguments that are searched for a token."),
            Field::set("cookie_names", Field::string(ITEM))
                .default(serde_json::Value::Array(Vec::new()))
                .description("Cookies that are searched for a token."),
            Field::string("key_claim_name")
                .default("iss")
                .description("Claim that names the key of a token; failing that, the member of its header with this name."),
            Field::boolean("secret_is_base64")
                .required()
                .default(false)
                .description("Whether the secrets of credentials are written in base64."),
            Field::set("claims_to_verify", Field::string(ITEM).one_of(["exp", "nbf"]).required().len_min(1))
                .description("Claims that must be there and hold: exp, nbf."),
            Field::string("anonymous")
                .description("Id or username of the consumer that requests without a valid token act as."),
            Field::boolean("run_on_preflight")
                .required()
                .default(true)
                .description("Whether OPTIONS requests need a token, too."),
            Field::number("maximum_expiration")
                .default(0)
                .between(0.0, 31_536_000.0)
                .description("Seconds that exp may lie ahead, at most; 0 for any. Needs exp among claims_to_verify."),
            Field::set("header_names", Field::string(ITEM))
                .default(vec!["authorization"])
                .description("Headers that are searched for a token, behind the word Bearer."),
            Field::string("realm")
                .optional()
                .description("Realm that the WWW-Authenticate header of a refusal names."),
        ])
        .check(CheckRule::conditional(
            "config.maximum_expiration",
            |field| field.gt(0.0),
            "config.claims_to_verify",
            |field| field.contains("exp"),
        ))
}

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) uri_param_names: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) cookie_names: Vec<String>,
    pub(crate) key_claim_name: Option<String>,
    pub(crate) secret_is_base64: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) claims_to_verify: Vec<Claim>,
    pub(crate) anonymous: Option<String>,
    pub(crate) run_on_preflight: bool,
    /// Seconds; 0 for any.
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) maximum_expiration: f64,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) header_names: Vec<String>,
    pub(crate) realm: Option<String>,
}

/// A claim whose meaning is known.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Claim {
    /// The time from which on a token is void.
    Exp,
    /// The time from which on a token is valid.
    Nbf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            uri_param_names: vec!["jwt".to_owned()],
            cookie_names: Vec::new(),
            key_claim_name: None,
            secret_is_base64: false,
            claims_to_verify: Vec::new(),
            anonymous: None,
            run_on_preflight: true,
            maximum_expiration: 0.0,
            header_names: vec!["authorization".to_owned()],
            realm: None,
        }
    }
}
