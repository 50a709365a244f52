//! `route`: the route for the request, and whether the route accepts it as it came.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::SocketAddr;

use http::header::{CONNECTION, LOCATION, UPGRADE};
use http::{HeaderName, HeaderValue, StatusCode, Version};
use keelgate_entities::kinds::Protocol;
use keelgate_plugins::HeaderMap;
use keelgate_plugins::exchange::Upstream;
use keelgate_router::path::{self, PathError};
use keelgate_router::{Admission, Facts, Headers, admit, host};
use keelgate_runtime::{Chain, Routed};
use smallvec::SmallVec;

use super::forwarded::{self, Forwarded, header};
use super::{Answer, Flight, real_ip};

const KONG_DEBUG: &str = "kong-debug";

/// Finds the route and lays out what goes upstream.
pub(super) fn run<'r>(flight: &mut Flight<'r>) -> Result<&'r Chain, Answer> {
    // In most cases it is normal already, and is only lent.
    let raw = std::mem::take(&mut flight.exchange.raw_path);
    let found = find(flight, &raw);
    flight.exchange.raw_path = raw;
    found
}

fn find<'r>(flight: &mut Flight<'r>, raw: &str) -> Result<&'r Chain, Answer> {
    let path = match path::normalise(raw) {
        Ok(path) => path,
        Err(PathError::NotUtf8) => return Err(no_route(flight)),
        Err(_) => return Err(Answer::failed(flight, StatusCode::BAD_REQUEST)),
    };
    let runtime = flight.runtime;
    let exchange = &mut flight.exchange;
    let named = forwarded::host(&exchange.headers);
    let seen = seen_host(flight.received.authority.as_deref().or(named));
    let authority = named.unwrap_or_default();
    let (host, host_port) = host::split_port(authority);
    let facts = Facts {
        protocol: exchange.protocol,
        method: exchange.method.as_str(),
        authority,
        host,
        port: host_port.unwrap_or(exchange.client.local.port()),
        path: &path,
        query: exchange.query.as_deref(),
        headers: &RequestHeaders(&exchange.headers),
        sni: exchange.client.sni.as_deref(),
        source: SocketAddr::new(exchange.client.ip, exchange.client.peer.port()),
        destination: exchange.client.local,
    };
    let found = runtime.router().find(&facts);
    let captures = found.and_then(|found| runtime.router().captures(&found, &facts));
    let Some((found, routed)) = found.and_then(|found| Some((found, runtime.routed(found.route)?)))
    else {
        return Err(no_route(flight));
    };
    let route = routed.route;
    let prefix = found
        .forwarded_prefix(&path, route.strip_path)
        .map(|prefix| SmallVec::from_slice(prefix.as_bytes()));
    exchange.captures = captures.into_iter().flatten().collect();
    exchange.route = Some(route);
    exchange.service = routed.service.map(|entry| &entry.service);
    exchange.written = routed.written();
    flight.service = routed.service;
    tell_debug(flight, &routed);
    tell_forwarded(flight, seen, prefix);
    check_admission(flight, &routed)?;

    let exchange = &mut flight.exchange;
    if let Some(entry) = routed.service {
        let service = &entry.service;
        let joined = path::upstream_path(service.path.as_deref(), &path, &found, route.strip_path);
        exchange.upstream = Upstream {
            protocol: service.protocol,
            host: service.host.clone(),
            port: service.port,
            path: path::escape(&joined).into_owned(),
            host_header: route
                .preserve_host
                .then(|| forwarded::host(&exchange.headers))
                .flatten()
                .map(str::to_owned),
        };
    }
    Ok(routed.chain)
}

fn no_route(flight: &Flight<'_>) -> Answer {
    Answer::decided(
        flight,
        StatusCode::NOT_FOUND,
        "no Route matched with those values",
    )
}

/// Names the route and the service to whoever may ask and does.
fn tell_debug(flight: &mut Flight<'_>, routed: &Routed<'_>) {
    let exchange = &mut flight.exchange;
    if !flight.core.settings.allow_debug_header || !exchange.headers.contains_key(KONG_DEBUG) {
        return;
    }
    let service = routed.service.map(|entry| &entry.service);
    let route = routed.route;
    let told = [
        ("kong-route-id", Some(route.id.to_string())),
        ("kong-route-name", route.name.clone()),
        (
            "kong-service-id",
            service.map(|service| service.id.to_string()),
        ),
        (
            "kong-service-name",
            service.and_then(|service| service.name.clone()),
        ),
    ];
    for (name, value) in told {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            exchange
                .response
                .headers
                .insert(HeaderName::from_static(name), value);
        }
    }
}

/// Works out the forwarding facts: what a trusted peer says, else what is seen here.
fn tell_forwarded(
    flight: &mut Flight<'_>,
    seen: SmallVec<[u8; 32]>,
    prefix: Option<SmallVec<[u8; 24]>>,
) {
    let exchange = &mut flight.exchange;
    let trusted = real_ip::is_trusted(&flight.core.settings, exchange.client.peer.ip());
    let underscores = flight.received.underscores;
    let said = |name: &HeaderName| {
        trusted
            .then(|| header(&exchange.headers, underscores, name))
            .flatten()
    };
    let proto = said(&forwarded::X_FORWARDED_PROTO).cloned();
    let port = said(&forwarded::X_FORWARDED_PORT);
    let host = said(&forwarded::X_FORWARDED_HOST)
        .map_or(seen, |value| SmallVec::from_slice(value.as_bytes()));
    let path = said(&forwarded::X_FORWARDED_PATH).map(|value| value.as_bytes().to_vec());
    flight.forwarded = Forwarded {
        host,
        path,
        port: port.map_or_else(
            || Cow::Borrowed(flight.client.port_text.as_bytes()),
            |value| Cow::Owned(value.as_bytes().to_vec()),
        ),
        prefix: said(&forwarded::X_FORWARDED_PREFIX)
            .map(|value| SmallVec::from_slice(value.as_bytes()))
            .or(prefix),
        proto: proto.clone(),
    };
    if let Some(port) = port
        .and_then(|port| port.to_str().ok())
        .and_then(|port| port.parse().ok())
    {
        exchange.port = port;
    }
    let tls = match &proto {
        Some(proto) => proto == "https",
        None => exchange.client.tls,
    };
    exchange.protocol = match (is_grpc(&exchange.headers), tls) {
        (false, false) => Protocol::Http,
        (false, true) => Protocol::Https,
        (true, false) => Protocol::Grpc,
        (true, true) => Protocol::Grpcs,
    };
}

/// Where a client of HTTP/1.0 names no host, Kong's own name stands in.
const NAMELESS: &str = "kong";

/// The host that a request names without port and final dot, in lower case.
fn seen_host(named: Option<&str>) -> SmallVec<[u8; 32]> {
    let host = named.unwrap_or(NAMELESS).as_bytes();
    let bracket = match host.first() {
        Some(b'[') => memchr::memchr(b']', host),
        _ => None,
    };
    let end = match bracket {
        Some(bracket) => bracket + 1,
        None => memchr::memchr(b':', host).unwrap_or(host.len()),
    };
    let name = &host[..end];
    let mut name = SmallVec::from_slice(name.strip_suffix(b".").unwrap_or(name));
    name.make_ascii_lowercase();
    name
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get_bytes("content-type")
        .is_some_and(|value| value.starts_with(b"application/grpc"))
}

fn check_admission(flight: &Flight<'_>, routed: &Routed<'_>) -> Result<(), Answer> {
    let exchange = &flight.exchange;
    let proto = match &flight.forwarded.proto {
        Some(proto) => proto.to_str().unwrap_or(""),
        None if exchange.client.tls => "https",
        None => "http",
    };
    let content_type = exchange
        .headers
        .get_bytes("content-type")
        .and_then(|value| std::str::from_utf8(value).ok());
    let http2 = exchange.version == Version::HTTP_2;
    let upgrade = |message, to| {
        let mut answer = Answer::decided(flight, StatusCode::UPGRADE_REQUIRED, message);
        answer
            .headers
            .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        answer.headers.insert(UPGRADE, HeaderValue::from_static(to));
        Err(answer)
    };
    match admit(routed.route, proto, http2, content_type) {
        Admission::Pass => Ok(()),
        Admission::HttpsRequired => upgrade("Please use HTTPS protocol", "TLS/1.2, HTTP/1.1"),
        Admission::Http2Required => upgrade("Please use HTTP2 protocol", "HTTP/2"),
        Admission::RedirectToHttps(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND);
            let mut answer = Answer::redirect(status);
            let mut location = String::from("https://");
            let target = &flight.received.target;
            let host = String::from_utf8_lossy(&flight.forwarded.host);
            // Writing to a String cannot fail.
            let _ = write!(location, "{host}{target}");
            if let Ok(location) = HeaderValue::try_from(location) {
                answer.headers.insert(LOCATION, location);
            }
            Err(answer)
        }
        Admission::GrpcRequired => Err(Answer::decided(
            flight,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Non-gRPC request matched gRPC route",
        )),
        Admission::GrpcsRequired => {
            let mut answer = Answer::empty(StatusCode::OK);
            let headers = [
                ("content-type", "application/grpc"),
                ("grpc-status", "1"),
                ("grpc-message", "gRPC request matched gRPCs route"),
            ];
            for (name, value) in headers {
                answer.headers.insert(
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                );
            }
            Err(answer)
        }
    }
}

struct RequestHeaders<'h>(&'h HeaderMap);

impl Headers for RequestHeaders<'_> {
    fn any(&self, name: &str, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.get_all(name).bytes().any(visit)
    }
}
