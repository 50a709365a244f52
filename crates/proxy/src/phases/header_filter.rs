//! `header_filter`: plugins see the response's head; then the gateway adds its own headers.

use http::header::{CONTENT_TYPE, SET_COOKIE};
use http::{HeaderValue, Version};
use keelgate_plugins::exchange::MadeBy;
use smallvec::SmallVec;

use super::Flight;
use super::request_debug::{self, Part};
use super::upstream::speaks_http2;
use crate::http1::encode;

/// Runs the phase.
pub(super) fn run(flight: &mut Flight<'_>) {
    let timed = request_debug::start(flight);
    let added = flight.core.settings.headers;
    if added.upstream_status
        && let Some(status) = upstream_status(flight)
    {
        tell_number(flight, "X-Kong-Upstream-Status", status.into());
    }
    if flight.proxied {
        give_cookie(flight);
    }
    for at in 0..flight.plugins.len() {
        let plugin = flight.plugins[at];
        if plugin.phases().header_filter {
            plugin.header_filter(&mut flight.exchange);
        }
    }
    complete_content_type(flight);
    let started = flight.exchange.times.started;
    let elapsed = || milliseconds(started.elapsed());
    if flight.proxied || flight.exchange.response.made_by == MadeBy::Cache {
        let upstream = flight.exchange.times.upstream.map_or(0, milliseconds);
        let proxy = flight.proxy_latency.unwrap_or_else(elapsed);
        if added.upstream_latency {
            tell_number(flight, "X-Kong-Upstream-Latency", upstream);
        }
        if added.proxy_latency {
            tell_number(flight, "X-Kong-Proxy-Latency", proxy);
        }
        if added.via {
            let http2 = flight.service.is_some_and(speaks_http2);
            append_via(flight, http2);
        }
        if added.server && !flight.exchange.response.headers.contains_key("server") {
            tell_server(flight);
        }
    } else {
        let of_function = flight.exchange.response.made_by == MadeBy::Function;
        if added.response_latency {
            // Without the time that a function took.
            let waited = flight.exchange.times.upstream.filter(|_| of_function);
            let waited = waited.map_or(0, milliseconds);
            let latency = elapsed().saturating_sub(waited);
            tell_number(flight, "X-Kong-Response-Latency", latency);
        }
        if added.via && of_function {
            let http2 = flight.exchange.version == Version::HTTP_2;
            append_via(flight, http2);
        }
        if added.server {
            tell_server(flight);
        } else {
            flight.exchange.response.headers.remove("server");
        }
    }
    if added.request_id {
        let exchange = &mut flight.exchange;
        let id = exchange.request_id.as_bytes();
        let headers = &mut exchange.response.headers;
        headers.tell("X-Kong-Request-Id", |out| out.extend_from_slice(id));
    }
    request_debug::spent(flight, Part::HeaderFilter, timed);
    request_debug::tell(flight);
}

/// What the upstream answered, or what its silence is taken for.
fn upstream_status(flight: &Flight<'_>) -> Option<u16> {
    let told = || flight.exchange.response.status.as_u16();
    flight.upstream_status.or_else(|| flight.proxied.then(told))
}

/// Sends the cookie that brings the client back to its target; in place of one of that name that the
/// upstream sends.
fn give_cookie(flight: &mut Flight<'_>) {
    let Some(cookie) = flight.cookie.take() else {
        return;
    };
    let Ok(own) = HeaderValue::try_from(cookie.text()) else {
        return;
    };
    let headers = &mut flight.exchange.response.headers;
    let of_upstream: SmallVec<[HeaderValue; 4]> =
        headers.get_all(SET_COOKIE).iter().cloned().collect();
    headers.remove(SET_COOKIE);
    let mut own = Some(own);
    for value in of_upstream {
        let value = match own.take_if(|_| cookie.is_named_by(value.as_bytes())) {
            Some(own) => own,
            None => value,
        };
        headers.append(SET_COOKIE, value);
    }
    if let Some(own) = own {
        headers.append(SET_COOKIE, own);
    }
}

/// Text is said to be UTF-8 where nothing else is said, as Kong's clients are used to.
fn complete_content_type(flight: &mut Flight<'_>) {
    let response = &mut flight.exchange.response;
    // Not on redirects, and not on what is encoded further.
    if matches!(response.status.as_u16(), 301 | 302)
        || response.headers.contains_key("content-encoding")
    {
        return;
    }
    let Some(bytes) = response.headers.get_bytes("content-type") else {
        return;
    };
    const TEXT: [(&str, &str); 6] = [
        ("text/html", "text/html; charset=UTF-8"),
        ("text/xml", "text/xml; charset=UTF-8"),
        ("text/plain", "text/plain; charset=UTF-8"),
        ("text/vnd.wap.wml", "text/vnd.wap.wml; charset=UTF-8"),
        (
            "application/javascript",
            "application/javascript; charset=UTF-8",
        ),
        ("application/rss+xml", "application/rss+xml; charset=UTF-8"),
    ];
    let Some((usual, completed)) = TEXT
        .iter()
        .find(|(text, _)| bytes.eq_ignore_ascii_case(text.as_bytes()))
    else {
        return;
    };
    if bytes == usual.as_bytes() {
        response.headers.tell("Content-Type", |out| {
            out.extend_from_slice(completed.as_bytes())
        });
        return;
    }
    if let Ok(value) = HeaderValue::from_bytes(&[bytes, b"; charset=UTF-8"].concat()) {
        response.headers.insert(CONTENT_TYPE, value);
    }
}

fn tell_number(flight: &mut Flight<'_>, name: &'static str, number: u64) {
    let headers = &mut flight.exchange.response.headers;
    headers.tell(name, |out| encode::number(number, out));
}

fn tell_server(flight: &mut Flight<'_>) {
    let server = flight.core.server.as_bytes();
    let headers = &mut flight.exchange.response.headers;
    headers.tell("Server", |out| out.extend_from_slice(server));
}

/// `1.1 keelgate/0.1.0` after what the upstream wrote; of several lines the first counts.
fn append_via(flight: &mut Flight<'_>, http2: bool) {
    let own = flight.core.via[usize::from(http2)].as_bytes();
    let headers = &mut flight.exchange.response.headers;
    match headers.get("via").cloned() {
        None => headers.tell("Via", |out| out.extend_from_slice(own)),
        Some(before) => headers.tell("Via", |out| {
            out.extend_from_slice(before.as_bytes());
            out.extend_from_slice(b", ");
            out.extend_from_slice(own);
        }),
    }
}

pub(super) fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
