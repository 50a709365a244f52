//! Settings of `oauth2`.

use keelgate_entities::schema::{CheckRule, Field, ITEM, PluginSchema};
use serde::Deserialize;
use serde_json::Value;

use crate::registry::VERSION;
use crate::setting::null_as_default;

/// Name of the plugin.
pub(crate) const NAME: &str = "oauth2";

const GRANTS: [&str; 4] = [
    "enable_authorization_code",
    "enable_implicit_grant",
    "enable_client_credentials",
    "enable_password_grant",
];

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    let switch = |name| Field::boolean(name).required().default(false);
    PluginSchema::new(NAME, 1400, VERSION)
        .no_consumer()
        .http_only()
        .fields([
            Field::array("scopes", Field::string(ITEM))
                .description("Scopes that applications may ask for."),
            switch("mandatory_scope").description("Whether applications must ask for a scope."),
            Field::string("provision_key")
                .required()
                .auto()
                .unique()
                .encrypted()
                .description("What proves that it is the login page which speaks for users."),
            Field::number("token_expiration")
                .required()
                .default(7200)
                .description("Seconds that an access token is good for; 0 for any."),
            switch(GRANTS[0]).description("Whether codes are given out, to be exchanged for tokens."),
            switch(GRANTS[1]).description("Whether tokens are given out by redirection."),
            switch(GRANTS[2]).description("Whether applications get tokens for themselves."),
            switch(GRANTS[3]).description("Whether applications that know users' passwords get tokens."),
            switch("hide_credentials")
                .description("Whether the token is removed from the request before it is sent upstream."),
            switch("accept_http_if_already_terminated").description(
                "Whether a trusted proxy may say in X-Forwarded-Proto that the client came over TLS.",
            ),
            Field::string("anonymous").description(
                "Id or username of the consumer that requests without a valid token act as.",
            ),
            switch("global_credentials")
                .description("Whether tokens are good for all services that say so, too."),
            Field::string("auth_header_name")
                .default("authorization")
                .description("The header that carries the token."),
            Field::number("refresh_token_ttl")
                .required()
                .default(1_209_600)
                .between(0.0, 100_000_000.0)
                .description("Seconds after which a token and what refreshes it are gone; 0 for never."),
            switch("reuse_refresh_token")
                .description("Whether what refreshes a token stays the same."),
            Field::string("pkce")
                .optional()
                .default("lax")
                .one_of(["none", "lax", "strict"])
                .description("Whom a proof key for code exchange is asked of: nobody, applications that keep no secret, or all. Who gives one, must prove it."),
            Field::string("realm")
                .optional()
                .description("Realm that the WWW-Authenticate header of a refusal names."),
        ])
        .config_check(CheckRule::conditional(
            "mandatory_scope",
            |field| field.eq(true),
            "scopes",
            Field::required,
        ))
        .custom(check_grants)
}

fn check_grants(config: &Value) -> Result<(), String> {
    let is_on = |name: &str| config.get(name) == Some(&Value::Bool(true));
    if GRANTS.iter().any(|name| is_on(name)) {
        return Ok(());
    }
    let names = GRANTS.join(", ");
    Err(format!(
        "at least one of these fields must be true: {names}"
    ))
}

/// The settings.
#[derive(Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) mandatory_scope: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) provision_key: String,
    pub(crate) token_expiration: f64,
    pub(crate) enable_authorization_code: bool,
    pub(crate) enable_implicit_grant: bool,
    pub(crate) enable_client_credentials: bool,
    pub(crate) enable_password_grant: bool,
    pub(crate) hide_credentials: bool,
    pub(crate) accept_http_if_already_terminated: bool,
    pub(crate) anonymous: Option<String>,
    pub(crate) global_credentials: bool,
    pub(crate) auth_header_name: Option<String>,
    pub(crate) refresh_token_ttl: f64,
    pub(crate) reuse_refresh_token: bool,
    pub(crate) pkce: Option<Pkce>,
    pub(crate) realm: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            scopes: None,
            mandatory_scope: false,
            provision_key: String::new(),
            token_expiration: 7200.0,
            enable_authorization_code: false,
            enable_implicit_grant: false,
            enable_client_credentials: false,
            enable_password_grant: false,
            hide_credentials: false,
            accept_http_if_already_terminated: false,
            anonymous: None,
            global_credentials: false,
            auth_header_name: Some("authorization".to_owned()),
            refresh_token_ttl: 1_209_600.0,
            reuse_refresh_token: false,
            pkce: Some(Pkce::Lax),
            realm: None,
        }
    }
}

/// Whom a proof key for code exchange (RFC 7636) is asked of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pkce {
    /// Nobody.
    None,
    /// Applications that cannot keep a secret.
    Lax,
    /// All applications.
    Strict,
}
