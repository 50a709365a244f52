//! How `datadog` sends.

use std::sync::Arc;
use std::time::Duration;

use keelgate_entities::kinds;

use super::config::{Config, Metric, default_metrics};
use crate::error::Reason;
use crate::logging::batch::Batch;
use crate::logging::logger::{self, Tell};
use crate::logging::network::Address;
use crate::logging::queue::Sink;
use crate::logging::stat::{ConsumerIdentifier, Figure, Rate, Seen, clean, write_dotless};
use crate::logging::{datagrams, json};
use crate::registry::Node;
use crate::stream::Ended;
use crate::{Directory, Exchange, Plugin, setting};

/// How long sending takes, at most.
const LIMIT: Duration = Duration::from_secs(10);

/// Where the agent is, where a configuration does not say.
const AGENT_HOST: &str = "KONG_DATADOG_AGENT_HOST";
const AGENT_PORT: &str = "KONG_DATADOG_AGENT_PORT";

struct Lines {
    /// What stands before the status, and before the consumer.
    status: String,
    consumer: String,
    metrics: Vec<Told>,
}

struct Told {
    figure: Figure,
    /// What stands before and behind its value.
    before: String,
    behind: String,
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
    let prefix = text(config.prefix, "kong");
    let service_tag = text(config.service_name_tag, "name");
    let metrics = metrics.into_iter();
    let lines = Lines {
        status: format!(",{}:", text(config.status_tag, "status")),
        consumer: format!(",{}:", text(config.consumer_tag, "consumer")),
        metrics: metrics
            .filter_map(|metric| Told::of(metric, &prefix, &service_tag))
            .collect(),
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
    fn of(metric: Metric, prefix: &str, service_tag: &str) -> Option<Self> {
        let (figure, kind) = (Figure::named(&metric.name)?, metric.stat_type.as_str());
        let rate = Rate(metric.sample_rate);
        let tags = metric.tags.iter().flatten();
        let tags: String = tags.map(|tag| format!(",{}", clean(tag))).collect();
        Some(Self {
            figure,
            before: format!("{prefix}.{}:", figure.as_str()),
            behind: format!("|{kind}{rate}|#{service_tag}:"),
            consumer: metric.consumer_identifier,
            tags,
        })
    }

    /// Appends what the consumer is called; whether it is called anything.
    fn consumer(&self, seen: &Seen<'_>, out: &mut Vec<u8>) -> bool {
        let (Some(by), Some(consumer)) = (self.consumer, seen.consumer) else {
            return false;
        };
        let start = out.len();
        let is_called = by.write(consumer, out);
        if by == ConsumerIdentifier::ConsumerId {
            for byte in out[start..].iter_mut().filter(|byte| **byte == b'-') {
                *byte = b'_';
            }
        }
        is_called
    }
}

impl Lines {
    /// Appends all lines, with what they say of the status.
    fn write(&self, seen: &Seen<'_>, status: &str, out: &mut Vec<u8>) {
        for told in &self.metrics {
            let Some(value) = seen.figure(told.figure) else {
                continue;
            };
            out.extend_from_slice(told.before.as_bytes());
            json::number(out, value);
            out.extend_from_slice(told.behind.as_bytes());
            if let Some(service) = seen.service {
                write_dotless(service.name.as_deref().unwrap_or(&service.host), out);
            }
            out.extend_from_slice(self.status.as_bytes());
            out.extend_from_slice(status.as_bytes());
            let start = out.len();
            out.extend_from_slice(self.consumer.as_bytes());
            if !told.consumer(seen, out) {
                out.truncate(start);
            }
            out.extend_from_slice(told.tags.as_bytes());
            out.push(b'\n');
        }
    }
}

impl Tell for Lines {
    fn tell(&self, exchange: &Exchange<'_>, out: &mut Vec<u8>) {
        self.write(&Seen::of(exchange), exchange.response.status.as_str(), out);
    }

    fn tell_session(&self, ended: &Ended<'_>, out: &mut Vec<u8>) {
        // Only requests have one.
        self.write(&Seen::of_session(ended), "-", out);
    }
}

impl Sink for Agent {
    async fn send(&self, batch: &Batch) -> Result<(), String> {
        // Each line by itself.
        let lines = batch.pieces().flat_map(|lines| datagrams::packed(lines, 0));
        datagrams::send(&self.0, LIMIT, lines).await
    }
}
