//! Settings of `acme`.

use keelgate_entities::Object;
use keelgate_entities::schema::{CheckRule, Field, ITEM, PluginSchema, Shorthand, Type, typedefs};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::redis;
use crate::registry::VERSION;
use crate::setting::null_as_default;

/// Name of the plugin.
pub(crate) const NAME: &str = "acme";

/// Keys of the storage that are not those of challenges.
const RESERVED: [&str; 3] = [
    "kong_acme:renew_config:",
    "kong_acme:renew_last_run",
    "kong_acme:cert_key:",
];

/// Why `storage: kong` is refused where the node that serves has no database.
pub(crate) const NO_DATABASE: &str = "\"kong\" storage can't be used without a database on the nodes that serve; use 'redis', 'consul' or 'vault'";

/// Description of the settings, for nodes without a database and those that configure them.
pub(crate) fn schema() -> PluginSchema {
    described(|storage| match storage {
        "kong" => Err(NO_DATABASE.to_owned()),
        _ => Ok(()),
    })
}

/// The same for nodes that serve with a database.
pub(crate) fn schema_with_database() -> PluginSchema {
    described(|_| Ok(()))
}

fn described(check_storage: fn(&str) -> Result<(), String>) -> PluginSchema {
    let needed = |field| {
        CheckRule::conditional(
            "config.storage",
            |storage| storage.eq("redis"),
            field,
            Field::required,
        )
    };
    PluginSchema::new(NAME, 1705, VERSION)
        .no_consumer()
        .no_service()
        .no_route()
        .http_only()
        .fields([
            Field::string("account_email")
                .required()
                .matches("[A-Za-z0-9]*[[:punct:]]*@+[A-Za-z0-9]*\\.?[A-Za-z0-9]*")
                .encrypted()
                .referenceable()
                .description("Mail address that the account is known by."),
            Field::record(
                "account_key",
                [
                    Field::string("key_id").required(),
                    Field::string("key_set"),
                ],
            )
            .optional()
            .custom_value(check_account_key)
            .description("Not used by this build: accounts have keys of their own."),
            typedefs::url("api_uri")
                .default("https://acme-v02.api.letsencrypt.org/directory")
                .description("The authority's directory."),
            Field::boolean("tos_accepted")
                .default(false)
                .description("Whether the terms of service of the authority are agreed to."),
            Field::string("eab_kid")
                .encrypted()
                .referenceable()
                .description("Id of the key that binds the account to another one, where the authority asks for it."),
            Field::string("eab_hmac_key")
                .encrypted()
                .referenceable()
                .description("That key, in base64 for URLs."),
            Field::string("cert_type")
                .default("rsa")
                .one_of(["rsa", "ecc"])
                .description("The kind of key that certificates are for."),
            Field::number("rsa_key_size")
                .default(4096)
                .one_of([2048, 3072, 4096])
                .description("Bits of RSA keys."),
            Field::number("renew_threshold_days")
                .default(14)
                .description("Days before its end that a certificate is renewed."),
            Field::array("domains", typedefs::host_pattern(ITEM))
                .description("Names that there may be certificates for; * stands for any first part."),
            Field::boolean("allow_any_domain")
                .default(false)
                .description("Whether there may be certificates for whatever name clients ask for."),
            Field::number("fail_backoff_minutes")
                .default(5)
                .description("Minutes before the authority is asked again after a failure."),
            Field::string("storage")
                .default("shm")
                .one_of(["kong", "shm", "redis", "consul", "vault"])
                .custom(check_storage)
                .description("Where certificates are kept: in the memory of the node (shm), in its database (kong), in Redis, Consul or Vault."),
            storage_config(),
            Field::string("preferred_chain")
                .description("Common name of who has issued the last certificate of the chain that is preferred, where the authority offers several."),
            Field::boolean("enable_ipv4_common_name")
                .default(true)
                .description("Whether there may be certificates for addresses."),
        ])
        .check(
            CheckRule::conditional(
                "config.api_uri",
                |uri| {
                    uri.one_of([
                        "https://acme-v02.api.letsencrypt.org",
                        "https://acme-staging-v02.api.letsencrypt.org",
                    ])
                },
                "config.tos_accepted",
                |accepted| accepted.eq(Value::Bool(true)),
            )
            .err("terms of service must be accepted, see https://letsencrypt.org/repository/"),
        )
        .check(needed("config.storage_config.redis.host"))
        .check(needed("config.storage_config.redis.port"))
}

fn storage_config() -> Field {
    let shm = [Field::string("shm_name")
        .default("kong")
        .description("Without effect: a node has one memory.")];
    let consul = [
        Field::boolean("https")
            .default(false)
            .description("Whether TLS is spoken."),
        typedefs::host("host"),
        typedefs::port("port"),
        Field::string("kv_path").description("Goes before all keys; `acme` unless set."),
        Field::number("timeout").description("Milliseconds for one question; 2000 unless set."),
        Field::string("token")
            .referenceable()
            .description("What the server knows the node by."),
    ];
    let vault = [
        Field::boolean("https")
            .default(false)
            .description("Whether TLS is spoken."),
        typedefs::host("host"),
        typedefs::port("port"),
        Field::string("kv_path").description("Goes before all keys; `acme` unless set."),
        Field::number("timeout").description("Milliseconds for one question; 2000 unless set."),
        Field::string("token")
            .referenceable()
            .description("What the server knows the node by."),
        Field::boolean("tls_verify").default(true),
        Field::string("tls_server_name"),
        Field::string("auth_method")
            .default("token")
            .one_of(["token", "kubernetes"]),
        Field::string("auth_path"),
        Field::string("auth_role"),
        Field::string("jwt_path"),
    ];
    Field::record(
        "storage_config",
        [
            Field::record("shm", shm),
            Field::record("kong", []),
            redis_config(),
            Field::record("consul", consul),
            Field::record("vault", vault),
        ],
    )
    .description("Settings of each storage; those of the chosen one count.")
}

fn redis_config() -> Field {
    let options = Field::record(
        "extra_options",
        [
            Field::string("namespace")
                .required()
                .default("")
                .len_min(0)
                .custom(check_namespace)
                .description("Goes before all keys."),
            Field::number("scan_count")
                .optional()
                .default(10)
                .description("Keys that Redis looks at in one go where all are listed."),
        ],
    );
    let mut redis = redis::schema().description("Where Redis is, for `storage: redis`.");
    if let Type::Record(record) = &mut redis.kind {
        record.fields.push(options);
    }
    redis
        .shorthand(
            Shorthand::new(Field::string("auth").len_min(0), |value| {
                member("password", value)
            })
            .replaced_with(&["password"]),
        )
        .shorthand(
            Shorthand::new(Field::string("ssl_server_name"), |value| {
                member("server_name", value)
            })
            .replaced_with(&["server_name"]),
        )
        .shorthand(
            Shorthand::new(Field::string("namespace").len_min(0), |value| {
                option("namespace", value)
            })
            .replaced_with(&["extra_options", "namespace"]),
        )
        .shorthand(
            Shorthand::new(Field::integer("scan_count"), |value| {
                option("scan_count", value)
            })
            .replaced_with(&["extra_options", "scan_count"]),
        )
}

fn member(name: &str, value: &Value) -> Object {
    Object::from_iter([(name.to_owned(), value.clone())])
}

fn option(name: &str, value: &Value) -> Object {
    Object::from_iter([("extra_options".to_owned(), json!({ name: value }))])
}

fn check_namespace(namespace: &str) -> Result<(), String> {
    match RESERVED.iter().find(|word| namespace.starts_with(**word)) {
        Some(word) => Err(format!(
            "namespace can't be prefixed with reserved word: {word}"
        )),
        None => Ok(()),
    }
}

/// Refused when it is written: the account would have another key than is thought.
fn check_account_key(key: &Value) -> Result<(), String> {
    match key {
        Value::Null => Ok(()),
        _ => Err("keys of key sets are not used for accounts by this build".to_owned()),
    }
}

/// The settings.
#[derive(Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) account_email: String,
    pub(crate) account_key: Option<Value>,
    pub(crate) api_uri: Option<String>,
    pub(crate) tos_accepted: Option<bool>,
    pub(crate) eab_kid: Option<String>,
    pub(crate) eab_hmac_key: Option<String>,
    pub(crate) cert_type: Option<String>,
    pub(crate) rsa_key_size: Option<f64>,
    pub(crate) renew_threshold_days: Option<f64>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) domains: Vec<String>,
    pub(crate) allow_any_domain: Option<bool>,
    pub(crate) fail_backoff_minutes: Option<f64>,
    pub(crate) storage: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) storage_config: StorageConfig,
    pub(crate) preferred_chain: Option<String>,
    pub(crate) enable_ipv4_common_name: Option<bool>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            account_email: String::new(),
            account_key: None,
            api_uri: Some("https://acme-v02.api.letsencrypt.org/directory".to_owned()),
            tos_accepted: None,
            eab_kid: None,
            eab_hmac_key: None,
            cert_type: Some("rsa".to_owned()),
            rsa_key_size: Some(4096.0),
            renew_threshold_days: Some(14.0),
            domains: Vec::new(),
            allow_any_domain: None,
            fail_backoff_minutes: Some(5.0),
            storage: Some("shm".to_owned()),
            storage_config: StorageConfig::default(),
            preferred_chain: None,
            enable_ipv4_common_name: Some(true),
        }
    }
}

/// Settings of the storages.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct StorageConfig {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) redis: RedisConfig,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) consul: ServerConfig,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) vault: VaultConfig,
}

/// Settings of Consul as a storage, and those of Vault that are the same.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ServerConfig {
    pub(crate) https: Option<bool>,
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) kv_path: Option<String>,
    /// Milliseconds.
    pub(crate) timeout: Option<f64>,
    pub(crate) token: Option<String>,
}

/// Settings of Vault as a storage.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct VaultConfig {
    #[serde(flatten)]
    pub(crate) server: ServerConfig,
    pub(crate) tls_verify: Option<bool>,
    pub(crate) tls_server_name: Option<String>,
    pub(crate) auth_method: Option<String>,
    pub(crate) auth_path: Option<String>,
    pub(crate) auth_role: Option<String>,
    pub(crate) jwt_path: Option<String>,
}

/// Settings of Redis as a storage.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct RedisConfig {
    #[serde(flatten)]
    pub(crate) server: redis::Settings,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) extra_options: ExtraOptions,
}

/// What only a storage needs of Redis.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct ExtraOptions {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) namespace: String,
    pub(crate) scan_count: Option<f64>,
}
