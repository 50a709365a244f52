//! How `http-log` sends.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use keelgate_entities::kinds;

use super::config::Config;
use crate::error::Reason;
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
    fn body(&self, batch: &[Bytes]) -> Bytes {
        if let [record] = batch
            && !self.lists
        {
            return record.clone();
        }
        let length = batch.iter().map(|record| record.len() + 1).sum::<usize>() + 1;
        let mut body = BytesMut::with_capacity(length);
        let mut before = b'[';
        for record in batch {
            body.put_u8(before);
            body.put_slice(record);
            before = b',';
        }
        body.put_u8(b']');
        body.freeze()
    }
}

impl Sink for Server {
    async fn send(&self, batch: &[Bytes]) -> Result<(), String> {
        self.endpoint.send(self.body(batch)).await
    }
}
