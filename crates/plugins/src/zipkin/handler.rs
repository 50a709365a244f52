//! How `zipkin` passes traces on, and tells of them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Version};
use keelgate_entities::kinds;
use smallvec::SmallVec;
use uuid::Uuid;

use super::config::{Config, Flavor, NAME, SpanName, Tag};
use super::span::{Annotation, Name, Part, RemoteEndpoint, Span, Tags, Value};
use super::tags;
use crate::error::Reason;
use crate::exchange::Try;
use crate::logging::batch::Batch;
use crate::logging::endpoint::{Endpoint, Limits};
use crate::logging::logger;
use crate::logging::queue::{Queue, Sink};
use crate::registry::Node;
use crate::traces::context::{Context, SpanId, TraceId, new_span_id};
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
    fn place<'e>(&self, exchange: &'e mut Exchange<'_>) -> &'e mut Place {
        if exchange.kept_by::<Place>(NAME).is_none() {
            let (brought, _) = self.propagation.extract(exchange);
            let place = self.place_of(exchange, &brought);
            exchange.keep(NAME, place);
        }
        exchange.kept_by_mut(NAME).expect("it has just been kept")
    }

    fn span<'s>(
        &'s self,
        exchange: &'s Exchange<'_>,
        path: &'s str,
        place: &Place,
        part: Part,
        lasted: (SystemTime, SystemTime),
    ) -> Span<'s> {
        let (id, parent_id, kind) = match part {
            Part::Request => (place.span_id, place.parent_id, "SERVER"),
            Part::Proxy => (place.proxy_id, Some(place.span_id), "CLIENT"),
            Part::Attempt(_) => (new_span_id(), Some(place.span_id), "CLIENT"),
        };
        Span {
            trace_id: place.trace_id,
            name: Name {
                method: exchange.method.as_str(),
                path: self.tells_path.then_some(path),
                part,
            },
            parent_id,
            id,
            kind,
            lasted,
            local: &self.local_service_name,
            remote: RemoteEndpoint::default(),
            tags: Tags::default(),
            annotations: SmallVec::new(),
        }
    }

    fn request_span<'s>(
        &'s self,
        exchange: &'s Exchange<'_>,
        path: &'s str,
        place: &'s Place,
        moments: &Moments,
    ) -> Span<'s> {
        let lasted = (exchange.times.received_at, moments.end);
        let mut span = self.span(exchange, path, place, Part::Request, lasted);
        span.remote = RemoteEndpoint {
            service_name: self.default_service_name.as_deref(),
            address: Some((exchange.client.ip, exchange.port)),
        };
        let tags = &mut span.tags;
        for (name, value) in &place.tags {
            tags.text(name, value);
        }
        for tag in &self.static_tags {
            tags.text(&tag.name, &tag.value);
        }
        // What a request brings does not stand for what the gateway knows.
        tags.text("http.host", &exchange.host);
        tags.text("http.method", exchange.method.as_str());
        tags.text("http.path", path);
        let protocol = match exchange.version {
            Version::HTTP_2 => "HTTP/2",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        };
        tags.text("http.protocol", protocol);
        let status = exchange.response.status.as_u16();
        tags.set("http.status_code", Value::Number(status.into()));
        if let Some(consumer) = exchange.consumer {
            tags.set("kong.consumer", Value::Id(consumer.id));
        }
        if let Some(credential) = exchange.credential.filter(|_| self.tells_credential) {
            tags.set("kong.credential", Value::Id(credential.id));
        }
        tags.set("kong.node.id", Value::Id(self.node_id));
        moments.tell_request(self.flavor, &mut span);
        span.tags.text("lc", "kong");
        span
    }

    fn proxy_span<'s>(
        &'s self,
        exchange: &'s Exchange<'_>,
        path: &'s str,
        place: &Place,
        moments: &Moments,
    ) -> Span<'s> {
        let lasted = (moments.access, moments.end);
        let mut span = self.span(exchange, path, place, Part::Proxy, lasted);
        moments.tell_proxy(self.flavor, &mut span);
        let last = exchange.outcome.tries.last();
        let address = last.map(|last| (last.address.ip(), last.address.port()));
        self.tell_route(&mut span, exchange, address);
        if last.is_some() {
            span.tags.text("peer.hostname", &exchange.upstream.host);
        }
        span
    }

    fn attempt_span<'s>(
        &'s self,
        exchange: &'s Exchange<'_>,
        path: &'s str,
        place: &Place,
        (at, attempt): (usize, &Try),
    ) -> Span<'s> {
        let lasted = (attempt.at, attempt.at + attempt.chosen_in);
        let mut span = self.span(exchange, path, place, Part::Attempt(at + 1), lasted);
        let tags = &mut span.tags;
        if let Some(status) = attempt.failed {
            tags.text("error", "true");
            tags.set("http.status_code", Value::Number(status.into()));
            tags.text("kong.balancer.state", "failed");
        }
        tags.set("kong.balancer.try", Value::Number(at as u64 + 1));
        let address = (attempt.address.ip(), attempt.address.port());
        self.tell_route(&mut span, exchange, Some(address));
        span
    }

    /// The service and the route, as tags, and as the name of who was talked to.
    fn tell_route<'s>(
        &'s self,
        span: &mut Span<'s>,
        exchange: &'s Exchange<'_>,
        address: Option<(IpAddr, u16)>,
    ) {
        let mut called = self.default_service_name.as_deref();
        if let Some(route) = exchange.route {
            span.tags.set("kong.route", Value::Id(route.id));
            if let Some(name) = &route.name {
                span.tags.text("kong.route_name", name);
            }
        }
        if let Some(service) = exchange.service {
            span.tags.set("kong.service", Value::Id(service.id));
            if let Some(name) = &service.name {
                span.tags.text("kong.service_name", name);
                called = Some(name);
            }
        }
        span.remote = RemoteEndpoint {
            service_name: called,
            address,
        };
    }

    /// Appends all spans of a request, in a list without brackets.
    fn write(&self, exchange: &Exchange<'_>, place: &Place, out: &mut Vec<u8>) {
        let (moments, path) = (Moments::of(exchange, place), exchange.path());
        for attempt in exchange.outcome.tries.iter().enumerate() {
            self.attempt_span(exchange, &path, place, attempt)
                .write(out);
            out.push(b',');
        }
        self.proxy_span(exchange, &path, place, &moments).write(out);
        out.push(b',');
        self.request_span(exchange, &path, place, &moments)
            .write(out);
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

    /// Tells those of the request itself: as annotations, or how long phases took as tags.
    fn tell_request(&self, flavor: Flavor, span: &mut Span<'_>) {
        match flavor {
            Flavor::Annotations => {
                let rewrite = [("krs", self.start), ("krf", self.access.min(self.end))];
                span.annotations.extend(rewrite.map(annotation));
            }
            Flavor::Tags => {
                let rewrite = took(self.start, self.access);
                span.tags.set("kong.rewrite.duration_ms", rewrite);
            }
        }
    }

    /// The same of what happens towards the upstream.
    fn tell_proxy(&self, flavor: Flavor, span: &mut Span<'_>) {
        match flavor {
            Flavor::Annotations => {
                let access = [("kas", self.access), ("kaf", self.access_end)];
                let header = self.header_filter.map(|at| ("khs", at));
                let body = [
                    ("khf", self.body_filter),
                    ("kbs", self.body_filter),
                    ("kbf", self.end),
                ];
                let all = access.into_iter().chain(header).chain(body);
                span.annotations.extend(all.map(annotation));
            }
            Flavor::Tags => {
                let access = took(self.access, self.access_end);
                span.tags.set("kong.access.duration_ms", access);
                let body_filter = took(self.body_filter, self.end);
                span.tags.set("kong.body_filter.duration_ms", body_filter);
                if let Some(header_filter) = self.header_filter {
                    let took = took(header_filter, self.body_filter);
                    span.tags.set("kong.header_filter.duration_ms", took);
                }
            }
        }
    }
}

fn annotation((value, at): (&'static str, SystemTime)) -> Annotation {
    Annotation { value, at }
}

/// Milliseconds, as the value of a tag.
fn took(from: SystemTime, to: SystemTime) -> Value<'static> {
    let took = to.duration_since(from).unwrap_or_default();
    Value::Number(took.as_millis() as u64)
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
        let place = self.place(exchange);
        place.header_filter = Some(Instant::now());
        let trace_id = place.trace_id;
        if let Some(name) = &self.response_header
            && let Ok(id) = HeaderValue::try_from(trace_id.to_string())
        {
            exchange.response.headers.append(name, id);
        }
    }

    fn body_filter<'r>(&'r self, exchange: &mut Exchange<'r>, piece: Bytes, _last: bool) -> Bytes {
        if let Some(place) = exchange.kept_by_mut::<Place>(NAME)
            && place.sampled
            && place.body_filter.is_none()
        {
            place.body_filter = Some(Instant::now());
        }
        piece
    }

    fn log<'r>(&'r self, exchange: &mut Exchange<'r>) {
        self.place(exchange);
        let exchange = &*exchange;
        let place = exchange
            .kept_by::<Place>(NAME)
            .filter(|place| place.sampled);
        if let (Some(queue), Some(place)) = (&self.queue, place) {
            queue.push(|out| self.write(exchange, place, out));
        }
    }
}
