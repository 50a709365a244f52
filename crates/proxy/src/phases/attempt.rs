//! One attempt at an upstream: the request goes out, the response comes back.
//!
//! Everything happens in the task of the client's connection. While a long request body is still
//! on its way up, it is moved on alongside whatever else is awaited.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::header::CONNECTION;
use http::{Method, StatusCode};
use keelgate_entities::kinds::Protocol;
use keelgate_runtime::{ServiceEntry, UpstreamTls};

use super::balance::Choice;
use super::pump::{PinnedPump, Pump, send_ahead, send_rest};
use super::relay::Relay;
use super::upstream::Request;
use super::{Flight, header_filter, tunnel};
use crate::downstream::{Outcome, Respond, Upload, UploadFault};
use crate::http1::{Framing, Limits, Malformed, ResponseHead};
use crate::net::{Connection, Timer};
use crate::upstream::{Fault, Peer};

/// Longest head of an upstream's response, in bytes.
const HEAD_LIMITS: Limits = Limits {
    line: 64 * 1024,
    head: 64 * 1024,
};

/// Why an attempt gave no response.
pub(super) enum Failure {
    /// The request could not be read on.
    Upload(UploadFault),
    /// The upstream is to blame.
    Upstream {
        fault: Fault,
        /// The connection had served before.
        reused: bool,
    },
}

/// Sends the request once and passes the response on.
pub(super) async fn run<'r, U: Upload, R: Respond>(
    flight: &mut Flight<'r>,
    entry: &'r ServiceEntry,
    choice: &Choice<'r>,
    head: &[u8],
    request: &mut Request,
    upload: &mut U,
    respond: &mut R,
) -> Result<Outcome, Failure> {
    let service = &entry.service;
    let fresh = |fault| Failure::Upstream {
        fault,
        reused: false,
    };
    let pooled = peer(entry, choice)
        .map_err(fresh)?
        .connect(
            &flight.core.pool,
            flight.timer,
            Duration::from_millis(service.connect_timeout),
        )
        .await
        .map_err(fresh)?;
    let reused = pooled.served > 0;
    let failed = |fault| Failure::Upstream { fault, reused };
    let called = Instant::now();
    flight.proxy_latency = Some(header_filter::milliseconds(
        called - flight.exchange.times.started,
    ));
    let write_limit = Duration::from_millis(service.write_timeout);
    let chunked = request.body.framing == Framing::Chunked;

    let connection = &pooled.connection;
    let sent = send_ahead(connection, head, &request.body, chunked);
    match flight.timer.limit(write_limit, sent).await {
        Err(_) => return Err(failed(Fault::Timeout)),
        // The upstream may have answered before it closed; reading tells.
        Ok(Err(_)) if request.body.more => {}
        Ok(Err(error)) => return Err(failed(Fault::Broken(error))),
        Ok(Ok(())) => {}
    }
    let mut pump = Pump::new(request.body.more.then(|| {
        // From here on the body is gone; no other attempt can follow.
        Box::pin(send_rest(upload, connection, chunked, write_limit)) as PinnedPump<'_>
    }));

    let wait = read_head(
        connection,
        flight.timer,
        Duration::from_millis(service.read_timeout),
    );
    // While the body is on its way up, reading it tells when the client goes away.
    let watch = !request.body.more;
    let response = match pump.alongside(unless_gone(wait, watch, respond)).await {
        Ok(Some(Ok(response))) => response,
        Ok(Some(Err(fault))) => return Err(failed(fault)),
        Ok(None) => return Err(Failure::Upload(UploadFault::Gone)),
        Err(fault) => return Err(Failure::Upload(fault)),
    };
    let latency = called.elapsed();
    flight.exchange.times.upstream = Some(latency);
    flight.upstream_status = Some(response.status.as_u16());
    choice.answered(response.status, latency);

    let switching = response.status == StatusCode::SWITCHING_PROTOCOLS;
    let head_only = flight.exchange.method == Method::HEAD;
    let framing = Framing::of_response(
        response.status,
        &response.headers,
        response.minor,
        head_only,
    )
    .map_err(|malformed| failed(malformed.into()))?;
    if switching && !request.websocket {
        return Err(failed(Fault::Response(Malformed::Head)));
    }
    let keep = !switching && keeps_alive(&response);
    let relay = Relay {
        connection,
        timer: flight.timer,
        read_limit: Duration::from_millis(service.read_timeout),
        framing,
    };
    let passed = relay.run(flight, response, &mut pump, respond).await;
    if switching && passed.is_ok() {
        drop(pump);
        if let Some(client) = respond.connection() {
            tunnel::run(client, connection, flight.timer, relay.read_limit).await;
        }
        return Ok(Outcome::Close);
    }
    let uploaded = pump.is_done();
    drop(pump);
    Ok(match passed {
        Ok(()) => {
            if keep && uploaded && framing != Framing::UntilClose {
                flight.core.pool.put(pooled);
            }
            match respond.finish().await {
                Ok(()) => Outcome::KeepAlive,
                Err(_) => Outcome::Abort,
            }
        }
        Err(cut) => {
            tracing::debug!(%cut, request_id = flight.exchange.request_id, "response cut short");
            Outcome::Abort
        }
    })
}

/// Where the request goes, and how it is spoken to.
fn peer<'c>(entry: &'c ServiceEntry, choice: &'c Choice<'_>) -> Result<Peer<'c>, Fault> {
    let protocol = entry.service.protocol;
    if matches!(protocol, Protocol::Grpc | Protocol::Grpcs) {
        return Err(Fault::Protocol(protocol.as_str()));
    }
    Ok(Peer {
        address: choice.address,
        tls: match &entry.tls {
            UpstreamTls::Clear => None,
            UpstreamTls::Profile(profile) => Some((profile, server_name(&choice.host))),
            UpstreamTls::Unusable => return Err(Fault::Unusable),
        },
    })
}

/// The name that TLS is spoken to: the `Host` without its port.
fn server_name(host: &str) -> &str {
    match (host.strip_prefix('['), host.find(']')) {
        (Some(_), Some(end)) => &host[1..end],
        _ => host.split(':').next().unwrap_or(host),
    }
}

/// Whether the upstream keeps the connection for another request.
fn keeps_alive(response: &ResponseHead) -> bool {
    let named = |token: &str| {
        response.headers.get_all(CONNECTION).iter().any(|value| {
            value
                .as_bytes()
                .split(|byte| *byte == b',')
                .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
        })
    };
    if response.minor == 0 {
        named("keep-alive")
    } else {
        !named("close")
    }
}

/// Awaits `wait` unless the client goes away first.
async fn unless_gone<T>(
    wait: impl Future<Output = T>,
    watch: bool,
    respond: &impl Respond,
) -> Option<T> {
    let mut wait = pin!(wait);
    poll_fn(|cx| {
        if let Poll::Ready(done) = wait.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        if watch {
            return respond.poll_gone(cx).map(|()| None);
        }
        Poll::Pending
    })
    .await
}

/// The head of the response; informational ones before it are passed over.
async fn read_head(
    connection: &Connection,
    timer: &Timer,
    limit: Duration,
) -> Result<ResponseHead, Fault> {
    loop {
        let head = ResponseHead::take(&mut connection.input(), HEAD_LIMITS)?;
        match head {
            Some(head)
                if head.status.is_informational()
                    && head.status != StatusCode::SWITCHING_PROTOCOLS => {}
            Some(head) => return Ok(head),
            None => match timer.limit(limit, connection.fill()).await {
                Err(_) => return Err(Fault::Timeout),
                Ok(Err(error)) => return Err(Fault::Broken(error)),
                Ok(Ok(0)) => return Err(Fault::Broken(io::ErrorKind::UnexpectedEof.into())),
                Ok(Ok(_)) => {}
            },
        }
    }
}
