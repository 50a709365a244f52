//! `balance`: the address that the next attempt goes to, and what is learnt from how it went.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderValue, StatusCode};
use keelgate_balancer::{Balancer, HashSource, Hashed, Host, Open, Outcome, PeerIndex, Pick};
use keelgate_plugins::Exchange;
use keelgate_plugins::exchange::Upstream;
use keelgate_router::path;
use keelgate_runtime::{Origin, ServiceEntry, UpstreamEntry, authority};
use smallvec::SmallVec;

use super::{Answer, Flight};
use crate::upstream::Fault;

/// How long a request waits for the first answer about the names of its upstream.
pub(crate) const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// The address for one attempt.
pub(super) struct Choice<'r> {
    pub(super) address: SocketAddr,
    /// `Host` to send.
    pub(super) host: Cow<'r, str>,
    picked: Option<Picked>,
}

/// The peer that a balancer picked.
struct Picked {
    balancer: Arc<Balancer>,
    peer: PeerIndex,
    /// Counts the request as open while the choice lives.
    open: Option<Open>,
}

/// Chooses the address of each attempt of a request.
pub(super) struct Choosing<'r> {
    entry: &'r ServiceEntry,
    origin: Origin,
    upstream: Option<&'r UpstreamEntry>,
    /// The upstream's, from the first attempt on.
    balancer: Option<Arc<Balancer>>,
    /// Worked out with the first attempt.
    hashed: Option<Option<Hashed>>,
    tried: SmallVec<[PeerIndex; 4]>,
}

impl<'r> Choosing<'r> {
    pub(super) fn new(flight: &Flight<'r>, entry: &'r ServiceEntry) -> Self {
        // A plugin may have chosen another host; that is a plain name or address.
        let same = flight.exchange.upstream.host == entry.service.host;
        let origin = if same { entry.origin } else { Origin::Name };
        Self {
            upstream: match origin {
                Origin::Upstream(index) => flight.runtime.upstream(index).map(|entry| &**entry),
                _ => None,
            },
            balancer: None,
            origin,
            entry,
            hashed: None,
            tried: SmallVec::new(),
        }
    }

    /// The address for the next attempt.
    pub(super) async fn next(&mut self, flight: &mut Flight<'r>) -> Result<Choice<'r>, Answer> {
        if let Some(entry) = self.upstream {
            return self.balanced(flight, entry).await;
        }
        let upstream = &flight.exchange.upstream;
        let address = match self.origin {
            Origin::Address(address) => SocketAddr::new(address, upstream.port),
            _ => resolve(flight, &upstream.host, upstream.port).await?,
        };
        Ok(Choice {
            address,
            host: self.host_header(upstream),
            picked: None,
        })
    }

    /// `Host` for a host that is no upstream: in most cases what the service says.
    fn host_header(&self, upstream: &Upstream) -> Cow<'r, str> {
        let service = &self.entry.service;
        let as_configured = upstream.host_header.is_none()
            && upstream.port == service.port
            && upstream.protocol == service.protocol
            && upstream.host == service.host;
        if as_configured {
            Cow::Borrowed(&self.entry.authority)
        } else {
            Cow::Owned(host_header(upstream, &upstream.host, upstream.port))
        }
    }

    async fn balanced(
        &mut self,
        flight: &mut Flight<'r>,
        entry: &'r UpstreamEntry,
    ) -> Result<Choice<'r>, Answer> {
        let mut balancer = self.balancer.take().unwrap_or_else(|| entry.balancer());
        let hashed = self.hashed.get_or_insert_with(|| {
            let hashed = balancer.hash(&Asked(&flight.exchange), fastrand::u128(..));
            give_cookie(flight, hashed.as_ref());
            hashed
        });
        let hash = hashed.as_ref().map(|hashed| hashed.hash);
        let peer = loop {
            let picked = balancer.pick(&Pick {
                hash,
                tried: &self.tried,
                random: fastrand::u64(..),
                now: now(),
            });
            if let Some(picked) = picked {
                break picked;
            }
            // The names of a new upstream are on their way; nothing else is worth waiting for.
            let later = match balancer.is_pending() {
                true => {
                    let later = entry.balancer_after(&balancer);
                    flight.timer.limit(FIRST_ANSWER, later).await.ok()
                }
                false => None,
            };
            let Some(later) = later else {
                return Err(Answer::decided(
                    flight,
                    StatusCode::SERVICE_UNAVAILABLE,
                    "failure to get a peer from the ring-balancer",
                ));
            };
            balancer = later;
            self.tried.clear();
        };
        self.tried.push(peer);
        let view = balancer
            .peer(peer)
            .expect("a balancer knows what it picked");
        let (upstream, address) = (&flight.exchange.upstream, view.address);
        let name = match (&entry.upstream.host_header, view.name) {
            (Some(name), _) => Cow::Borrowed(name.as_str()),
            (None, Some(name)) => Cow::Borrowed(name),
            (None, None) => match &view.target_address.host {
                Host::Name(name) => Cow::Borrowed(&**name),
                host => Cow::Owned(host.to_string()),
            },
        };
        let host = host_header(upstream, &name, address.port());
        self.balancer = Some(Arc::clone(&balancer));
        Ok(Choice {
            address,
            host: Cow::Owned(host),
            picked: Some(Picked {
                open: balancer.open(peer),
                balancer,
                peer,
            }),
        })
    }
}

impl Choice<'_> {
    /// The attempt failed.
    pub(super) fn failed(&self, fault: &Fault) {
        self.report(match fault {
            Fault::ConnectTimeout | Fault::Timeout => Outcome::Timeout,
            // What is told to the client counts.
            Fault::Response(_) => Outcome::Status(fault.status().as_u16()),
            Fault::Refused | Fault::Reset(_) | Fault::Unsayable(_) | Fault::Unusable => return,
            Fault::Connect(_) | Fault::Tls(_) | Fault::Broken(_) => Outcome::TcpFailure,
        });
    }

    /// No other attempt follows: what the client is told counts, too, where it is listed.
    pub(super) fn gave_up(&self, fault: &Fault) {
        if matches!(fault, Fault::Connect(_) | Fault::Tls(_) | Fault::Broken(_)) {
            self.report(Outcome::Failed(fault.status().as_u16()));
        }
    }

    /// The upstream answered after `latency`.
    pub(super) fn answered(&self, status: StatusCode, latency: Duration) {
        self.report(Outcome::Status(status.as_u16()));
        if let Some(open) = self.picked.as_ref().and_then(|picked| picked.open.as_ref()) {
            open.answered(latency, now());
        }
    }

    fn report(&self, outcome: Outcome) {
        if let Some(picked) = &self.picked
            && let Some(health) = picked.balancer.report(picked.peer, outcome)
        {
            tracing::warn!(
                address = %self.address,
                health = health.as_str(),
                ?outcome,
                "the health of a target has changed"
            );
        }
    }
}

async fn resolve(flight: &Flight<'_>, name: &str, port: u16) -> Result<SocketAddr, Answer> {
    let resolved = flight.core.resolver.resolve(name, port).await;
    resolved.map_err(|error| {
        tracing::warn!(
            name,
            %error,
            request_id = flight.exchange.request_id,
            "the upstream's name cannot be resolved"
        );
        Answer::decided(
            flight,
            StatusCode::SERVICE_UNAVAILABLE,
            "name resolution failed",
        )
    })
}

/// What the route or a plugin decided; else the name and the port.
fn host_header(upstream: &Upstream, name: &str, port: u16) -> String {
    match &upstream.host_header {
        Some(host) if !host.is_empty() => host.clone(),
        _ => authority(upstream.protocol, name, port),
    }
}

/// A client without the cookie that is hashed gets one, so that it comes back to its target.
fn give_cookie(flight: &mut Flight<'_>, hashed: Option<&Hashed>) {
    let Some(cookie) = hashed.and_then(|hashed| hashed.cookie.as_ref()) else {
        return;
    };
    let text = format!(
        "{}={}; Path={}; Same-Site=Lax; HttpOnly",
        cookie.name, cookie.value, cookie.path
    );
    if let Ok(value) = HeaderValue::try_from(text) {
        flight.exchange.response.headers.append(SET_COOKIE, value);
    }
}

/// The time since the first request of this process.
pub(crate) fn now() -> Duration {
    static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    FIRST.get_or_init(std::time::Instant::now).elapsed()
}

/// What consistent hashing asks about a request.
struct Asked<'a, 'r>(&'a Exchange<'r>);

impl HashSource for Asked<'_, '_> {
    fn consumer(&self) -> Option<Cow<'_, str>> {
        let consumer = self.0.consumer.map(|consumer| consumer.id);
        let credential = self.0.credential.map(|credential| credential.id);
        Some(consumer.or(credential)?.to_string().into())
    }

    fn ip(&self) -> Option<Cow<'_, str>> {
        Some(self.0.client.ip.to_string().into())
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut values = self.0.headers.get_all(name).iter();
        let first = String::from_utf8_lossy(values.next()?.as_bytes());
        Some(values.fold(first, |all, value| {
            let value = String::from_utf8_lossy(value.as_bytes());
            Cow::Owned(format!("{all}, {value}"))
        }))
    }

    fn cookie(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0
            .headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.into())
    }

    fn path(&self) -> Option<Cow<'_, str>> {
        path::normalise(&self.0.raw_path).ok()
    }

    fn query_arg(&self, name: &str) -> Option<Cow<'_, str>> {
        let query = self.0.query.as_deref()?;
        let mut values: Vec<Cow<'_, str>> = query
            .split('&')
            .filter_map(|pair| {
                let (own, value) = form_urlencoded::parse(pair.as_bytes()).next()?;
                // An argument without a value is a flag that is set.
                let value = if pair.contains('=') {
                    value
                } else {
                    "true".into()
                };
                (own == name).then_some(value)
            })
            .collect();
        values.sort_unstable();
        match values.len() {
            0 => None,
            _ => Some(values.join(",").into()),
        }
    }

    fn uri_capture(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0
            .captures
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, text)| text.as_str().into())
    }
}
