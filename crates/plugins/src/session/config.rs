//! Settings of `session`.

use std::sync::OnceLock;

use aws_lc_rs::rand;
use keelgate_entities::Object;
use keelgate_entities::schema::{Field, ITEM, PluginSchema, Shorthand};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::registry::VERSION;
use crate::setting::null_as_default;

/// Name of the plugin.
pub(crate) const NAME: &str = "session";

/// Description of the settings, on nodes that serve without a database.
pub(crate) fn schema() -> PluginSchema {
    described(storage().custom(check_storage))
}

/// The same on nodes that serve with one.
pub(crate) fn schema_with_database() -> PluginSchema {
    described(storage())
}

/// Where the content of sessions is.
fn storage() -> Field {
    Field::string("storage")
        .default("cookie")
        .one_of(["cookie", "kong"])
        .description("Where the content of sessions is: in their cookies, or in the database.")
}

fn described(storage: Field) -> PluginSchema {
    let headers = |name| {
        Field::set(
            name,
            Field::string(ITEM).one_of([
                "id",
                "audience",
                "subject",
                "timeout",
                "idling-timeout",
                "rolling-timeout",
                "absolute-timeout",
            ]),
        )
    };
    let seconds = |name, default: u32| Field::number(name).default(default);
    PluginSchema::new(NAME, 1900, VERSION)
        .default_protocols(&["grpc", "grpcs", "http", "https"])
        .no_consumer()
        .fields([
            Field::string("secret")
                .optional()
                .default(random_secret())
                .encrypted()
                .referenceable()
                .description("What cookies are sealed with; nodes that share sessions share it."),
            storage,
            Field::string("audience")
                .default("default")
                .description("Whom sessions are for; those for others are not opened."),
            seconds("idling_timeout", 900)
                .description("Seconds without a request after which a session is over; 0 for any."),
            seconds("rolling_timeout", 3600).description(
                "Seconds after which a session that was not renewed is over; 0 for any.",
            ),
            seconds("absolute_timeout", 86_400)
                .description("Seconds after which a session is over; 0 for any."),
            seconds("stale_ttl", 10)
                .description("Seconds that a session which was renewed is still known by its old cookie; without effect where sessions are in their cookies."),
            Field::string("cookie_name")
                .default("session")
                .description("Name of the cookie."),
            Field::string("cookie_path")
                .default("/")
                .description("Paths that the cookie is sent for."),
            Field::string("cookie_domain")
                .description("Hosts that the cookie is sent to, beside its own."),
            Field::string("cookie_same_site")
                .default("Strict")
                .one_of(["Strict", "Lax", "None", "Default"])
                .description("Whether the cookie is sent with requests that other sites cause."),
            Field::boolean("cookie_http_only")
                .default(true)
                .description("Whether the cookie is hidden from scripts."),
            Field::boolean("cookie_secure")
                .default(true)
                .description("Whether the cookie is sent over TLS only."),
            Field::boolean("remember").default(false).description(
                "Whether a second cookie outlasts the browser, and opens new sessions.",
            ),
            Field::string("remember_cookie_name")
                .default("remember")
                .description("Name of the second cookie."),
            seconds("remember_rolling_timeout", 604_800).description(
                "Seconds after which a second cookie that was not renewed is over; 0 for any.",
            ),
            seconds("remember_absolute_timeout", 2_592_000)
                .description("Seconds after which a second cookie is over; 0 for any."),
            headers("response_headers").description("What the client is told of the session."),
            headers("request_headers").description("What the upstream is told of the session."),
            Field::boolean("read_body_for_logout")
                .default(false)
                .description("Whether a field of the body ends the session, too."),
            Field::set(
                "logout_methods",
                Field::string(ITEM).one_of(["GET", "POST", "DELETE"]),
            )
            .default(vec!["POST", "DELETE"])
            .description("Methods of requests that may end the session."),
            Field::string("logout_query_arg")
                .default("session_logout")
                .description("The query argument that ends the session."),
            Field::string("logout_post_arg")
                .default("session_logout")
                .description("The field of the body that ends the session."),
        ])
        .shorthand(Shorthand::new(Field::number("cookie_lifetime"), |value| {
            renamed("rolling_timeout", value)
        }))
        .shorthand(Shorthand::new(
            Field::number("cookie_idletime"),
            |value| match value {
                Value::Null => renamed("idling_timeout", &json!(0)),
                value => renamed("idling_timeout", value),
            },
        ))
        .shorthand(Shorthand::new(Field::number("cookie_renew"), |_| {
            Object::new()
        }))
        .shorthand(Shorthand::new(Field::number("cookie_discard"), |value| {
            renamed("stale_ttl", value)
        }))
        .shorthand(Shorthand::new(
            Field::string("cookie_samesite"),
            |value| match value.as_str() {
                Some("off") => renamed("cookie_same_site", &json!("Lax")),
                _ => renamed("cookie_same_site", value),
            },
        ))
        .shorthand(Shorthand::new(Field::boolean("cookie_httponly"), |value| {
            renamed("cookie_http_only", value)
        }))
        .shorthand(Shorthand::new(
            Field::boolean("cookie_persistent"),
            |value| renamed("remember", value),
        ))
}

fn renamed(name: &str, value: &Value) -> Object {
    let mut fields = Object::new();
    fields.insert(name.to_owned(), value.clone());
    fields
}

/// Why no session is kept in the database.
pub(crate) const NO_DATABASE: &str =
    "'kong' is the database of the node that serves, which this node has not; use 'cookie'";

/// Refused when it is written: no node would find a session again.
fn check_storage(storage: &str) -> Result<(), String> {
    match storage {
        "kong" => Err(NO_DATABASE.to_owned()),
        _ => Ok(()),
    }
}

/// Where no secret is set: one for the life of this process.
fn random_secret() -> &'static str {
    static SECRET: OnceLock<String> = OnceLock::new();
    SECRET.get_or_init(|| {
        let mut bytes = [0; 22];
        rand::fill(&mut bytes).expect("the system gives random bytes");
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    })
}

/// The settings.
#[derive(Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) secret: Option<String>,
    pub(crate) storage: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) audience: String,
    pub(crate) idling_timeout: Option<f64>,
    pub(crate) rolling_timeout: Option<f64>,
    pub(crate) absolute_timeout: Option<f64>,
    pub(crate) stale_ttl: Option<f64>,
    pub(crate) cookie_name: Option<String>,
    pub(crate) cookie_path: Option<String>,
    pub(crate) cookie_domain: Option<String>,
    pub(crate) cookie_same_site: Option<SameSite>,
    pub(crate) cookie_http_only: Option<bool>,
    pub(crate) cookie_secure: Option<bool>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) remember: bool,
    pub(crate) remember_cookie_name: Option<String>,
    pub(crate) remember_rolling_timeout: Option<f64>,
    pub(crate) remember_absolute_timeout: Option<f64>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) response_headers: Vec<Told>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) request_headers: Vec<Told>,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) read_body_for_logout: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) logout_methods: Vec<String>,
    pub(crate) logout_query_arg: Option<String>,
    pub(crate) logout_post_arg: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        let text = |text: &str| Some(text.to_owned());
        Self {
            secret: None,
            storage: None,
            audience: "default".to_owned(),
            idling_timeout: Some(900.0),
            rolling_timeout: Some(3600.0),
            absolute_timeout: Some(86_400.0),
            stale_ttl: Some(10.0),
            cookie_name: text("session"),
            cookie_path: text("/"),
            cookie_domain: None,
            cookie_same_site: Some(SameSite::Strict),
            cookie_http_only: Some(true),
            cookie_secure: Some(true),
            remember: false,
            remember_cookie_name: text("remember"),
            remember_rolling_timeout: Some(604_800.0),
            remember_absolute_timeout: Some(2_592_000.0),
            response_headers: Vec::new(),
            request_headers: Vec::new(),
            read_body_for_logout: false,
            logout_methods: vec!["POST".to_owned(), "DELETE".to_owned()],
            logout_query_arg: text("session_logout"),
            logout_post_arg: text("session_logout"),
        }
    }
}

/// `SameSite` of cookies; `Default` leaves it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum SameSite {
    Strict,
    Lax,
    None,
    Default,
}

/// What may be told of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Told {
    Id,
    Audience,
    Subject,
    Timeout,
    IdlingTimeout,
    RollingTimeout,
    AbsoluteTimeout,
}
