//! Settings of `key-auth`.

use keelgate_entities::schema::{Field, ITEM, PluginSchema, typedefs};
use serde::Deserialize;

use crate::registry::VERSION;

/// Name of the plugin.
pub(crate) const NAME: &str = "key-auth";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 1250, VERSION)
        .no_consumer()
        .http_only()
        .fields([
            Field::array("key_names", typedefs::header_name(ITEM))
                .required()
                .default(vec!["apikey"])
                .description("Names of the headers, query arguments and body fields that are searched for a key."),
            Field::boolean("hide_credentials")
                .required()
                .default(false)
                .description("Whether the key is removed from the request before it is sent upstream."),
            Field::string("anonymous")
                .description("Id or username of the consumer that requests without a valid key act as."),
            Field::boolean("key_in_header")
                .required()
                .default(true)
                .description("Whether headers are searched."),
            Field::boolean("key_in_query")
                .required()
                .default(true)
                .description("Whether the query is searched."),
            Field::boolean("key_in_body")
                .required()
                .default(false)
                .description("Whether the body is searched: URL-encoded forms, multipart forms and JSON."),
            Field::boolean("run_on_preflight")
                .required()
                .default(true)
                .description("Whether OPTIONS requests need a key, too."),
            Field::string("realm").optional()
                .description("Realm that the WWW-Authenticate header of a refusal names."),
        ])
}

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) key_names: Vec<String>,
    pub(crate) hide_credentials: bool,
    pub(crate) anonymous: Option<String>,
    pub(crate) key_in_header: bool,
    pub(crate) key_in_query: bool,
    pub(crate) key_in_body: bool,
    pub(crate) run_on_preflight: bool,
    pub(crate) realm: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            key_names: vec!["apikey".to_owned()],
            hide_credentials: false,
            anonymous: None,
            key_in_header: true,
            key_in_query: true,
            key_in_body: false,
            run_on_preflight: true,
            realm: None,
        }
    }
}
