//! The spans of a request: one of the request itself, and one of each attempt to call the upstream.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Version;
use uuid::Uuid;

use super::otlp::{attribute, integer, item, text, written};
use super::protobuf;
use crate::Exchange;
use crate::logging::json;
use crate::traces::context::{Context, SpanId, TraceId, new_span_id};

/// The span of the request itself.
const SERVER: i64 = 2;

/// The span of a call.
const CLIENT: i64 = 3;

const ERROR: i64 = 2;

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

/// Appends the spans of a request to what `push` gives, each by itself.
pub(super) fn spans(
    exchange: &Exchange<'_>,
    place: &Place,
    mut push: impl FnMut(&dyn Fn(&mut Vec<u8>)),
) {
    push(&|out| item(out, |out| request(exchange, place, out)));
    for at in 0..exchange.outcome.tries.len() {
        push(&|out| item(out, |out| call(exchange, place, at, out)));
    }
}

/// What all spans have.
struct Head<'s> {
    place: &'s Place,
    id: SpanId,
    parent_id: Option<SpanId>,
    name: &'static str,
    /// [`SERVER`] or [`CLIENT`].
    kind: i64,
    start: SystemTime,
    end: SystemTime,
}

impl Head<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        protobuf::bytes(out, 1, &self.place.trace_id.bytes);
        protobuf::bytes(out, 2, &self.id);
        if let Some(parent) = &self.parent_id {
            protobuf::bytes(out, 4, parent);
        }
        protobuf::bytes(out, 5, self.name.as_bytes());
        protobuf::number(out, 6, self.kind);
        protobuf::fixed64(out, 7, nanoseconds(self.start));
        protobuf::fixed64(out, 8, nanoseconds(self.end));
    }
}

/// Appends an attribute of a span.
fn about(out: &mut Vec<u8>, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
    attribute(out, 9, name, write);
}

/// Appends that a span has ended with an error.
fn error(out: &mut Vec<u8>) {
    protobuf::message(out, 15, |out| protobuf::number(out, 3, ERROR));
}

fn request(exchange: &Exchange<'_>, place: &Place, out: &mut Vec<u8>) {
    let head = Head {
        place,
        id: place.span_id,
        parent_id: place.parent_id,
        name: "kong",
        kind: SERVER,
        start: exchange.times.received_at,
        end: exchange.ended_at(),
    };
    head.write(out);
    let scheme = if exchange.client.tls { "https" } else { "http" };
    let host = exchange.host.as_str();
    let flavor = match exchange.version {
        Version::HTTP_2 => "2.0",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    let client = &exchange.client;
    about(out, "http.method", |out| {
        text(out, exchange.method.as_str())
    });
    about(out, "http.url", |out| {
        written(out, |out| {
            for part in [scheme, "://", host, &exchange.outcome.target] {
                out.extend_from_slice(part.as_bytes());
            }
        });
    });
    about(out, "http.host", |out| text(out, host));
    about(out, "http.scheme", |out| text(out, scheme));
    about(out, "http.flavor", |out| text(out, flavor));
    about(out, "http.client_ip", |out| address(out, client.ip));
    about(out, "net.peer.ip", |out| address(out, client.peer.ip()));
    about(out, "kong.request.id", |out| {
        text(out, &exchange.request_id)
    });
    let status = exchange.response.status;
    about(out, "http.status_code", |out| {
        integer(out, status.as_u16().into())
    });
    if let Some(route) = exchange.route {
        about(out, "kong.route", |out| match &route.name {
            Some(name) => text(out, name),
            None => id(out, route.id),
        });
        if let Some(path) = route.paths.iter().flatten().next() {
            about(out, "http.route", |out| text(out, path));
        }
    }
    if let Some(service) = exchange.service {
        let name = service.name.as_deref().unwrap_or(&service.host);
        about(out, "kong.service", |out| text(out, name));
    }
    if let Some(consumer) = exchange.consumer {
        about(out, "kong.consumer", |out| id(out, consumer.id));
    }
    if status.is_server_error() {
        error(out);
    }
}

fn call(exchange: &Exchange<'_>, place: &Place, at: usize, out: &mut Vec<u8>) {
    let tries = &exchange.outcome.tries;
    let (attempt, next) = (&tries[at], tries.get(at + 1));
    let is_last = next.is_none() && attempt.failed.is_none();
    let head = Head {
        place,
        id: match is_last {
            true => place.call_id,
            false => new_span_id(),
        },
        parent_id: Some(place.span_id),
        name: "kong.balancer",
        kind: CLIENT,
        start: attempt.at,
        end: next.map_or_else(|| exchange.ended_at(), |next| next.at),
    };
    head.write(out);
    let peer = attempt.address;
    about(out, "try_count", |out| integer(out, at as i64 + 1));
    about(out, "net.peer.ip", |out| address(out, peer.ip()));
    about(out, "net.peer.port", |out| integer(out, peer.port().into()));
    about(out, "net.peer.name", |out| {
        text(out, &exchange.upstream.host)
    });
    if let Some(status) = attempt.failed {
        about(out, "http.status_code", |out| integer(out, status.into()));
        error(out);
    }
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    written(out, |out| json::bare_address(out, address));
}

fn id(out: &mut Vec<u8>, id: Uuid) {
    written(out, |out| json::bare_id(out, id));
}

pub(super) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    since.as_nanos() as u64
}
