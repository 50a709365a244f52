//! How `statsd` sends.

use std::sync::Arc;
use std::time::Duration;

use keelgate_entities::kinds;

use super::config::{Config, Metric, ServiceIdentifier, WorkspaceIdentifier, default_metrics};
use super::lines::{Identifiers, Lines, Told};
use crate::error::Reason;
use crate::logging::batch::Batch;
use crate::logging::network::{self, Address};
use crate::logging::queue::Sink;
use crate::logging::stat::{ConsumerIdentifier, dotless};
use crate::logging::{datagrams, logger};
use crate::registry::Node;
use crate::{Directory, Plugin, setting};

/// How long sending takes, at most.
const LIMIT: Duration = Duration::from_secs(10);

/// How long connecting and sending over TCP takes, at most, and how long a connection is kept.
const TCP_LIMIT: Duration = Duration::from_secs(1);
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

enum Server {
    Tcp(network::Lines),
    Udp {
        address: Address,
        /// Bytes of a datagram; each line goes by itself for 0.
        packet: usize,
    },
}

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let machine = dotless(&node.hostname);
    let mut prefix = config.prefix.as_deref().unwrap_or("kong").to_owned();
    if config.hostname_in_prefix && config.tag_style.is_none() {
        prefix = format!("{prefix}.node.{machine}");
    }
    let otherwise = Identifiers {
        consumer: config
            .consumer_identifier_default
            .unwrap_or(ConsumerIdentifier::CustomId),
        service: config
            .service_identifier_default
            .unwrap_or(ServiceIdentifier::NameOrHost),
        workspace: config
            .workspace_identifier_default
            .unwrap_or(WorkspaceIdentifier::WorkspaceId),
    };
    let metrics: Vec<Metric> = match config.metrics {
        Some(metrics) => metrics,
        None => serde_json::from_value(default_metrics())?,
    };
    let lines = Lines {
        prefix,
        node: machine,
        metrics: metrics
            .iter()
            .filter_map(|metric| Told::of(metric, &otherwise))
            .collect(),
        tag_style: config.tag_style,
        statuses: config.allow_status_codes.map(|ranges| {
            ranges
                .iter()
                .filter_map(|range| status_range(range))
                .collect()
        }),
    };
    let address = Address {
        host: config.host.unwrap_or("localhost".to_owned()),
        port: config.port.unwrap_or(8125),
        names: node.names.clone(),
    };
    let server = match config.use_tcp {
        true => Server::Tcp(network::Lines::new(address, TCP_LIMIT, TCP_KEEPALIVE, None)),
        false => Server::Udp {
            address,
            packet: config.udp_packet_size.unwrap_or(0.0) as usize,
        },
    };
    let settings = config.queue;
    let settings = settings.with_old(config.queue_size, config.flush_timeout, (1, 2.0));
    Ok(logger::telling(node, plugin, settings, lines, server))
}

/// `200-299`: of each number the three digits next to the hyphen count.
fn status_range(range: &str) -> Option<(u16, u16)> {
    let (from, to) = range.split_once('-')?;
    let from = from.get(from.len().checked_sub(3)?..)?;
    Some((from.parse().ok()?, to.get(..3)?.parse().ok()?))
}

impl Sink for Server {
    async fn send(&self, batch: &Batch) -> Result<(), String> {
        match self {
            Self::Tcp(server) => server.send_lines(batch).await,
            Self::Udp { address, packet } => {
                let datagrams = batch
                    .pieces()
                    .flat_map(|lines| datagrams::packed(lines, *packet));
                datagrams::send(address, LIMIT, datagrams).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(status_range("200-299"), Some((200, 299)));
        assert_eq!(status_range("0200-2999"), Some((200, 299)));
        assert_eq!(status_range("20-299"), None);
    }
}
