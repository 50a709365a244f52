//! Settings of `ldap-auth`.

use keelgate_entities::schema::{CheckRule, Field, PluginSchema, typedefs};
use serde::Deserialize;
use serde_json::Value;

use crate::registry::VERSION;

/// Name of the plugin.
pub(crate) const NAME: &str = "ldap-auth";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 1200, VERSION)
        .no_consumer()
        .http_only()
        .fields([
            typedefs::host("ldap_host").required().description("Host of the LDAP server."),
            typedefs::port("ldap_port").required().default(389),
            Field::boolean("ldaps")
                .required()
                .default(false)
                .description("Whether TLS is spoken from the first byte on; the port is usually 636."),
            Field::boolean("start_tls")
                .required()
                .default(false)
                .description("Whether the connection is turned into TLS before a password is sent."),
            Field::boolean("verify_ldap_host")
                .required()
                .default(false)
                .description("Whether the server's certificate is verified, against lua_ssl_trusted_certificate."),
            Field::string("base_dn")
                .required()
                .description("Where the names are, such as dc=example,dc=com."),
            Field::string("attribute")
                .required()
                .description("The attribute that names are values of, such as cn."),
            Field::number("cache_ttl")
                .required()
                .default(60)
                .description("Seconds that the server's answer counts; 0 to ask it for each request."),
            Field::boolean("hide_credentials")
                .required()
                .default(false)
                .description("Whether name and password are removed before the request is sent upstream."),
            Field::number("timeout")
                .default(10_000)
                .description("Milliseconds to connect in, and for an answer."),
            Field::number("keepalive")
                .default(60_000)
                .description("Milliseconds that a connection is kept while it is not used."),
            Field::string("anonymous")
                .description("Id or username of the consumer that requests without a valid password act as."),
            Field::string("header_type")
                .default("ldap")
                .description("The scheme of the Authorization header."),
            Field::string("realm")
                .optional()
                .description("Realm that the WWW-Authenticate header of a refusal names."),
        ])
        .config_check(
            CheckRule::conditional(
                "ldaps",
                |field| field.eq(Value::Bool(true)),
                "start_tls",
                |field| field.eq(Value::Bool(false)),
            )
            .err("'ldaps' and 'start_tls' cannot be enabled simultaneously"),
        )
}

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) ldap_host: Option<String>,
    pub(crate) ldap_port: u16,
    pub(crate) ldaps: bool,
    pub(crate) start_tls: bool,
    pub(crate) verify_ldap_host: bool,
    pub(crate) base_dn: Option<String>,
    pub(crate) attribute: Option<String>,
    pub(crate) cache_ttl: f64,
    pub(crate) hide_credentials: bool,
    pub(crate) timeout: Option<f64>,
    pub(crate) keepalive: Option<f64>,
    pub(crate) anonymous: Option<String>,
    pub(crate) header_type: Option<String>,
    pub(crate) realm: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ldap_host: None,
            ldap_port: 389,
            ldaps: false,
            start_tls: false,
            verify_ldap_host: false,
            base_dn: None,
            attribute: None,
            cache_ttl: 60.0,
            hide_credentials: false,
            timeout: Some(10_000.0),
            keepalive: Some(60_000.0),
            anonymous: None,
            header_type: Some("ldap".to_owned()),
            realm: None,
        }
    }
}
