//! What records about requests and about sessions have in common.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keelgate_entities::kinds::{Consumer, Route, Service};

use super::{WORKSPACE_ID, WORKSPACE_NAME, json};
use crate::exchange::{TlsSession, Try};
use crate::written::Places;

/// Appends the attempts to call an upstream; times are in milliseconds, and in nanoseconds.
pub(super) fn tries(tries: &[Try], out: &mut Vec<u8>) {
    out.extend_from_slice(br#""tries":["#);
    for (at, attempt) in tries.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(br#"{"ip":"#);
        json::address(out, attempt.address.ip());
        let began = since_1970(attempt.at);
        let numbers: [(&[u8], u64); 5] = [
            (br#","port":"#, attempt.address.port().into()),
            (br#","balancer_start":"#, began.as_millis() as u64),
            (br#","balancer_start_ns":"#, began.as_nanos() as u64),
            (
                br#","balancer_latency":"#,
                attempt.chosen_in.as_millis() as u64,
            ),
            (
                br#","balancer_latency_ns":"#,
                attempt.chosen_in.as_nanos() as u64,
            ),
        ];
        for (name, number) in numbers {
            out.extend_from_slice(name);
            json::number(out, number);
        }
        if let Some(status) = attempt.failed {
            out.extend_from_slice(br#","code":"#);
            json::number(out, status);
            out.extend_from_slice(br#","state":"failed""#);
        }
        out.push(b'}');
    }
    out.push(b']');
}

/// Appends how a connection is encrypted.
pub(super) fn tls(session: TlsSession, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""tls":{"version":"#);
    json::text(out, session.version.as_bytes());
    out.extend_from_slice(br#","cipher":"#);
    json::text(out, session.cipher.as_bytes());
    out.extend_from_slice(br#","client_verify":"NONE"}"#);
}

/// Appends the entities that a request or a session has to do with.
pub(super) fn entities(
    written: Places<'_>,
    route: Option<&Route>,
    service: Option<&Service>,
    consumer: Option<&Consumer>,
    out: &mut Vec<u8>,
) {
    if let Some(route) = route {
        out.extend_from_slice(br#","route":"#);
        written.route(route, out);
    }
    if let Some(service) = service {
        out.extend_from_slice(br#","service":"#);
        written.service(service, out);
    }
    if let Some(consumer) = consumer {
        out.extend_from_slice(br#","consumer":"#);
        json::value(out, consumer);
    }
}

/// Appends the only workspace.
pub(super) fn workspace(out: &mut Vec<u8>) {
    out.extend_from_slice(br#","workspace":""#);
    out.extend_from_slice(WORKSPACE_ID.as_bytes());
    out.extend_from_slice(br#"","workspace_name":""#);
    out.extend_from_slice(WORKSPACE_NAME.as_bytes());
    out.push(b'"');
}

/// How long after the beginning of 1970.
pub(super) fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}
