//! Settings of `zipkin`.

use keelgate_entities::schema::{Field, ITEM, PluginSchema, typedefs};
use serde::Deserialize;
use serde_json::Value;

use crate::logging::HTTP;
use crate::logging::queue;
use crate::registry::VERSION;
use crate::setting::null_as_default;
use crate::traces::format::{Format, NAMES};
use crate::traces::propagation::{self, HeaderType};

/// Name of the plugin.
pub(crate) const NAME: &str = "zipkin";

/// Tags that the plugin itself sets.
const OWN_TAGS: [&str; 13] = [
    "error",
    "http.method",
    "http.path",
    "http.status_code",
    "kong.balancer.state",
    "kong.balancer.try",
    "kong.consumer",
    "kong.credential",
    "kong.node.id",
    "kong.route",
    "kong.service",
    "lc",
    "peer.hostname",
];

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    let timeout = |name, default: u32, description| {
        typedefs::timeout(name)
            .default(default)
            .description(description)
    };
    let header_types = ["preserve", "ignore"].into_iter().chain(NAMES);
    PluginSchema::new(NAME, 100_000, VERSION).default_protocols(HTTP).fields([
        Field::string("local_service_name")
            .required()
            .default("kong")
            .description("What the gateway is called in spans."),
        typedefs::url("http_endpoint")
            .description("URL that spans are sent to; without it traces are only passed on."),
        Field::number("sample_ratio")
            .default(0.001)
            .between(0.0, 1.0)
            .description("The share of requests that are recorded, from 0 to 1, where they do not say themselves."),
        Field::string("default_service_name")
            .description("What services without a name are called in spans."),
        Field::boolean("include_credential")
            .required()
            .default(true)
            .description("Whether spans tell the id of the credential."),
        Field::integer("traceid_byte_count")
            .required()
            .default(16)
            .one_of([8, 16])
            .description("Bytes of the id of a new trace."),
        Field::string("header_type")
            .required()
            .default("preserve")
            .one_of(header_types)
            .description("What `propagation` told in older configurations."),
        Field::string("default_header_type")
            .required()
            .default("b3")
            .one_of(NAMES)
            .description("What `propagation.default_format` tells now."),
        Field::string("tags_header")
            .required()
            .default("Zipkin-Tags")
            .description("Header in which requests bring tags of their own."),
        Field::array(
            "static_tags",
            Field::record(
                ITEM,
                [
                    Field::string("name").required().not_one_of(OWN_TAGS),
                    Field::string("value").required(),
                ],
            )
            .unstated(),
        )
        .custom_value(check_tags)
        .description("Tags of all requests."),
        Field::string("http_span_name")
            .required()
            .default("method")
            .one_of(["method", "method_path"])
            .description("Whether names of spans tell the path."),
        timeout("connect_timeout", 2000, "Milliseconds until there is a connection, at most."),
        timeout("send_timeout", 5000, "Milliseconds that sending takes, at most."),
        timeout("read_timeout", 5000, "Milliseconds until the server answers, at most."),
        Field::string("http_response_header_for_traceid")
            .description("Header that tells the client the id of the trace."),
        Field::string("phase_duration_flavor")
            .required()
            .default("annotations")
            .one_of(["annotations", "tags"])
            .description("How the times of phases are told."),
        queue::setting(),
        propagation::setting("b3"),
    ])
}

/// No tag has two values.
fn check_tags(tags: &Value) -> Result<(), String> {
    let mut names: Vec<&Value> = Vec::new();
    for tag in tags.as_array().into_iter().flatten() {
        let Some(name) = tag.get("name") else {
            continue;
        };
        if names.contains(&name) {
            let name = name.as_str().unwrap_or_default();
            return Err(format!("repeated tags are not allowed: {name}"));
        }
        names.push(name);
    }
    Ok(())
}

/// The settings.
#[derive(Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) local_service_name: Option<String>,
    #[serde(default)]
    pub(crate) http_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) sample_ratio: Option<f64>,
    #[serde(default)]
    pub(crate) default_service_name: Option<String>,
    #[serde(default)]
    pub(crate) include_credential: Option<bool>,
    #[serde(default)]
    pub(crate) traceid_byte_count: Option<usize>,
    #[serde(default = "propagation::preserve")]
    pub(crate) header_type: Option<HeaderType>,
    #[serde(default)]
    pub(crate) default_header_type: Option<Format>,
    #[serde(default)]
    pub(crate) tags_header: Option<String>,
    #[serde(default)]
    pub(crate) static_tags: Option<Vec<Tag>>,
    #[serde(default)]
    pub(crate) http_span_name: Option<SpanName>,
    /// Milliseconds, as are the next two.
    #[serde(default)]
    pub(crate) connect_timeout: Option<f64>,
    #[serde(default)]
    pub(crate) send_timeout: Option<f64>,
    #[serde(default)]
    pub(crate) read_timeout: Option<f64>,
    #[serde(default)]
    pub(crate) http_response_header_for_traceid: Option<String>,
    #[serde(default)]
    pub(crate) phase_duration_flavor: Option<Flavor>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) queue: queue::Settings,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) propagation: propagation::Settings,
}

/// A tag of all requests.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Tag {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// What names of spans tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SpanName {
    #[default]
    Method,
    MethodPath,
}

/// How the times of phases are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Flavor {
    #[default]
    Annotations,
    Tags,
}
