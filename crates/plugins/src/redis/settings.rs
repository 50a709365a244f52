//! Settings of Redis servers.

use keelgate_entities::Object;
use std::fmt;

use keelgate_entities::schema::{CheckRule, Field, PluginSchema, Shorthand, typedefs};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::setting::null_as_default;

/// Where Redis is, and how to speak with it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    /// Milliseconds to connect in, and for an answer.
    pub(crate) timeout: Option<u64>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) database: i64,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) ssl: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) ssl_verify: bool,
    /// Whom the certificate must name, where it is not the host.
    pub(crate) server_name: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: None,
            port: Some(6379),
            timeout: Some(2000),
            username: None,
            password: None,
            database: 0,
            ssl: false,
            ssl_verify: false,
            server_name: None,
        }
    }
}

/// Leaves the password out.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("database", &self.database)
            .field("ssl", &self.ssl)
            .finish_non_exhaustive()
    }
}

/// Their description.
pub(crate) fn schema() -> Field {
    Field::record(
        "redis",
        [
            typedefs::host("host").description("Host of the Redis server."),
            typedefs::port("port").default(6379),
            typedefs::timeout("timeout").default(2000),
            Field::string("username").referenceable(),
            Field::string("password")
                .encrypted()
                .referenceable()
                .len_min(0),
            Field::integer("database").default(0),
            Field::boolean("ssl").optional().default(false),
            Field::boolean("ssl_verify").optional().default(false),
            typedefs::sni("server_name").optional(),
        ],
    )
    .description("Where Redis is, for `policy: redis`.")
}

/// The names that the settings had before they became a record.
fn old_settings() -> [Shorthand; 9] {
    [
        Shorthand::new(Field::string("redis_host"), |v| moved("host", v))
            .replaced_with(&["redis", "host"]),
        Shorthand::new(Field::integer("redis_port"), |v| moved("port", v))
            .replaced_with(&["redis", "port"]),
        Shorthand::new(Field::string("redis_password").len_min(0), |v| {
            moved("password", v)
        })
        .replaced_with(&["redis", "password"]),
        Shorthand::new(Field::string("redis_username"), |v| moved("username", v))
            .replaced_with(&["redis", "username"]),
        Shorthand::new(Field::boolean("redis_ssl"), |v| moved("ssl", v))
            .replaced_with(&["redis", "ssl"]),
        Shorthand::new(Field::boolean("redis_ssl_verify"), |v| {
            moved("ssl_verify", v)
        })
        .replaced_with(&["redis", "ssl_verify"]),
        Shorthand::new(Field::string("redis_server_name"), |v| {
            moved("server_name", v)
        })
        .replaced_with(&["redis", "server_name"]),
        Shorthand::new(Field::integer("redis_timeout"), |v| moved("timeout", v))
            .replaced_with(&["redis", "timeout"]),
        Shorthand::new(Field::integer("redis_database"), |v| moved("database", v))
            .replaced_with(&["redis", "database"]),
    ]
}

fn moved(name: &str, value: &Value) -> Object {
    let mut fields = Object::new();
    fields.insert("redis".to_owned(), json!({ name: value }));
    fields
}

/// Adds what a plugin needs whose `policy` may be `redis`: the old names of the settings, and that
/// they are there when they are used.
pub(crate) fn needed_by_policy(schema: PluginSchema) -> PluginSchema {
    let needed = [
        "config.redis.host",
        "config.redis.port",
        "config.redis.timeout",
    ];
    let schema = needed.into_iter().fold(schema, |schema, field| {
        schema.check(CheckRule::conditional(
            "config.policy",
            |policy| policy.eq("redis"),
            field,
            Field::required,
        ))
    });
    old_settings()
        .into_iter()
        .fold(schema, PluginSchema::shorthand)
}
