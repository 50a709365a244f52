//! The spans of a request: one of the request itself, and one of each attempt to call the upstream.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Version;
use prost::Message;

use super::otlp::{KeyValue, Span, Status, Value, attribute};
use crate::Exchange;
use crate::exchange::Try;
use crate::traces::context::{Context, SpanId, TraceId, new_span_id};

/// The span of the request itself.
const SERVER: i32 = 2;

/// The span of a call.
const CLIENT: i32 = 3;

const ERROR: i32 = 2;

/// The place of a request in its trace.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) parent_id: Option<SpanId>,
    /// The span of the call to the upstream, which the upstream knows.
    pub(super) call_id: SpanId,
    pub(super) sampled: bool,
}

impl Place {
    /// The place of a request that brings this.
    pub(super) fn of(brought: &Context, sampling_rate: f64) -> Self {
        let trace_id = brought.trace_id.unwrap_or_else(|| TraceId::new(16));
        let sampled = brought.sampled != Some(false) && trace_id.chance() < sampling_rate;
        Self {
            trace_id,
            span_id: new_span_id(),
            parent_id: brought.span_id.or(brought.parent_id),
            call_id: new_span_id(),
            sampled,
        }
    }

    /// What the upstream is told.
    pub(super) fn tell(&self, brought: Context) -> Context {
        Context {
            trace_id: Some(self.trace_id),
            span_id: Some(self.call_id),
            parent_id: Some(self.span_id),
            sampled: Some(self.sampled),
            ..brought
        }
    }
}

/// The spans of a request, written.
pub(super) fn spans(exchange: &Exchange<'_>, place: &Place) -> Vec<Bytes> {
    let outcome = &exchange.outcome;
    let last = outcome.tries.len().saturating_sub(1);
    let mut spans = vec![request(exchange, place)];
    spans.extend(outcome.tries.iter().enumerate().map(|(at, attempt)| {
        let is_last = at == last && attempt.failed.is_none();
        let end = match outcome.tries.get(at + 1) {
            Some(next) => next.at,
            None => exchange.ended_at(),
        };
        Span {
            span_id: match is_last {
                true => place.call_id.to_vec(),
                false => new_span_id().to_vec(),
            },
            end: nanoseconds(end),
            ..call(exchange, place, at, attempt)
        }
    }));
    spans
        .iter()
        .map(|span| span.encode_to_vec().into())
        .collect()
}

fn request(exchange: &Exchange<'_>, place: &Place) -> Span {
    let status = exchange.response.status;
    Span {
        span_id: place.span_id.to_vec(),
        parent_span_id: place.parent_id.map(|id| id.to_vec()).unwrap_or_default(),
        name: "kong".to_owned(),
        kind: SERVER,
        start: nanoseconds(exchange.times.received_at),
        end: nanoseconds(exchange.ended_at()),
        attributes: about(exchange),
        status: status.is_server_error().then_some(Status { code: ERROR }),
        trace_id: place.trace_id.bytes.to_vec(),
    }
}

fn about(exchange: &Exchange<'_>) -> Vec<KeyValue> {
    let scheme = if exchange.client.tls { "https" } else { "http" };
    let host = exchange.host.as_str();
    let flavor = match exchange.version {
        Version::HTTP_2 => "2.0",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    let target = &exchange.outcome.target;
    let text = |key, text: &str| attribute(key, Value::text(text));
    let status = i64::from(exchange.response.status.as_u16());
    let mut attributes = vec![
        text("http.method", exchange.method.as_str()),
        text("http.url", &format!("{scheme}://{host}{target}")),
        text("http.host", host),
        text("http.scheme", scheme),
        text("http.flavor", flavor),
        text("http.client_ip", &exchange.client.ip.to_string()),
        text("net.peer.ip", &exchange.client.peer.ip().to_string()),
        text("kong.request.id", &exchange.request_id),
        attribute("http.status_code", Value::Int(status)),
    ];
    if let Some(route) = exchange.route {
        let named = route.name.clone().unwrap_or_else(|| route.id.to_string());
        attributes.push(text("kong.route", &named));
        if let Some(path) = route.paths.iter().flatten().next() {
            attributes.push(text("http.route", path));
        }
    }
    if let Some(service) = exchange.service {
        let named = service.name.as_deref().unwrap_or(&service.host);
        attributes.push(text("kong.service", named));
    }
    if let Some(consumer) = exchange.consumer {
        attributes.push(text("kong.consumer", &consumer.id.to_string()));
    }
    attributes
}

fn call(exchange: &Exchange<'_>, place: &Place, at: usize, attempt: &Try) -> Span {
    let mut attributes = vec![
        attribute("try_count", Value::Int(at as i64 + 1)),
        attribute("net.peer.ip", Value::text(attempt.address.ip().to_string())),
        attribute("net.peer.port", Value::Int(attempt.address.port().into())),
        attribute("net.peer.name", Value::text(&exchange.upstream.host)),
    ];
    if let Some(status) = attempt.failed {
        attributes.push(attribute("http.status_code", Value::Int(status.into())));
    }
    Span {
        trace_id: place.trace_id.bytes.to_vec(),
        parent_span_id: place.span_id.to_vec(),
        name: "kong.balancer".to_owned(),
        kind: CLIENT,
        start: nanoseconds(attempt.at),
        attributes,
        status: attempt.failed.map(|_| Status { code: ERROR }),
        ..Span::default()
    }
}

pub(super) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    since.as_nanos() as u64
}
