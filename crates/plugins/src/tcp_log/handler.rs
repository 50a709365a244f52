//! How `tcp-log` sends.

use std::sync::Arc;

use keelgate_entities::kinds;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::config::Config;
use crate::error::Reason;
use crate::logging::batch::Batch;
use crate::logging::logger;
use crate::logging::network::{Address, Lines};
use crate::logging::queue::{Settings, Sink};
use crate::registry::Node;
use crate::{Directory, Plugin, setting};

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let tls = match config.tls {
        true => Some((
            TlsConnector::from(node.trust.client(true)),
            server_name(&config)?,
        )),
        false => None,
    };
    let receiver = Lines::new(
        Address {
            host: config.host,
            port: config.port,
            names: node.names.clone(),
        },
        setting::milliseconds("timeout", config.timeout.unwrap_or(10_000.0))?,
        setting::milliseconds("keepalive", config.keepalive.unwrap_or(60_000.0))?,
        tls,
    );
    let settings = Settings::of_lines();
    logger::compile(
        node,
        plugin,
        settings,
        &config.custom_fields_by_lua,
        receiver,
    )
}

/// The name that the receiver's certificate is verified for.
fn server_name(config: &Config) -> Result<ServerName<'static>, Reason> {
    let (field, name) = match &config.tls_sni {
        Some(name) => ("tls_sni", name),
        None => ("host", &config.host),
    };
    ServerName::try_from(name.clone()).map_err(|problem| Reason::setting(field, problem))
}

impl Sink for Lines {
    const BEHIND: Option<u8> = Some(b'\n');

    async fn send(&self, batch: &Batch) -> Result<(), String> {
        self.send_lines(batch).await
    }
}
