//! Settings of `request-termination`.

use keelgate_entities::schema::{Field, PluginSchema, typedefs};
use serde::Deserialize;
use serde_json::Value;

use crate::registry::VERSION;

/// Name of the plugin.
pub(crate) const NAME: &str = "request-termination";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 2, VERSION)
        .http_only()
        .fields([
            Field::integer("status_code")
                .required()
                .default(503)
                .between(100.0, 599.0)
                .description("Status of the answer."),
            Field::string("message").description("Message of the answer, in JSON."),
            Field::string("content_type").description("Content type of `body`."),
            Field::string("body")
                .description("Body of the answer, as it is, instead of a message."),
            Field::boolean("echo")
                .required()
                .default(false)
                .description("Whether the answer tells what the gateway received and matched."),
            typedefs::header_name("trigger")
                .description("Header or query argument without which requests are let through."),
        ])
        .custom(check_answer)
}

fn check_answer(config: &Value) -> Result<(), String> {
    let given = |field: &str| matches!(config.get(field), Some(Value::String(s)) if !s.is_empty());
    let echo = config.get("echo").and_then(Value::as_bool) == Some(true);
    let problem = if given("message") && (given("content_type") || given("body")) {
        "message cannot be used with content_type or body"
    } else if given("content_type") && !given("body") {
        "content_type requires a body"
    } else if echo && (given("content_type") || given("body")) {
        "echo cannot be used with content_type and body"
    } else {
        return Ok(());
    };
    Err(problem.to_owned())
}

/// The settings.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) status_code: u16,
    pub(crate) message: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Option<String>,
    pub(crate) echo: bool,
    pub(crate) trigger: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            status_code: 503,
            message: None,
            content_type: None,
            body: None,
            echo: false,
            trigger: None,
        }
    }
}
