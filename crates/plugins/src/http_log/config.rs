//! Settings of `http-log`.

use std::collections::BTreeMap;

use keelgate_entities::schema::{Field, ITEM, PluginSchema, typedefs};
use serde::Deserialize;
use serde_json::Value;

use crate::logging::HTTP;
use crate::logging::endpoint::user_info;
use crate::logging::{fields, queue};
use crate::registry::VERSION;
use crate::setting::null_as_default;

/// Name of the plugin.
pub(crate) const NAME: &str = "http-log";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 12, VERSION).default_protocols(HTTP)
        .fields([
            typedefs::url("http_endpoint")
                .required()
                .encrypted()
                .referenceable()
                .description("URL that records are sent to; a name and password in it become an Authorization header."),
            Field::string("method")
                .default("POST")
                .one_of(["POST", "PUT", "PATCH"])
                .description("Method of the requests that carry records."),
            Field::string("content_type")
                .default("application/json")
                .one_of(["application/json", "application/json; charset=utf-8"])
                .description("Content type of the requests that carry records."),
            Field::number("timeout")
                .default(10_000)
                .description("Milliseconds that a request takes, at most."),
            Field::number("keepalive")
                .default(60_000)
                .description("Milliseconds that an idle connection is kept."),
            Field::integer("retry_count").description("Without effect; use queue.max_retry_time."),
            Field::integer("queue_size").description("The old name of queue.max_batch_size."),
            Field::number("flush_timeout")
                .description("The old name of queue.max_coalescing_delay."),
            Field::map("headers", header_name(), Field::string(ITEM).referenceable())
                .description("Headers of the requests that carry records."),
            queue::setting(),
            fields::setting(),
        ])
        .custom(check_authorization)
}

/// The name of a header that a configuration may set.
fn header_name() -> Field {
    typedefs::header_name(ITEM)
        .match_none("^[Hh][Oo][Ss][Tt]$", "cannot contain 'Host' header")
        .match_none(
            "^[Cc][Oo][Nn][Tt][Ee][Nn][Tt]-[Ll][Ee][nn][Gg][Tt][Hh]$",
            "cannot contain 'Content-Length' header",
        )
        .match_none(
            "^[Cc][Oo][Nn][Tt][Ee][Nn][Tt]-[Tt][Yy][Pp][Ee]$",
            "cannot contain 'Content-Type' header",
        )
}

/// A login is in the URL or in a header, not in both.
fn check_authorization(config: &Value) -> Result<(), String> {
    let url = config.get("http_endpoint").and_then(Value::as_str);
    let in_url = url.and_then(user_info).is_some();
    let headers = config.get("headers").and_then(Value::as_object);
    let in_header = headers.is_some_and(|headers| {
        headers
            .keys()
            .any(|name| name.eq_ignore_ascii_case("authorization"))
    });
    if in_url && in_header {
        let problem = "specifying both an 'Authorization' header and user info in \
                       'http_endpoint' is not allowed";
        return Err(problem.to_owned());
    }
    Ok(())
}

/// The settings.
#[derive(Deserialize)]
pub(crate) struct Config {
    pub(crate) http_endpoint: String,
    #[serde(default)]
    pub(crate) method: Option<String>,
    #[serde(default)]
    pub(crate) content_type: Option<String>,
    /// Milliseconds.
    #[serde(default)]
    pub(crate) timeout: Option<f64>,
    /// Milliseconds.
    #[serde(default)]
    pub(crate) keepalive: Option<f64>,
    #[serde(default)]
    pub(crate) queue_size: Option<usize>,
    #[serde(default)]
    pub(crate) flush_timeout: Option<f64>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) queue: queue::Settings,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(crate) custom_fields_by_lua: BTreeMap<String, String>,
}
