//! How `http-log` sends.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use keelgate_entities::kinds;

use super::config::Config;
use crate::error::Reason;
use crate::logging::batch::Batch;
use crate::logging::endpoint::{Endpoint, Limits};
use crate::logging::logger;
use crate::logging::queue::Sink;
use crate::registry::Node;
use crate::{Directory, Plugin, setting};

struct Server {
    endpoint: Endpoint,
    /// Whether records are sent in lists.
    lists: bool,
}

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let settings = config.queue.clone();
    let settings = settings.with_old(config.queue_size, config.flush_timeout, (1, 2.0));
    let server = Server {
        endpoint: endpoint(node, &config)?,
        lists: settings.max_batch_size != 1,
    };
    logger::compile(node, plugin, settings, &config.custom_fields_by_lua, server)
}

fn endpoint(node: &Node, config: &Config) -> Result<Endpoint, Reason> {
    let timeout = setting::milliseconds("timeout", config.timeout.unwrap_or(10_000.0))?;
    let keepalive = config.keepalive.unwrap_or(60_000.0);
    let method = config.method.as_deref().unwrap_or("POST");
    let mut endpoint = Endpoint::new(
        "http_endpoint",
        &config.http_endpoint,
        method
            .parse()
            .map_err(|error| Reason::setting("method", error))?,
        Limits {
            connect: timeout,
            total: timeout,
            keepalive: setting::milliseconds("keepalive", keepalive)?,
        },
        node,
    )?;
    let content_type = config.content_type.as_deref().unwrap_or("application/json");
    let content_type = setting::header_value("content_type", content_type)?;
    endpoint.header(CONTENT_TYPE, content_type);
    for (name, value) in &config.headers {
        let name = setting::header_name("headers", name)?;
        endpoint.header(name, setting::header_value("headers", value)?);
    }
    Ok(endpoint)
}

impl Server {
    fn body(&self, batch: &Batch) -> Bytes {
        let mut records = batch.records();
        if let (Some(record), None, false) = (records.next(), records.next(), self.lists) {
            return Bytes::copy_from_slice(record);
        }
        batch.list().into()
    }
}

impl Sink for Server {
    const BEHIND: Option<u8> = Some(b',');

    async fn send(&self, batch: &Batch) -> Result<(), String> {
        self.endpoint.send(self.body(batch)).await
    }
}
