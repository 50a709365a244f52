//! `header_filter`: plugins see the response's head; then the gateway adds its own headers.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, SERVER, VIA};
use http::{HeaderName, HeaderValue};

use super::Flight;
use super::upstream::speaks_http2;

const UPSTREAM_STATUS: HeaderName = HeaderName::from_static("x-kong-upstream-status");
const UPSTREAM_LATENCY: HeaderName = HeaderName::from_static("x-kong-upstream-latency");
const PROXY_LATENCY: HeaderName = HeaderName::from_static("x-kong-proxy-latency");
const RESPONSE_LATENCY: HeaderName = HeaderName::from_static("x-kong-response-latency");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-kong-request-id");

/// Runs the phase.
pub(super) fn run(flight: &mut Flight<'_>) {
    let added = flight.core.settings.headers;
    if added.upstream_status
        && let Some(status) = flight.upstream_status
    {
        set(flight, UPSTREAM_STATUS, HeaderValue::from(status));
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
    if flight.proxied {
        let upstream = flight.exchange.times.upstream.map_or(0, milliseconds);
        let proxy = flight.proxy_latency.unwrap_or_else(elapsed);
        if added.upstream_latency {
            set(flight, UPSTREAM_LATENCY, number(upstream));
        }
        if added.proxy_latency {
            set(flight, PROXY_LATENCY, number(proxy));
        }
        if added.via {
            append_via(flight);
        }
        if added.server && !flight.exchange.response.headers.contains_key(SERVER) {
            let server = flight.core.server.clone();
            flight.exchange.response.headers.insert(SERVER, server);
        }
    } else {
        if added.response_latency {
            set(flight, RESPONSE_LATENCY, number(elapsed()));
        }
        let headers = &mut flight.exchange.response.headers;
        if added.server {
            headers.insert(SERVER, flight.core.server.clone());
        } else {
            headers.remove(SERVER);
        }
    }
    if added.request_id
        && let Ok(id) = HeaderValue::from_str(&flight.exchange.request_id)
    {
        set(flight, REQUEST_ID, id);
    }
}

/// Text is said to be UTF-8 where nothing else is said, as Kong's clients are used to.
fn complete_content_type(flight: &mut Flight<'_>) {
    let response = &mut flight.exchange.response;
    // Not on redirects, and not on what is encoded further.
    if matches!(response.status.as_u16(), 301 | 302)
        || response.headers.contains_key(CONTENT_ENCODING)
    {
        return;
    }
    let Some(value) = response.headers.get(CONTENT_TYPE) else {
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
    let bytes = value.as_bytes();
    let Some((usual, completed)) = TEXT
        .iter()
        .find(|(text, _)| bytes.eq_ignore_ascii_case(text.as_bytes()))
    else {
        return;
    };
    let value = if bytes == usual.as_bytes() {
        Ok(HeaderValue::from_static(completed))
    } else {
        HeaderValue::from_bytes(&[bytes, b"; charset=UTF-8"].concat())
    };
    if let Ok(value) = value {
        response.headers.insert(CONTENT_TYPE, value);
    }
}

/// A number as a header; a latency is a small one more often than not.
fn number(value: u64) -> HeaderValue {
    const DIGITS: &str = "0123456789";
    match usize::try_from(value) {
        Ok(digit @ 0..=9) => HeaderValue::from_static(&DIGITS[digit..=digit]),
        _ => HeaderValue::from(value),
    }
}

fn set(flight: &mut Flight<'_>, name: HeaderName, value: HeaderValue) {
    flight.exchange.response.headers.insert(name, value);
}

/// `1.1 keelgate/0.1.0` after what the upstream wrote; of several lines the first counts.
fn append_via(flight: &mut Flight<'_>) {
    let headers = &mut flight.exchange.response.headers;
    let http2 = flight.service.is_some_and(speaks_http2);
    let own = &flight.core.via[usize::from(http2)];
    let via = match headers.get(VIA) {
        None => Ok(own.clone()),
        Some(before) => {
            let both = [before.as_bytes(), b", ", own.as_bytes()].concat();
            HeaderValue::from_maybe_shared(bytes::Bytes::from(both))
        }
    };
    if let Ok(via) = via {
        headers.insert(VIA, via);
    }
}

pub(super) fn milliseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
