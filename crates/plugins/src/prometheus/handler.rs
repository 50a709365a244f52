//! How `prometheus` counts.

use std::sync::Arc;

use keelgate_entities::kinds;
use smallvec::SmallVec;
use uuid::fmt::Hyphenated;

use super::config::Config;
use super::metrics::{Labels, Metrics};
use crate::error::Reason;
use crate::exchange::MadeBy;
use crate::logging::figures;
use crate::registry::Node;
use crate::{Directory, Exchange, Phases, Plugin, setting};

struct Prometheus {
    config: Config,
    metrics: Arc<Metrics>,
}

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let metrics = Arc::clone(&node.metrics);
    metrics.begin(config.upstream_health_metrics);
    Ok(Arc::new(Prometheus { config, metrics }))
}

impl Plugin for Prometheus {
    fn phases(&self) -> Phases {
        Phases {
            log: true,
            ..Phases::default()
        }
    }

    fn log<'r>(&'r self, exchange: &mut Exchange<'r>) {
        let Some(route) = exchange.route else {
            return;
        };
        let mut id = SmallVec::from([0; Hyphenated::LENGTH]);
        let labels = Labels {
            service: exchange.service.map_or("", |service| {
                service.name.as_deref().unwrap_or(&service.host)
            }),
            route: match &route.name {
                Some(name) => name,
                None => encode(route.id, &mut id),
            },
            consumer: exchange
                .consumer
                .filter(|_| self.config.per_consumer)
                .and_then(|consumer| consumer.username.as_deref())
                .unwrap_or_default(),
        };
        let (config, metrics) = (&self.config, &self.metrics);
        if config.bandwidth_metrics {
            let ingress = figures::request_size(exchange);
            metrics.count_bytes(labels, ingress, figures::response_size(exchange));
        }
        if config.status_code_metrics {
            let response = &exchange.response;
            let of_upstream = response.made_by == MadeBy::Upstream;
            metrics.count_status(labels, response.status.as_u16(), of_upstream);
        }
        if config.latency_metrics {
            let outcome = &exchange.outcome;
            let own = outcome.before_upstream.unwrap_or(outcome.took);
            metrics.count_times(labels, own, exchange.times.upstream, outcome.took);
        }
    }
}

fn encode(id: uuid::Uuid, room: &mut SmallVec<[u8; Hyphenated::LENGTH]>) -> &str {
    id.hyphenated().encode_lower(room)
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.metrics.end(self.config.upstream_health_metrics);
    }
}
