//! How `zipkin` passes traces on, and tells of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Version};
use keelgate_entities::kinds;
use uuid::Uuid;

use super::config::{Config, Flavor, NAME, SpanName, Tag};
use super::span::{Annotation, LocalEndpoint, RemoteEndpoint, Span, microseconds};
use super::tags;
use crate::error::Reason;
use crate::logging::batch::Batch;
use crate::logging::endpoint::{Endpoint, Limits};
use crate::logging::logger;
use crate::logging::queue::{Queue, Sink};
use crate::registry::Node;
use crate::traces::context::{Context, SpanId, TraceId, hexadecimal, new_span_id};
use crate::traces::format::Format;
use crate::traces::propagation::Propagation;
use crate::{Access, Directory, Exchange, Flow, Phases, Plugin, setting};

/// How long an idle connection to a server is kept.
const KEEPALIVE: Duration = Duration::from_secs(60);

struct Zipkin {
    propagation: Propagation,
    sample_ratio: f64,
    id_size: usize,
    node_id: Uuid,
    local_service_name: String,
    default_service_name: Option<String>,
    tells_credential: bool,
    tells_path: bool,
    flavor: Flavor,
    tags_header: String,
    static_tags: Vec<Tag>,
    response_header: Option<HeaderName>,
    /// None where traces are only passed on.
    queue: Option<Queue>,
}

/// The place of a request in its trace, and when it got how far.
#[derive(Clone, Debug)]
struct Place {
    trace_id: TraceId,
    span_id: SpanId,
    parent_id: Option<SpanId>,
    /// The span of what happens towards the upstream.
    proxy_id: SpanId,
    sampled: bool,
    access: Option<Instant>,
    header_filter: Option<Instant>,
    body_filter: Option<Instant>,
    /// What the request brought as tags.
    tags: Vec<(String, String)>,
}

/// Compiles a configuration.
pub(crate) fn compile(
    node: &Node,
    plugin: &kinds::Plugin,
    _directory: &Arc<Directory>,
) -> Result<Arc<dyn Plugin>, Reason> {
    let config: Config = setting::decode(&plugin.config)?;
    let queue = match &config.http_endpoint {
        None => None,
        Some(url) => {
            let server = endpoint(node, &config, url)?;
            let settings = config.queue.clone();
            let name = logger::name_of(plugin);
            Some(Queue::new(settings, name, server, &node.delivery))
        }
    };
    let header = config.http_response_header_for_traceid.as_deref();
    let header = header.map(|name| setting::header_name("http_response_header_for_traceid", name));
    let text = |text: Option<String>, otherwise: &str| text.unwrap_or_else(|| otherwise.to_owned());
    Ok(Arc::new(Zipkin {
        propagation: Propagation::new(
            config.propagation,
            config.header_type,
            config.default_header_type,
            Format::B3,
        ),
        sample_ratio: config.sample_ratio.unwrap_or(0.001),
        id_size: config.traceid_byte_count.unwrap_or(16),
        node_id: node.id,
        local_service_name: text(config.local_service_name, "kong"),
        default_service_name: config.default_service_name,
        tells_credential: config.include_credential.unwrap_or(true),
        tells_path: config.http_span_name == Some(SpanName::MethodPath),
        flavor: config.phase_duration_flavor.unwrap_or_default(),
        tags_header: text(config.tags_header, "Zipkin-Tags"),
        static_tags: config.static_tags.unwrap_or_default(),
        response_header: header.transpose()?,
        queue,
    }))
}

fn endpoint(node: &Node, config: &Config, url: &str) -> Result<Endpoint, Reason> {
    let connect =
        setting::milliseconds("connect_timeout", config.connect_timeout.unwrap_or(2000.0))?;
    let send = setting::milliseconds("send_timeout", config.send_timeout.unwrap_or(5000.0))?;
    let read = setting::milliseconds("read_timeout", config.read_timeout.unwrap_or(5000.0))?;
    let limits = Limits {
        connect,
        total: connect + send + read,
        keepalive: KEEPALIVE,
    };
    let mut endpoint = Endpoint::new("http_endpoint", url, Method::POST, limits, node)?;
    let json = HeaderValue::from_static("application/json");
    endpoint.header(CONTENT_TYPE, json);
    Ok(endpoint)
}

impl Sink for Endpoint {
    const BEHIND: Option<u8> = Some(b',');

    /// What the queue holds is lists of spans without brackets.
    async fn send(&self, batch: &Batch) -> Result<(), String> {
        Endpoint::send(self, batch.list()).await
    }
}

impl Zipkin {
    fn place_of(&self, exchange: &Exchange<'_>, brought: &Context) -> Place {
        let (span_id, parent_id) = match brought.shared {
            true => (brought.span_id, brought.parent_id),
            false => (None, brought.span_id),
        };
        let chance = || fastrand::f64() < self.sample_ratio;
        Place {
            trace_id: brought
                .trace_id
                .unwrap_or_else(|| TraceId::new(self.id_size)),
            span_id: span_id.unwrap_or_else(new_span_id),
            parent_id,
            proxy_id: new_span_id(),
            sampled: brought.sampled.unwrap_or_else(chance),
            access: None,
            header_filter: None,
            body_filter: None,
            tags: tags::read(&exchange.headers, &self.tags_header),
        }
    }

    /// The place of the request in its trace; for one that another plugin answered before, a place
    /// that nobody was told of.
    fn place(&self, exchange: &mut Exchange<'_>) -> Place {
        exchange.take_back::<Place>(NAME).unwrap_or_else(|| {
            let (brought, _) = self.propagation.extract(exchange);
            self.place_of(exchange, &brought)
        })
    }

    fn span<'s>(&'s self, place: &Place, id: SpanId, name: String) -> Span<'s> {
        Span {
            trace_id: place.trace_id.to_string(),
            name,
            parent_id: Some(hexadecimal(place.span_id)),
            id: hexadecimal(id),
            kind: "CLIENT",
            timestamp: 0,
            duration: 0,
            local_endpoint: LocalEndpoint {
                service_name: &self.local_service_name,
            },
            remote_endpoint: None,
            tags: BTreeMap::new(),
            annotations: Vec::new(),
        }
    }

    fn request_span<'s>(
        &'s self,
        exchange: &Exchange<'_>,
        place: &'s Place,
        name: &str,
    ) -> Span<'s> {
        let mut span = self.span(place, place.span_id, name.to_owned());
        span.kind = "SERVER";
        span.parent_id = place.parent_id.map(hexadecimal);
        let address = (exchange.client.ip, exchange.port);
        let service_name = self.default_service_name.as_deref();
        span.remote_endpoint = RemoteEndpoint::of(service_name, Some(address));
        let protocol = match exchange.version {
            Version::HTTP_2 => "HTTP/2",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        };
        let own = [
            ("lc", "kong".to_owned()),
            ("http.method", exchange.method.as_str().to_owned()),
            ("http.host", exchange.host.clone()),
            ("http.path", exchange.path().into_owned()),
            ("http.protocol", protocol.to_owned()),
            (
                "http.status_code",
                exchange.response.status.as_u16().to_string(),
            ),
            ("kong.node.id", self.node_id.to_string()),
        ];
        // What a request brings does not stand for what the gateway knows.
        let tags = &mut span.tags;
        tags.extend(
            place
                .tags
                .iter()
                .map(|(name, value)| (name.as_str(), value.clone())),
        );
        tags.extend(
            self.static_tags
                .iter()
                .map(|tag| (tag.name.as_str(), tag.value.clone())),
        );
        tags.extend(own);
        if let Some(consumer) = exchange.consumer {
            tags.insert("kong.consumer", consumer.id.to_string());
        }
        if let Some(credential) = exchange.credential.filter(|_| self.tells_credential) {
            tags.insert("kong.credential", credential.id.to_string());
        }
        span.lasting(exchange.times.received_at, exchange.ended_at())
    }

    /// The service and the route, as tags, and as the name of who was talked to.
    fn tell_route<'s>(&'s self, span: &mut Span<'s>, exchange: &Exchange<'s>) -> Option<&'s str> {
        let mut called = self.default_service_name.as_deref();
        if let Some(service) = exchange.service {
            span.tags.insert("kong.service", service.id.to_string());
            if let Some(name) = &service.name {
                span.tags.insert("kong.service_name", name.clone());
                called = Some(name);
            }
        }
        if let Some(route) = exchange.route {
            span.tags.insert("kong.route", route.id.to_string());
            if let Some(name) = &route.name {
                span.tags.insert("kong.route_name", name.clone());
            }
        }
        called
    }

    /// All spans of a request, in a list without brackets.
    fn write<'s>(&'s self, exchange: &Exchange<'s>, place: &'s Place) -> Bytes {
        let name = match self.tells_path {
            true => format!("{} {}", exchange.method, exchange.path()),
            false => exchange.method.to_string(),
        };
        let mut request = self.request_span(exchange, place, &name);
        let proxy_name = format!("{name} (proxy)");
        let mut proxy = self.span(place, place.proxy_id, proxy_name);
        let moments = Moments::of(exchange, place);
        moments.tell(self.flavor, &mut request, &mut proxy);
        let mut proxy = proxy.lasting(moments.access, moments.end);
        let called = self.tell_route(&mut proxy, exchange);
        let tries = &exchange.outcome.tries;
        let last = tries
            .last()
            .map(|last| (last.address.ip(), last.address.port()));
        proxy.remote_endpoint = RemoteEndpoint::of(called, last);
        if last.is_some() {
            proxy
                .tags
                .insert("peer.hostname", exchange.upstream.host.clone());
        }
        let mut spans = Vec::with_capacity(tries.len() + 2);
        for (at, attempt) in tries.iter().enumerate() {
            let number = at + 1;
            let name = format!("{name} (balancer try {number})");
            let mut span = self.span(place, new_span_id(), name);
            span.tags.insert("kong.balancer.try", number.to_string());
            if let Some(status) = attempt.failed {
                span.tags.insert("error", "true".to_owned());
                span.tags.insert("kong.balancer.state", "failed".to_owned());
                span.tags.insert("http.status_code", status.to_string());
            }
            let called = self.tell_route(&mut span, exchange);
            let address = (attempt.address.ip(), attempt.address.port());
            span.remote_endpoint = RemoteEndpoint::of(called, Some(address));
            spans.push(span.lasting(attempt.at, attempt.at + attempt.chosen_in));
        }
        spans.extend([proxy, request]);
        let mut list = BytesMut::new();
        for (at, span) in spans.into_iter().enumerate() {
            if at > 0 {
                list.put_u8(b',');
            }
            list.put_slice(&span.write());
        }
        list.freeze()
    }
}

/// When a request got how far.
struct Moments {
    start: SystemTime,
    access: SystemTime,
    access_end: SystemTime,
    header_filter: Option<SystemTime>,
    body_filter: SystemTime,
    end: SystemTime,
}

impl Moments {
    fn of(exchange: &Exchange<'_>, place: &Place) -> Self {
        let times = &exchange.times;
        let at = |moment: Instant| times.received_at + moment.duration_since(times.started);
        let end = exchange.ended_at();
        let access = place.access.or(place.header_filter).map_or(end, at);
        let header_filter = place.header_filter.map(at);
        let called = exchange.outcome.tries.first().map(|first| first.at);
        Self {
            start: times.received_at,
            access,
            access_end: called.or(header_filter).unwrap_or(end).max(access),
            header_filter,
            body_filter: place.body_filter.map_or(end, at),
            end,
        }
    }

    /// Tells them as annotations, or how long phases took as tags.
    fn tell(&self, flavor: Flavor, request: &mut Span<'_>, proxy: &mut Span<'_>) {
        match flavor {
            Flavor::Annotations => {
                let annotation = |(value, at)| Annotation {
                    value,
                    timestamp: microseconds(at),
                };
                let rewrite = [("krs", self.start), ("krf", self.access.min(self.end))];
                request.annotations.extend(rewrite.map(annotation));
                let access = [("kas", self.access), ("kaf", self.access_end)];
                proxy.annotations.extend(access.map(annotation));
                let header = self.header_filter.map(|at| ("khs", at));
                proxy.annotations.extend(header.map(annotation));
                let body = [
                    ("khf", self.body_filter),
                    ("kbs", self.body_filter),
                    ("kbf", self.end),
                ];
                proxy.annotations.extend(body.map(annotation));
            }
            Flavor::Tags => {
                let took = |from: SystemTime, to: SystemTime| {
                    let took = to.duration_since(from).unwrap_or_default();
                    took.as_millis().to_string()
                };
                let rewrite = took(self.start, self.access);
                request.tags.insert("kong.rewrite.duration_ms", rewrite);
                let access = took(self.access, self.access_end);
                proxy.tags.insert("kong.access.duration_ms", access);
                if let Some(header_filter) = self.header_filter {
                    let took = took(header_filter, self.body_filter);
                    proxy.tags.insert("kong.header_filter.duration_ms", took);
                }
                let body_filter = took(self.body_filter, self.end);
                proxy
                    .tags
                    .insert("kong.body_filter.duration_ms", body_filter);
            }
        }
    }
}

impl Plugin for Zipkin {
    fn phases(&self) -> Phases {
        Phases {
            access: true,
            header_filter: true,
            body_filter: self.queue.is_some(),
            log: true,
            ..Phases::default()
        }
    }

    fn access<'a, 'r: 'a>(&'r self, exchange: &'a mut Exchange<'r>) -> Access<'a> {
        let (brought, found) = self.propagation.extract(exchange);
        let mut place = self.place_of(exchange, &brought);
        place.access = Some(Instant::now());
        let told = Context {
            trace_id: Some(place.trace_id),
            span_id: Some(place.proxy_id),
            parent_id: Some(place.span_id),
            sampled: Some(place.sampled),
            ..brought
        };
        self.propagation.inject(exchange, &told, found);
        exchange.keep(NAME, place);
        Access::Ready(Flow::Continue)
    }

    fn header_filter<'r>(&'r self, exchange: &mut Exchange<'r>) {
        let mut place = self.place(exchange);
        place.header_filter = Some(Instant::now());
        if let Some(name) = &self.response_header
            && let Ok(id) = HeaderValue::try_from(place.trace_id.to_string())
        {
            exchange.response.headers.append(name, id);
        }
        exchange.keep(NAME, place);
    }

    fn body_filter<'r>(&'r self, exchange: &mut Exchange<'r>, piece: Bytes, _last: bool) -> Bytes {
        let is_first = exchange
            .kept_by::<Place>(NAME)
            .is_some_and(|place| place.body_filter.is_none() && place.sampled);
        if is_first && let Some(mut place) = exchange.take_back::<Place>(NAME) {
            place.body_filter = Some(Instant::now());
            exchange.keep(NAME, place);
        }
        piece
    }

    fn log<'r>(&'r self, exchange: &mut Exchange<'r>) {
        let place = self.place(exchange);
        if let Some(queue) = self.queue.as_ref().filter(|_| place.sampled) {
            let spans = self.write(exchange, &place);
            queue.push(|out| out.extend_from_slice(&spans));
        }
    }
}
