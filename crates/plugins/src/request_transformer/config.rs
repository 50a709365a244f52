//! Settings of `request-transformer`.

use keelgate_entities::schema::{Field, ITEM, PluginSchema, typedefs};
use serde::Deserialize;
use serde_json::Value;

use super::template::Template;
use crate::registry::VERSION;
use crate::setting;

/// Name of the plugin.
pub(crate) const NAME: &str = "request-transformer";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 801, VERSION)
        .default_protocols(&["grpc", "grpcs", "http", "https"])
        .fields([
            typedefs::http_method("http_method").description("Method of the request upstream."),
            Field::record(
                "remove",
                [
                    strings("body"),
                    strings("headers").elements(|name| name.custom(check_header)),
                    strings("querystring"),
                ],
            )
            .description("What is removed."),
            Field::record(
                "rename",
                [
                    values("body"),
                    pairs("headers").elements(|pair| pair.custom(check_both_headers)),
                    values("querystring"),
                ],
            )
            .description("What gets another name, as `old:new`."),
            Field::record(
                "replace",
                [
                    values("body"),
                    headers(),
                    values("querystring"),
                    Field::string("uri")
                        .custom(check_template)
                        .description("Path of the request upstream."),
                ],
            )
            .description("What gets another value where it is, as `name:value`."),
            Field::record("add", [values("body"), headers(), values("querystring")])
                .description("What is added where it is not, as `name:value`."),
            Field::record("append", [values("body"), headers(), values("querystring")])
                .description("Values that are added to those that are there, as `name:value`."),
        ])
}

fn strings(name: &'static str) -> Field {
    Field::array(name, Field::string(ITEM))
        .required()
        .default(Value::Array(Vec::new()))
}

fn pairs(name: &'static str) -> Field {
    strings(name).elements(|pair| pair.matches("(?s)^[^:]+:.*$"))
}

fn headers() -> Field {
    pairs("headers").elements(|pair| {
        pair.custom(|value| {
            check_header(value)?;
            let (_, template) = setting::pair(value);
            check_template(template.unwrap_or_default())
        })
    })
}

fn values(name: &'static str) -> Field {
    strings(name).elements(|entry| entry.custom(check_value))
}

/// There is a value, and it is a template.
fn check_value(entry: &str) -> Result<(), String> {
    match setting::pair(entry) {
        (name, None) => Err(format!("key '{name}' has no value")),
        (_, Some(value)) => check_template(value),
    }
}

fn check_template(text: &str) -> Result<(), String> {
    match Template::parse(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "value '{text}' is not in supported format, error:{error}"
        )),
    }
}

fn check_header(entry: &str) -> Result<(), String> {
    valid_header(setting::pair(entry).0)
}

fn check_both_headers(entry: &str) -> Result<(), String> {
    let (old, new) = setting::pair(entry);
    valid_header(old)?;
    valid_header(new.unwrap_or_default())
}

fn valid_header(name: &str) -> Result<(), String> {
    if setting::is_header_name(name) {
        Ok(())
    } else {
        Err(format!("'{name}' is not a valid header"))
    }
}

/// The settings.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    pub(crate) http_method: Option<String>,
    #[serde(deserialize_with = "setting::null_as_default")]
    pub(crate) remove: Change,
    #[serde(deserialize_with = "setting::null_as_default")]
    pub(crate) rename: Change,
    #[serde(deserialize_with = "setting::null_as_default")]
    pub(crate) replace: Change,
    #[serde(deserialize_with = "setting::null_as_default")]
    pub(crate) add: Change,
    #[serde(deserialize_with = "setting::null_as_default")]
    pub(crate) append: Change,
}

/// One kind of change.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Change {
    #[serde(deserialize_with = "setting::null_as_default")]
    pub(crate) body: Vec<String>,
    #[serde(deserialize_with = "setting::null_as_default")]
    pub(crate) headers: Vec<String>,
    #[serde(deserialize_with = "setting::null_as_default")]
    pub(crate) querystring: Vec<String>,
    pub(crate) uri: Option<String>,
}
