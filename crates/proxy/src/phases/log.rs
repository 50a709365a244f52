//! `log`: after the response was sent, or the client went away.

use std::time::Duration;

use http::Version;
use http::header::{CONTENT_LENGTH, HeaderValue, REFERER, USER_AGENT};
use keelgate_plugins::exchange::MadeBy;

use super::Flight;
use super::answer::client_gone;
use crate::access_log::Record;
use crate::downstream::{Outcome, Respond};
use crate::http1::Framing;
use crate::http1::framing::may_have_body;

/// Runs the phase, and writes the access log. `received` is what came of the body, in bytes.
pub(super) fn run(
    flight: &mut Flight<'_>,
    received: u64,
    respond: &impl Respond,
    outcome: Outcome,
) {
    let sent = respond.sent();
    if outcome == Outcome::Gone && !respond.has_begun() {
        flight.exchange.response.status = client_gone();
    }
    if flight.is_logged() {
        complete_head(flight, sent, outcome);
        run_plugins(flight, sent);
    }
    let Some(log) = &flight.core.settings.access_log else {
        return;
    };
    let exchange = &flight.exchange;
    let text = |name| {
        exchange
            .headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    log.record(&Record {
        client: exchange.client.ip,
        received_at: exchange.times.received_at,
        method: flight.received.method.as_str(),
        target: &flight.received.target,
        version: match exchange.version {
            Version::HTTP_2 => "HTTP/2.0",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        },
        status: exchange.response.status.as_u16(),
        body_bytes: sent,
        request_bytes: flight.received.length as u64 + received,
        sent_bytes: respond.written(),
        referer: text(REFERER),
        user_agent: text(USER_AGENT),
        request_id: &exchange.request_id,
        host: &exchange.host,
        port: exchange.port,
        scheme: if flight.client.tls { "https" } else { "http" },
        headers: &exchange.headers,
        sent: &exchange.response.headers,
        elapsed: exchange.times.started.elapsed(),
        upstream: flight
            .proxied
            .then_some((exchange.upstream.host.as_str(), exchange.upstream.port)),
        upstream_status: flight.upstream_status,
        upstream_time: exchange.times.upstream,
        connection: flight.client.facts(),
        route: exchange.route.and_then(|route| route.name.as_deref()),
        service: exchange.service.and_then(|service| service.name.as_deref()),
        consumer: exchange
            .consumer
            .and_then(|consumer| consumer.username.as_deref()),
    });
}

/// Adds what the head of the response told beside the headers of the phases.
fn complete_head(flight: &mut Flight<'_>, sent: u64, outcome: Outcome) {
    let exchange = &mut flight.exchange;
    let of_upstream = exchange.response.made_by == MadeBy::Upstream;
    let (status, version) = (exchange.response.status, exchange.version);
    let headers = &mut exchange.response.headers;
    let connection = match outcome {
        Outcome::KeepAlive => "keep-alive",
        Outcome::Close | Outcome::Abort | Outcome::Gone => "close",
    };
    headers.tell("connection", |out| {
        out.extend_from_slice(connection.as_bytes());
    });
    if headers.contains_key(CONTENT_LENGTH) || !may_have_body(status) {
        return;
    }
    if !of_upstream {
        headers.tell("content-length", |out| {
            out.extend_from_slice(itoa::Buffer::new().format(sent).as_bytes());
        });
    } else if version == Version::HTTP_11 {
        headers.tell("transfer-encoding", |out| out.extend_from_slice(b"chunked"));
    }
}

fn run_plugins(flight: &mut Flight<'_>, sent: u64) {
    let told = &mut flight.exchange.outcome;
    // Lent: the access log needs it afterwards.
    told.target = std::mem::take(&mut flight.received.target);
    told.received = match flight.received.framing {
        Framing::Length(length) => length,
        _ => 0,
    };
    told.sent = sent;
    told.upstream_status = flight.upstream_status;
    told.before_upstream = flight.proxy_latency.map(Duration::from_millis);
    told.took = flight.exchange.times.started.elapsed();
    for at in 0..flight.plugins.len() {
        let plugin = flight.plugins[at];
        if plugin.phases().log {
            plugin.log(&mut flight.exchange);
        }
    }
    flight.received.target = std::mem::take(&mut flight.exchange.outcome.target);
}
