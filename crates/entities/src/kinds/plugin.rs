//! Plugin configurations and their scopes.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Protocol;
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
