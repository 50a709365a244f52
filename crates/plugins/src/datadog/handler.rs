//! How `datadog` sends.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keelgate_entities::kinds;

use super::config::{Config, Metric, default_metrics};
use crate::error::Reason;
use crate::logging::logger::{self, Tell};
use crate::logging::network::{self, Address};
use crate::logging::queue::Sink;
use crate::logging::stat::{ConsumerIdentifier, Figure, Figures, Rate, StatType, clean, dotless};
use crate::registry::Node;
use crate::{Directory, Exchange, Plugin, setting};

/// How long sending takes, at most.
const LIMIT: Duration = Duration::from_secs(10);

/// Where the agent is, where a configuration does not say.
const AGENT_HOST: &str = "KONG_DATADOG_AGENT_HOST";
const AGENT_PORT: &str = "KONG_DATADOG_AGENT_PORT";

struct Lines {
    prefix: String,
    service_tag: String,
    status_tag: String,
    consumer_tag: String,
    metrics: Vec<Told>,
}

struct Told {
    figure: Figure,
    kind: StatType,
    rate: Rate,
    consumer: Option<ConsumerIdentifier>,
    /// With the comma before each.
    tags: String,
}

struct Agent(Address);

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let text = |text: Option<String>, otherwise: &str| text.unwrap_or_else(|| otherwise.to_owned());
    let metrics: Vec<Metric> = match config.metrics {
        Some(metrics) => metrics,
        None => serde_json::from_value(default_metrics())?,
    };
    let lines = Lines {
        prefix: text(config.prefix, "kong"),
        service_tag: text(config.service_name_tag, "name"),
        status_tag: text(config.status_tag, "status"),
        consumer_tag: text(config.consumer_tag, "consumer"),
        metrics: metrics.into_iter().filter_map(Told::of).collect(),
    };
    let host = config.host.or_else(|| std::env::var(AGENT_HOST).ok());
    let port = || std::env::var(AGENT_PORT).ok()?.parse().ok();
    let agent = Agent(Address {
        host: text(host, "localhost"),
        port: config.port.or_else(port).unwrap_or(8125),
        names: node.names.clone(),
    });
    let settings = config.queue;
    let settings = settings.with_old(config.queue_size, config.flush_timeout, (1, 2.0));
    Ok(logger::telling(node, plugin, settings, lines, agent))
}

impl Told {
    fn of(metric: Metric) -> Option<Self> {
        let tags = metric.tags.iter().flatten();
        Some(Self {
            figure: Figure::named(&metric.name)?,
            kind: metric.stat_type,
            rate: Rate(metric.sample_rate),
            consumer: metric.consumer_identifier,
            tags: tags.map(|tag| format!(",{}", clean(tag))).collect(),
        })
    }

    /// What the consumer is called.
    fn consumer(&self, exchange: &Exchange<'_>) -> Option<String> {
        let (by, consumer) = (self.consumer?, exchange.consumer?);
        let name = by.of(consumer)?;
        Some(match by {
            ConsumerIdentifier::ConsumerId => name.replace('-', "_"),
            _ => name,
        })
    }
}

impl Tell for Lines {
    fn tell(&self, exchange: &Exchange<'_>) -> Option<Bytes> {
        let figures = Figures::of(exchange);
        let service = exchange.service.map_or(String::new(), |service| {
            dotless(service.name.as_deref().unwrap_or(&service.host))
        });
        let status = exchange.response.status.as_u16();
        let mut lines = String::with_capacity(512);
        for told in &self.metrics {
            let Some(value) = figures.get(told.figure) else {
                continue;
            };
            let (name, kind) = (told.figure.as_str(), told.kind.as_str());
            let line = write!(
                lines,
                "{}.{name}:{value}|{kind}{}|#{}:{service},{}:{status}",
                self.prefix, told.rate, self.service_tag, self.status_tag
            );
            line.ok()?;
            if let Some(consumer) = told.consumer(exchange) {
                write!(lines, ",{}:{consumer}", self.consumer_tag).ok()?;
            }
            lines.push_str(&told.tags);
            lines.push('\n');
        }
        (!lines.is_empty()).then(|| lines.into())
    }
}

impl Sink for Agent {
    async fn send(&self, batch: &[Bytes]) -> Result<(), String> {
        let lines: Vec<&[u8]> = batch.iter().flat_map(network::split).collect();
        network::send_datagrams(&self.0, LIMIT, lines).await
    }
}
