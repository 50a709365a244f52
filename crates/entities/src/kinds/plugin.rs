//! Plugin configurations and their scopes.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Protocol;
use crate::schema::definition::Variants;
use crate::schema::{Field, Schema, typedefs};
use crate::{Object, Reference};

/// One configuration of a plugin. Without a route, service or consumer it is global.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plugin {
    /// Identity.
    pub id: Uuid,
    /// Which plugin, for example `key-auth`.
    pub name: String,
    /// Unique name of this configuration, if any.
    #[serde(default)]
    pub instance_name: Option<String>,
    /// Whether it runs.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Only for requests of this route.
    #[serde(default)]
    pub route: Option<Reference>,
    /// Only for requests of this service.
    #[serde(default)]
    pub service: Option<Reference>,
    /// Only for requests of this consumer.
    #[serde(default)]
    pub consumer: Option<Reference>,
    /// Protocols that it runs for.
    #[serde(default)]
    pub protocols: Vec<Protocol>,
    /// The plugin's own settings, completed with its schema's defaults.
    #[serde(default)]
    pub config: Object,
    /// Labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}

fn yes() -> bool {
    true
}

/// The schema of `plugins`. What `config` holds is described by the plugin that is named.
pub(crate) fn schema() -> Schema {
    let scope = |field: Field| field.default(serde_json::Value::Null).cascade();
    Schema::new(
        "plugins",
        [
            typedefs::id(),
            Field::string("name")
                .required()
                .description("Which plugin runs; it must be enabled on every node."),
            typedefs::name("instance_name"),
            typedefs::seconds("created_at"),
            typedefs::seconds("updated_at"),
            scope(Field::foreign("route", "routes"))
                .description("Narrows the plugin to requests of one route; null means any."),
            scope(Field::foreign("service", "services"))
                .description("Narrows the plugin to requests for one service; null means any."),
            scope(Field::foreign("consumer", "consumers"))
                .description("Narrows the plugin to requests of one known client; null means any."),
            Field::record("config", []).description("Settings; their shape depends on `name`."),
            typedefs::protocols("protocols"),
            Field::boolean("enabled")
                .required()
                .default(true)
                .description("False switches the plugin off and keeps its settings."),
            typedefs::tags(),
        ],
    )
    .endpoint_key("instance_name")
    .cache_key(&["name", "route", "service", "consumer"])
    .unique_key("instance_name", &["instance_name"])
    .variants(Variants::Plugins)
}
