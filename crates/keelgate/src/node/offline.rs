//! What commands need of a node without running one.

use std::sync::Arc;

use anyhow::Result;
use keelgate_entities::Schemas;
use keelgate_plugins::Registry;
use keelgate_settings::Settings;
use uuid::Uuid;

use super::activation::Activation;
use super::{certificates, served};

/// Everything that a node with these settings knows.
pub(crate) fn schemas(settings: &Settings) -> Schemas {
    Schemas::of_flavor(
        served::plugin_schemas(settings),
        served::router_flavor(settings),
    )
}

/// The means to compile snapshots as a node with these settings does. What a node makes at its start
/// goes into the prefix of the settings.
pub(crate) fn activation(settings: &Settings, schemas: Arc<Schemas>) -> Result<Activation> {
    let registry = Arc::new(Registry::new(Uuid::nil(), String::new()));
    let trusted = certificates::trusted(settings)?;
    let mut environment = served::environment(settings, registry, trusted)?;
    // Who looks at a configuration need not have its secrets.
    environment.secrets = None;
    Activation::new(environment, schemas)
}
