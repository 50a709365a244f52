//! How `opentelemetry` passes traces on, and tells of them.

use std::sync::Arc;

use http::Method;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use keelgate_entities::kinds;
use serde_json::Value as Json;

use super::config::{Config, NAME};
use super::otlp::{Export, item, written};
use super::protobuf;
use super::span::{self, Place};
use crate::error::Reason;
use crate::logging::batch::Batch;
use crate::logging::endpoint::{Endpoint, Limits};
use crate::logging::fields::Fields;
use crate::logging::queue::{Queue, Settings, Sink};
use crate::logging::record;
use crate::registry::Node;
use crate::traces::format::Format;
use crate::traces::propagation::Propagation;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, setting};

/// The share of traces that are recorded where a configuration does not say.
const SAMPLING_RATE: f64 = 0.01;

/// How long an idle connection to a collector is kept, in milliseconds.
const KEEPALIVE: f64 = 60_000.0;

struct OpenTelemetry {
    propagation: Propagation,
    sampling_rate: f64,
    response_header: Option<HeaderName>,
    traces: Option<Queue>,
    logs: Option<Queue>,
}

struct Collector {
    endpoint: Endpoint,
    export: Export,
}

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let settings = config.queue.clone().unwrap_or(Settings {
        max_batch_size: 200,
        ..Settings::default()
    });
    let settings = settings.with_old(
        config.batch_span_count,
        config.batch_flush_delay,
        (200, 3.0),
    );
    let queue = |what: &str, url: &Option<String>| {
        let Some(url) = url else {
            return Ok::<_, Reason>(None);
        };
        let collector = Collector {
            endpoint: endpoint(node, &config, &format!("{what}_endpoint"), url)?,
            export: export(node, &config),
        };
        let name = format!("{NAME} {}:{what}", plugin.id);
        let queue = Queue::new(settings.clone(), name, collector, &node.delivery);
        Ok(Some(queue))
    };
    let header = config.http_response_header_for_traceid.as_deref();
    let header = header.map(|name| setting::header_name("http_response_header_for_traceid", name));
    Ok(Arc::new(OpenTelemetry {
        traces: queue("traces", &config.traces_endpoint)?,
        logs: queue("logs", &config.logs_endpoint)?,
        response_header: header.transpose()?,
        sampling_rate: config.sampling_rate.unwrap_or(SAMPLING_RATE),
        propagation: Propagation::new(config.propagation, config.header_type, None, Format::W3c),
    }))
}

fn endpoint(node: &Node, config: &Config, field: &str, url: &str) -> Result<Endpoint, Reason> {
    let connect =
        setting::milliseconds("connect_timeout", config.connect_timeout.unwrap_or(1000.0))?;
    let send = setting::milliseconds("send_timeout", config.send_timeout.unwrap_or(5000.0))?;
    let read = setting::milliseconds("read_timeout", config.read_timeout.unwrap_or(5000.0))?;
    let limits = Limits {
        connect,
        total: connect + send + read,
        keepalive: setting::milliseconds("keepalive", KEEPALIVE)?,
    };
    let mut endpoint = Endpoint::new(field, url, Method::POST, limits, node)?;
    for (name, value) in &config.headers {
        let name = setting::header_name("headers", name)?;
        endpoint.header(name, setting::header_value("headers", value)?);
    }
    let protobuf = HeaderValue::from_static("application/x-protobuf");
    endpoint.header(CONTENT_TYPE, protobuf);
    Ok(endpoint)
}

/// What stands in every request.
fn export(node: &Node, config: &Config) -> Export {
    let own = [
        ("service.name", "kong".into()),
        ("service.instance.id", node.id.to_string().into()),
        ("service.version", env!("CARGO_PKG_VERSION").into()),
    ];
    let configured = &config.resource_attributes;
    let own: Vec<(&str, Json)> = own
        .into_iter()
        .filter(|(name, _)| !configured.contains_key(*name))
        .collect();
    let own = own.iter().map(|(name, value)| (*name, value));
    let configured = configured
        .iter()
        .map(|(name, value)| (name.as_str(), value));
    Export::of(own.chain(configured))
}

impl Sink for Collector {
    async fn send(&self, batch: &Batch) -> Result<(), String> {
        self.endpoint.send(self.export.request(batch)).await
    }
}

impl OpenTelemetry {
    /// The place of the request in its trace; for one that another plugin answered before, a place
    /// that nobody was told of.
    fn place<'e>(&self, exchange: &'e mut Exchange<'_>) -> &'e Place {
        if exchange.kept_by::<Place>(NAME).is_none() {
            let (brought, _) = self.propagation.extract(exchange);
            exchange.keep(NAME, Place::of(&brought, self.sampling_rate));
        }
        exchange.kept_by(NAME).expect("it has just been kept")
    }
}

impl Plugin for OpenTelemetry {
    fn phases(&self) -> Phases {
        Phases {
            access: self.traces.is_some(),
            header_filter: self.traces.is_some() && self.response_header.is_some(),
            log: true,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        let (brought, found) = self.propagation.extract(exchange);
        let place = Place::of(&brought, self.sampling_rate);
        let told = place.tell(brought);
        self.propagation.inject(exchange, &told, found);
        exchange.keep(NAME, place);
        Access::Ready(Flow::Continue)
    }

    fn header_filter<'r>(&'r self, exchange: &mut Exchange<'r>) {
        let trace_id = self.place(exchange).trace_id.sized(16);
        if let Some(name) = &self.response_header
            && let Ok(id) = HeaderValue::try_from(trace_id.to_string())
        {
            exchange.response.headers.append(name, id);
        }
    }

    fn log<'r>(&'r self, exchange: &mut Exchange<'r>) {
        self.place(exchange);
        let exchange = &*exchange;
        let Some(place) = exchange.kept_by::<Place>(NAME) else {
            return;
        };
        if let Some(traces) = self.traces.as_ref().filter(|_| place.sampled) {
            span::spans(exchange, place, |write| traces.push(write));
        }
        if let Some(logs) = &self.logs {
            let place = self.traces.is_some().then_some(place);
            logs.push(|out| item(out, |out| log_record(exchange, place, out)));
        }
    }
}

/// Appends the record of a request.
fn log_record(exchange: &Exchange<'_>, place: Option<&Place>, out: &mut Vec<u8>) {
    let (severity, severity_text) = match exchange.response.status.is_server_error() {
        true => (17, "ERR"),
        false => (9, "INFO"),
    };
    let at = span::nanoseconds(exchange.ended_at());
    protobuf::fixed64(out, 1, at);
    protobuf::number(out, 2, severity);
    protobuf::bytes(out, 3, severity_text.as_bytes());
    protobuf::message(out, 5, |out| {
        written(out, |out| record::write(exchange, &Fields::default(), out));
    });
    if let Some(place) = place {
        protobuf::fixed32(out, 8, place.sampled.into());
        protobuf::bytes(out, 9, &place.trace_id.bytes);
        protobuf::bytes(out, 10, &place.span_id);
    }
    protobuf::fixed64(out, 11, at);
}
