//! `rewrite`: who asks, and what; then the global plugins that run before routing.

use std::time::Instant;

use http::{StatusCode, Version};
use keelgate_entities::kinds::Protocol;
use keelgate_plugins::exchange::{
    Client as ClientFacts, MadeBy, Outcome, ResponseHead, Times, Upstream,
};
use keelgate_plugins::{Exchange, Flow, HeaderMap};
use keelgate_router::path;
use keelgate_runtime::Runtime;
use smallvec::SmallVec;

use super::forwarded::Forwarded;
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
    incoming: &mut Incoming,
) -> Flight<'r> {
    let settings = &core.settings;
    let target = std::mem::take(&mut incoming.target);
    let (raw_path, query) = path::split_target(&target);
    let hop = request_head::hop_headers(&incoming.headers);
    // Written where it stays: an exchange is long.
    Flight {
        core,
        runtime,
        timer,
        client,
        exchange: Exchange {
            request_id: request_id(),
            client: ClientFacts {
                peer: client.peer,
                ip: real_ip::resolve(settings, client.peer.ip(), client.told, &incoming.headers),
                local: client.local,
                sni: client.sni.clone(),
                tls: client.tls,
                session: client.session,
                certificate: client.certificate.clone(),
            },
            protocol: if client.tls {
                Protocol::Https
            } else {
                Protocol::Http
            },
            host: std::mem::take(&mut incoming.host),
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
            written: keelgate_plugins::Places::default(),
            captures: Vec::new(),
            consumer: None,
            credential: None,
            response: ResponseHead {
                status: StatusCode::OK,
                headers: HeaderMap::new(),
                made_by: MadeBy::Gateway,
            },
            trailers: None,
            shared: Vec::new(),
            kept: Vec::new(),
            outcome: Outcome::default(),
            times: Times {
                received_at: clock::wall(),
                started: Instant::now(),
                upstream: None,
            },
            version: incoming.version,
            method: incoming.method.clone(),
            headers: std::mem::take(&mut incoming.headers),
        },
        plugins: runtime
            .unrouted()
            .links()
            .iter()
            .filter_map(|link| link.resolve(None))
            .collect::<SmallVec<_>>(),
        service: None,
        received: Received {
            target,
            method: incoming.method.clone(),
            underscores: incoming.underscores,
            framing: incoming.framing,
            length: incoming.length,
            authority: incoming.authority.take(),
            hop,
        },
        forwarded: Forwarded::default(),
        proxied: false,
        proxy_latency: None,
        upstream_status: None,
        cookie: None,
        debug: None,
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
    let mut id = Vec::with_capacity(32);
    id.extend_from_slice(&hexadecimal(fastrand::u64(..)));
    id.extend_from_slice(&hexadecimal(fastrand::u64(..)));
    String::from_utf8(id).expect("digits are text")
}

/// The digits of a number, all of them worked out at once: each request needs some.
fn hexadecimal(number: u64) -> [u8; 16] {
    const ONES: u128 = u128::from_ne_bytes([1; 16]);
    // Four bits into each byte.
    let mut digits = u128::from(number);
    digits = (digits | digits << 32) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
    digits = (digits | digits << 16) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
    digits = (digits | digits << 8) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    digits = (digits | digits << 4) & (ONES * 0x0f);
    // What is ten and more is a letter.
    let letters = (digits + ONES * 6) >> 4 & ONES;
    (digits + ONES * u128::from(b'0') + letters * u128::from(b'a' - b'0' - 10)).to_be_bytes()
}

/// The version as `Via` writes it.
pub(super) fn via_version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_digits_are_told() {
        for number in [0, 1, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX] {
            let digits = hexadecimal(number);
            assert_eq!(digits, format!("{number:016x}").as_bytes());
        }
        let (one, other) = (request_id(), request_id());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }
}
