//! HTTP/1 towards clients: one request after the other on a connection.
//!
//! Not left to a server library, for what such a one keeps to itself: the spelling of header
//! names, which is passed on as it came; the answer to what cannot be parsed, which Kong's clients
//! get in the form they accept; and the two directions of a connection, which are awaited here in
//! one task with the upstream's. The parser itself is httparse, the one that hyper uses.

mod accept;
mod request_body;
mod responder;

use std::rc::Rc;
use std::time::Duration;

use keelgate_plugins::HeaderMap;

use super::refusal::{self, Asked, Refusal};
use super::{Client, Outcome};
use crate::core::{Core, FRESH, Started};
use crate::counts::Presence;
use crate::net::{Connection, Timer};
use crate::phases;

use accept::{accept, read_head, wants_keepalive};
use request_body::RequestBody;
pub(crate) use responder::Responder;

/// Time and bytes that an unread request is given before its connection closes: closing at once
/// would take the answer from a client that still sends.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: usize = 1024 * 1024;

/// Time that is left of it when draining starts: enough for an answer to cross the network.
const LAST_LINGER: Duration = Duration::from_millis(500);

/// Serves a connection until it ends.
pub(crate) async fn serve(core: Rc<Core>, client: Client, connection: Connection) {
    let timer = Timer::default();
    let presence = Presence::new(&core);
    let mut draining = core.draining.started();
    let limits = &core.settings.client;
    let mut left = limits.keepalive_requests.max(1);
    loop {
        let fresh = left == limits.keepalive_requests.max(1);
        if connection.input().is_empty() {
            presence.waits();
            if !await_request(&core, &mut draining, &connection, &timer, fresh).await {
                return;
            }
        }
        presence.reads();
        let head = match read_head(&core, &connection, &timer).await {
            Ok(head) => head,
            Err(None) => return,
            Err(Some(refusal)) => {
                core.counts.request();
                let none = HeaderMap::new();
                let asked = Asked::unreadable(&client, &none);
                refuse(&core, &connection, &timer, &asked, refusal).await;
                return;
            }
        };
        core.counts.request();
        presence.writes();
        left -= 1;
        let last = left == 0 || core.draining.is_on();
        let keep = !last && wants_keepalive(&head);
        let minor = head.minor;
        let mut incoming = match accept(&core, head) {
            Ok(incoming) => incoming,
            Err(refused) => {
                let (head, refusal) = *refused;
                let asked = Asked {
                    client: &client,
                    method: Some(&head.method),
                    target: &head.target,
                    version: if minor == 0 { "HTTP/1.0" } else { "HTTP/1.1" },
                    headers: &head.headers,
                };
                refuse(&core, &connection, &timer, &asked, refusal).await;
                return;
            }
        };
        let mut upload = RequestBody::new(&core, &connection, &incoming);
        let mut respond = Responder::new(&core, &connection, &timer, minor, keep);
        let served = phases::serve(
            &core,
            &client,
            &timer,
            &mut incoming,
            &mut upload,
            &mut respond,
        );
        let outcome = served.await;
        if outcome.is_cut_short() {
            // A body that ends with the connection must not seem to be whole.
            if respond.ends_by_closing() {
                connection.reset();
            }
            return;
        }
        // What is left of an unread body would be taken for the next request.
        if outcome == Outcome::Close || !respond.keeps() || !upload.skip_rest().await {
            if upload.is_done() && connection.input().is_empty() {
                let _ = timer.limit(LINGER, connection.shutdown()).await;
            } else {
                linger(&core, &connection, &timer).await;
            }
            return;
        }
    }
}

/// Tells a client that speaks plain HTTP on a port for TLS, and closes.
pub(crate) async fn refuse_plain(core: &Core, client: &Client, connection: Connection) {
    let timer = Timer::default();
    let none = HeaderMap::new();
    let asked = Asked::unreadable(client, &none);
    core.counts.request();
    refuse(core, &connection, &timer, &asked, Refusal::PlainOnTls).await;
}

/// Waits for the first bytes of a request; `false` when there will be none.
async fn await_request(
    core: &Core,
    draining: &mut Started<'_>,
    connection: &Connection,
    timer: &Timer,
    fresh: bool,
) -> bool {
    let limits = &core.settings.client;
    // Whoever connects is to have something to say.
    let limit = match fresh {
        true => limits.header_timeout,
        false => limits.keepalive_timeout,
    };
    let more = async {
        let first = timer.limit(limit, connection.fill());
        matches!(first.await, Ok(Ok(1..)))
    };
    connection.rest();
    let grace = if fresh { FRESH } else { Duration::ZERO };
    let more = draining.while_kept(grace, more).await;
    more.unwrap_or(false)
}

/// Answers what cannot be served, and closes.
async fn refuse(
    core: &Core,
    connection: &Connection,
    timer: &Timer,
    asked: &Asked<'_>,
    refusal: Refusal,
) {
    let mut respond = Responder::new(core, connection, timer, 1, false);
    if refusal::send(core, asked, refusal, &mut respond)
        .await
        .is_ok()
    {
        linger(core, connection, timer).await;
    }
}

/// Closes the connection after the client has had the chance to read the answer.
async fn linger(core: &Core, connection: &Connection, timer: &Timer) {
    let closing = async {
        if connection.shutdown().await.is_err() {
            return;
        }
        let mut read = 0;
        while read < LINGER_BYTES {
            connection.input().clear();
            match connection.fill().await {
                Ok(0) | Err(_) => return,
                Ok(some) => read += some,
            }
        }
    };
    let closing = core.draining.within(LAST_LINGER, closing);
    let _ = timer.limit(LINGER, closing).await;
}
