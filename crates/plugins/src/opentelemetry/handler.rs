//! How `opentelemetry` passes traces on, and tells of them.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use keelgate_entities::kinds;
use prost::Message;
use serde_json::Value as Json;

use super::config::{Config, NAME};
use super::otlp::{AnyValue, LogRecord, Resource, Value, attribute, export};
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
    resource: Resource,
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
            resource: resource(node, &config),
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

/// The attributes of this gateway.
fn resource(node: &Node, config: &Config) -> Resource {
    let own = [
        ("service.name", "kong".to_owned()),
        ("service.instance.id", node.id.to_string()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let own = own
        .into_iter()
        .filter(|(name, _)| !config.resource_attributes.contains_key(*name))
        .map(|(name, value)| attribute(name, Value::String(value)));
    let configured = config.resource_attributes.iter().map(|(name, value)| {
        let value = match value {
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(value) => match value.as_i64() {
                Some(value) => Value::Int(value),
                None => Value::Double(value.as_f64().unwrap_or_default()),
            },
            Json::String(value) => Value::text(value),
            other => Value::text(other.to_string()),
        };
        attribute(name, value)
    });
    Resource {
        attributes: own.chain(configured).collect(),
    }
}

impl Sink for Collector {
    async fn send(&self, batch: &Batch) -> Result<(), String> {
        let export = export(
            self.resource.clone(),
            batch.records().map(Bytes::copy_from_slice).collect(),
        );
        self.endpoint.send(export).await
    }
}

impl OpenTelemetry {
    /// The place of the request in its trace; for one that another plugin answered before, a place
    /// that nobody was told of.
    fn place(&self, exchange: &mut Exchange<'_>) -> Place {
        exchange.take_back::<Place>(NAME).unwrap_or_else(|| {
            let (brought, _) = self.propagation.extract(exchange);
            Place::of(&brought, self.sampling_rate)
        })
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
        let place = self.place(exchange);
        if let Some(name) = &self.response_header
            && let Ok(id) = HeaderValue::try_from(place.trace_id.sized(16).to_string())
        {
            exchange.response.headers.append(name, id);
        }
        exchange.keep(NAME, place);
    }

    fn log<'r>(&'r self, exchange: &mut Exchange<'r>) {
        let place = self.place(exchange);
        if let Some(traces) = self.traces.as_ref().filter(|_| place.sampled) {
            for span in span::spans(exchange, &place) {
                traces.push(|out| out.extend_from_slice(&span));
            }
        }
        if let Some(logs) = &self.logs {
            let record = log_record(exchange, self.traces.is_some().then_some(&place));
            logs.push(|out| out.extend_from_slice(&record));
        }
    }
}

/// The record of a request, written.
fn log_record(exchange: &Exchange<'_>, place: Option<&Place>) -> Bytes {
    let mut record = Vec::new();
    record::write(exchange, &Fields::default(), &mut record);
    let (severity, severity_text) = match exchange.response.status.is_server_error() {
        true => (17, "ERR"),
        false => (9, "INFO"),
    };
    let at = span::nanoseconds(exchange.ended_at());
    let body = Value::String(String::from_utf8_lossy(&record).into_owned());
    let record = LogRecord {
        time: at,
        observed: at,
        severity,
        severity_text: severity_text.to_owned(),
        body: Some(AnyValue { value: Some(body) }),
        flags: place.map_or(0, |place| place.sampled.into()),
        trace_id: place.map_or(Vec::new(), |place| place.trace_id.bytes.to_vec()),
        span_id: place.map_or(Vec::new(), |place| place.span_id.to_vec()),
    };
    record.encode_to_vec().into()
}
