//! `rewrite`: who asks, and what; then the global plugins that run before routing.

use std::time::Instant;

use http::header::HeaderMap;
use http::{StatusCode, Version};
use keelgate_entities::kinds::Protocol;
use keelgate_plugins::exchange::{Client as ClientFacts, MadeBy, ResponseHead, Times, Upstream};
use keelgate_plugins::{Exchange, Flow};
use keelgate_router::{host, path};
use keelgate_runtime::Runtime;
use smallvec::SmallVec;

use super::forwarded::{self, Forwarded};
use super::{Answer, Flight, Received, real_ip, request_head};
use crate::core::Core;
use crate::downstream::{Client, Incoming};
use crate::net::{Timer, clock};

/// Lays out the request for the phases.
pub(super) fn begin<'r>(
    core: &'r Core,
    runtime: &'r Runtime,
    timer: &'r Timer,
    client: &'r Client,
    incoming: Incoming,
) -> Flight<'r> {
    let settings = &core.settings;
    let target = std::str::from_utf8(&incoming.target).unwrap_or("");
    let (raw_path, query) = path::split_target(target);
    let host = forwarded::host(&incoming.headers)
        .or(incoming.authority.as_deref())
        .map_or("", |value| host::split_port(value).0);
    let hop = request_head::hop_headers(&incoming.headers);
    let exchange = Exchange {
        request_id: request_id(),
        client: ClientFacts {
            peer: client.peer,
            ip: real_ip::resolve(settings, client.peer.ip(), client.told, &incoming.headers),
            local: client.local,
            sni: client.sni.clone(),
            tls: client.tls,
        },
        protocol: if client.tls {
            Protocol::Https
        } else {
            Protocol::Http
        },
        host: host.to_owned(),
        port: client.local.port(),
        raw_path: raw_path.to_owned(),
        query: query.map(str::to_owned),
        request_body: None,
        upstream: Upstream {
            protocol: Protocol::Http,
            host: String::new(),
            port: 0,
            path: String::new(),
            host_header: None,
        },
        route: None,
        service: None,
        captures: Vec::new(),
        consumer: None,
        credential: None,
        response: ResponseHead {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            made_by: MadeBy::Gateway,
        },
        shared: Vec::new(),
        kept: Vec::new(),
        times: Times {
            received_at: clock::wall(),
            started: Instant::now(),
            upstream: None,
        },
        version: incoming.version,
        method: incoming.method.clone(),
        headers: incoming.headers,
    };
    Flight {
        core,
        runtime,
        timer,
        client,
        exchange,
        plugins: runtime
            .unrouted()
            .links()
            .iter()
            .filter_map(|link| link.resolve(None))
            .collect::<SmallVec<_>>(),
        service: None,
        received: Received {
            target: incoming.target,
            method: incoming.method,
            spelling: incoming.spelling,
            framing: incoming.framing,
            authority: incoming.authority,
            hop,
        },
        forwarded: Forwarded::default(),
        proxied: false,
        proxy_latency: None,
        upstream_status: None,
    }
}

/// Runs the global plugins that take part in this phase.
pub(super) fn run(flight: &mut Flight<'_>) -> Result<(), Answer> {
    for at in 0..flight.plugins.len() {
        let plugin = flight.plugins[at];
        if plugin.phases().rewrite
            && let Flow::Respond(response) = plugin.rewrite(&mut flight.exchange)
        {
            return Err(Answer::from_plugin(flight, *response));
        }
    }
    Ok(())
}

/// 32 hexadecimal digits. Identifies a request in logs; not a secret.
pub(crate) fn request_id() -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut id = [0; 32];
    let bits = fastrand::u128(..).to_ne_bytes();
    for (pair, byte) in id.chunks_exact_mut(2).zip(bits) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    std::str::from_utf8(&id)
        .expect("digits are text")
        .to_owned()
}

/// The version as `Via` writes it.
pub(super) fn via_version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}
