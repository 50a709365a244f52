//! The phases of a request, one file each, in this order.
//!
//! `certificate` (per connection) → `rewrite` → `route` → `access` → `balance` → `upstream` →
//! `header_filter` → `body_filter` → `log`.

mod access;
mod answer;
mod attempt;
pub(crate) mod balance;
mod body_filter;
pub(crate) mod certificate;
mod forwarded;
mod grpc_status;
mod header_filter;
mod log;
mod pump;
mod read_ahead;
pub(crate) mod real_ip;
mod relay;
mod request_body;
mod request_debug;
mod request_head;
mod rewrite;
mod route;
mod tunnel;
mod upstream;

use std::net::{IpAddr, SocketAddr};
use std::time::{Instant, SystemTime};

use http::StatusCode;
use keelgate_plugins::exchange::Try;
use keelgate_plugins::{Exchange, Plugin};
use keelgate_runtime::{Runtime, ServiceEntry};
use smallvec::SmallVec;

use crate::core::Core;
use crate::downstream::{Client, Incoming, Outcome, Respond, Upload};
use crate::http1::Framing;
use crate::net::Timer;
use crate::settings::Settings;
use request_debug::Part;

pub(crate) use answer::Answer;
pub(crate) use rewrite::request_id;

/// The address of a client, after trusted proxies were resolved.
pub(crate) fn client_address(
    settings: &Settings,
    client: &Client,
    headers: &keelgate_plugins::HeaderMap,
) -> IpAddr {
    real_ip::resolve(settings, client.peer.ip(), client.told, headers)
}

/// Everything that belongs to one request while it is served.
struct Flight<'r> {
    core: &'r Core,
    runtime: &'r Runtime,
    timer: &'r Timer,
    client: &'r Client,
    exchange: Exchange<'r>,
    /// The plugins whose response phases will run: the global ones until a route is found, then
    /// those that were chosen in `access`.
    plugins: SmallVec<[&'r dyn Plugin; 8]>,
    service: Option<&'r ServiceEntry>,
    received: Received,
    forwarded: forwarded::Forwarded<'r>,
    /// Whether the upstream was to be called; decides which latencies are told.
    proxied: bool,
    /// Milliseconds until the upstream was called.
    proxy_latency: Option<u64>,
    /// The status that the upstream answered, or that its failure stands for.
    upstream_status: Option<u16>,
    /// What brings the client back to its target, if it is to be sent.
    cookie: Option<Box<balance::StickyCookie>>,
    /// Where the time goes, for a client that wants to know.
    debug: Option<Box<request_debug::Report>>,
}

impl Flight<'_> {
    /// Whether a plugin logs the request.
    fn is_logged(&self) -> bool {
        self.plugins.iter().any(|plugin| plugin.phases().log)
    }

    /// When an attempt begins, if it is to be remembered.
    fn begin_try(&self) -> Option<(Instant, SystemTime)> {
        self.is_logged()
            .then(|| (Instant::now(), SystemTime::now()))
    }

    /// Remembers an attempt for plugins that log.
    fn remember(&mut self, address: SocketAddr, began: Option<(Instant, SystemTime)>) {
        if let Some((began, at)) = began {
            self.exchange.outcome.tries.push(Try {
                address,
                at,
                chosen_in: began.elapsed(),
                failed: None,
            });
        }
    }

    /// The last attempt has failed; a client would be told `status`.
    fn regret(&mut self, status: StatusCode) {
        self.upstream_status = Some(status.as_u16());
        if let Some(last) = self.exchange.outcome.tries.last_mut() {
            last.failed = Some(status.as_u16());
        }
    }
}

/// What the client sent, beside what plugins can change.
struct Received {
    target: String,
    method: http::Method,
    /// Whether some header name contains an underscore.
    underscores: bool,
    framing: Framing,
    /// How long the head was, in bytes.
    length: usize,
    authority: Option<String>,
    /// Headers for this hop only.
    hop: Vec<request_head::HopHeader>,
}

/// Serves one request, and takes what it needs of it: moved, its head would be copied several times.
pub(crate) async fn serve<U: Upload, R: Respond>(
    core: &Core,
    client: &Client,
    timer: &Timer,
    incoming: &mut Incoming,
    upload: &mut U,
    respond: &mut R,
) -> Outcome {
    let held = core.runtime();
    let mut flight = rewrite::begin(core, &held, timer, client, incoming);
    request_debug::begin(&mut flight);
    let outcome = match decide(&mut flight, upload).await {
        Ok(service) => upstream::proxy(&mut flight, service, upload, respond).await,
        Err(answer) => answer::send(&mut flight, answer, respond).await,
    };
    log::run(&mut flight, upload.received(), respond, outcome);
    outcome
}

/// Everything before the upstream is called: the service to call, or the answer given instead.
async fn decide<'r, U: Upload>(
    flight: &mut Flight<'r>,
    upload: &mut U,
) -> Result<&'r ServiceEntry, Answer> {
    let started = request_debug::start(flight);
    rewrite::run(flight)?;
    request_debug::spent(flight, Part::Rewrite, started);
    let started = request_debug::start(flight);
    let chain = route::run(flight)?;
    request_debug::spent(flight, Part::Router, started);
    let started = request_debug::start(flight);
    let passed = access::run(flight, chain, upload).await;
    request_debug::spent(flight, Part::Plugins, started);
    passed?;
    flight.service.ok_or_else(|| {
        Answer::decided(
            flight,
            StatusCode::SERVICE_UNAVAILABLE,
            "no Service found with those values",
        )
    })
}
