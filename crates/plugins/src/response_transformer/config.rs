//! Settings of `response-transformer`.

use keelgate_entities::schema::{Field, ITEM, PluginSchema};
use serde::Deserialize;
use serde_json::Value;

use crate::registry::VERSION;
use crate::setting;

/// Name of the plugin.
pub(crate) const NAME: &str = "response-transformer";

/// Description of the settings.
pub(crate) fn schema() -> PluginSchema {
    PluginSchema::new(NAME, 800, VERSION).http_only().fields([
        Field::record("remove", [names("json"), names("headers")])
            .description("Fields and headers that are removed."),
        Field::record(
            "rename",
            [
                pairs("json"),
                pairs("headers").elements(|pair| pair.custom(check_headers)),
            ],
        )
        .description("Fields and headers that get another name, as `old:new`."),
        Field::record("replace", [pairs("json"), types(), pairs("headers")]).description(
            "Fields and headers that get another value where they are, as `name:value`.",
        ),
        Field::record("add", [pairs("json"), types(), pairs("headers")])
            .description("Fields and headers that are added where they are not, as `name:value`."),
        Field::record("append", [pairs("json"), types(), pairs("headers")])
            .description("Values that are added to those of fields and headers, as `name:value`."),
    ])
}

fn names(name: &'static str) -> Field {
    list(name, Field::string(ITEM))
}

fn pairs(name: &'static str) -> Field {
    list(name, Field::string(ITEM).matches("(?s)^[^:]+:.*$"))
}

fn types() -> Field {
    list(
        "json_types",
        Field::string(ITEM).one_of(["boolean", "number", "string"]),
    )
    .description("Types of the values of `json`, in the same order; texts when absent.")
}

fn list(name: &'static str, elements: Field) -> Field {
    Field::array(name, elements)
        .required()
        .default(Value::Array(Vec::new()))
}

/// Both names of `old:new` can be names of headers.
fn check_headers(value: &str) -> Result<(), String> {
    let (old, new) = setting::pair(value);
    for name in [old, new.unwrap_or_default()] {
        if !setting::is_header_name(name) {
            return Err(format!("'{name}' is not a valid header"));
        }
    }
    Ok(())
}

/// The settings.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
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
    pub(crate) json: Vec<String>,
    #[serde(deserialize_with = "setting::null_as_default")]
    pub(crate) json_types: Vec<JsonType>,
    #[serde(deserialize_with = "setting::null_as_default")]
    pub(crate) headers: Vec<String>,
}

/// The type of a JSON value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JsonType {
    Boolean,
    Number,
    #[default]
    String,
}
