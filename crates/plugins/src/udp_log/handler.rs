//! How `udp-log` sends.

use std::sync::Arc;
use std::time::Duration;

use keelgate_entities::kinds;

use super::config::Config;
use crate::error::Reason;
use crate::logging::batch::Batch;
use crate::logging::network::Address;
use crate::logging::queue::{Settings, Sink};
use crate::logging::{datagrams, logger};
use crate::registry::Node;
use crate::{Directory, Plugin, setting};

struct Receiver {
    address: Address,
    limit: Duration,
}

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let receiver = Receiver {
        address: Address {
            host: config.host,
            port: config.port,
            names: node.names.clone(),
        },
        limit: setting::milliseconds("timeout", config.timeout.unwrap_or(10_000.0))?,
    };
    let settings = Settings::of_datagrams();
    logger::compile(
        node,
        plugin,
        settings,
        &config.custom_fields_by_lua,
        receiver,
    )
}

impl Sink for Receiver {
    async fn send(&self, batch: &Batch) -> Result<(), String> {
        datagrams::send(&self.address, self.limit, batch.records()).await
    }
}
