//! The head of a request: read, and checked for what must hold before it means anything.

use std::pin::pin;

use http::{Method, StatusCode, Version};
use keelgate_router::host;

use crate::core::Core;
use crate::downstream::Incoming;
use crate::downstream::refusal::Refusal;
use crate::http1::{Framing, RequestHead, hop};
use crate::net::{Connection, Timer};

/// Reads the head of a request; `Err(None)` when the client is gone.
pub(super) async fn read_head(
    core: &Core,
    connection: &Connection,
    timer: &Timer,
) -> Result<RequestHead, Option<Refusal>> {
    let limits = core.head_limits();
    let take = || {
        RequestHead::take(&mut connection.input(), limits)
            .map_err(|malformed| Some(Refusal::of(malformed)))
    };
    // In most cases it came in one piece.
    if let Some(head) = take()? {
        return Ok(head);
    }
    let whole = pin!(async {
        loop {
            match connection.fill().await {
                Ok(0) | Err(_) => return Err(None),
                Ok(_) => {}
            }
            if let Some(head) = take()? {
                return Ok(head);
            }
        }
    });
    timer
        .limit(core.settings.client.header_timeout, whole)
        .await
        .unwrap_or(Err(Some(Refusal::Status(StatusCode::REQUEST_TIMEOUT))))
}

/// Checks a head that could be read.
pub(super) fn accept(
    core: &Core,
    head: RequestHead,
) -> Result<Incoming, Box<(RequestHead, Refusal)>> {
    match check(core, &head) {
        Ok((host, absolute, framing)) => {
            let (target, authority) = match absolute {
                None => (head.target, None),
                Some((path, authority)) => (path, Some(authority)),
            };
            Ok(Incoming {
                method: head.method,
                target,
                host,
                authority,
                version: if head.minor == 0 {
                    Version::HTTP_10
                } else {
                    Version::HTTP_11
                },
                headers: head.headers,
                underscores: head.underscores,
                framing,
                length: head.length,
            })
        }
        Err(refusal) => Err(Box::new((head, refusal))),
    }
}

/// A path with a query, and a host.
type Absolute = (String, String);

/// The host without its port, what a target in absolute form says, and how the body ends.
fn check(core: &Core, head: &RequestHead) -> Result<(String, Option<Absolute>, Framing), Refusal> {
    let bad = Refusal::Status(StatusCode::BAD_REQUEST);
    let absolute = match head.target.starts_with('/') {
        true => None,
        false => Some(absolute_form(&head.target).ok_or(bad)?),
    };
    let mut hosts = head.headers.get_all("host").bytes();
    let host = match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => return Err(bad),
        (Some(host), None) => match std::str::from_utf8(host) {
            Ok(host) if host::is_valid(host) => Some(host),
            _ => return Err(bad),
        },
        (None, _) if head.minor == 1 => return Err(bad),
        (None, _) => absolute.as_ref().map(|(_, authority)| authority.as_str()),
    };
    let host = host.map_or("", |host| host::split_port(host).0).to_owned();
    let framing = Framing::of_request(&head.headers, head.minor).map_err(Refusal::of)?;
    if matches!(head.method, Method::TRACE | Method::CONNECT) {
        return Err(Refusal::Status(StatusCode::METHOD_NOT_ALLOWED));
    }
    if let (Framing::Length(length), Some(limit)) = (framing, core.settings.client.body)
        && length > limit
    {
        return Err(Refusal::Status(StatusCode::PAYLOAD_TOO_LARGE));
    }
    Ok((host, absolute, framing))
}

/// An absolute target as path and query, and the host that it names.
fn absolute_form(target: &str) -> Option<Absolute> {
    let scheme = ["http://", "https://"].into_iter().find(|scheme| {
        target
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })?;
    let rest = &target[scheme.len()..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = &rest[..end];
    if authority.contains('@') || !host::is_valid(authority) {
        return None;
    }
    let path = match &rest[end..] {
        path if path.starts_with('/') => path.to_owned(),
        rest => format!("/{rest}"),
    };
    Some((path, authority.to_owned()))
}

pub(super) fn wants_keepalive(head: &RequestHead) -> bool {
    !hop::lists(&head.headers, "close")
        && (head.minor == 1 || hop::lists(&head.headers, "keep-alive"))
}

/// Whether the client waits to be told to send its body.
pub(super) fn expects_continue(incoming: &Incoming) -> bool {
    incoming.version == Version::HTTP_11
        && incoming
            .headers
            .get_bytes("expect")
            .is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
}
