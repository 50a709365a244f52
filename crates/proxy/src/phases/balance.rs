//! `balance`: the address that the next attempt goes to, and what is learnt from how it went.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;
use http::header::COOKIE;
use keelgate_balancer::{HashSource, Host, NewCookie, Outcome};
use keelgate_plugins::Exchange;
use keelgate_plugins::exchange::Upstream;
use keelgate_router::path;
use keelgate_runtime::{Origin, ServiceEntry, authority};

use super::{Answer, Flight};
use crate::upstream::{Fault, Turn, Turns};

/// The address for one attempt.
pub(super) struct Choice<'r> {
    pub(super) address: SocketAddr,
    /// `Host` to send.
    pub(super) host: Cow<'r, str>,
    turn: Option<Turn<'r>>,
}

/// Chooses the address of each attempt of a request.
pub(super) struct Choosing<'r> {
    entry: &'r ServiceEntry,
    origin: Origin,
    turns: Option<Turns<'r>>,
    /// What consistent hashing goes by, worked out with the first attempt.
    hash: Option<Option<u64>>,
}

impl<'r> Choosing<'r> {
    pub(super) fn new(flight: &Flight<'r>, entry: &'r ServiceEntry) -> Self {
        // A plugin may have chosen another host; that is a plain name or address.
        let same = flight.exchange.upstream.host == entry.service.host;
        let origin = if same { entry.origin } else { Origin::Name };
        Self {
            turns: Turns::of(flight.runtime, origin),
            origin,
            entry,
            hash: None,
        }
    }

    /// The address for the next attempt.
    pub(super) async fn next(&mut self, flight: &mut Flight<'r>) -> Result<Choice<'r>, Answer> {
        if let Some(turns) = &mut self.turns {
            return balanced(flight, turns, &mut self.hash).await;
        }
        let upstream = &flight.exchange.upstream;
        let address = match self.origin {
            Origin::Address(address) => SocketAddr::new(address, upstream.port),
            _ => resolve(flight, &upstream.host, upstream.port).await?,
        };
        Ok(Choice {
            address,
            host: self.host_header(upstream),
            turn: None,
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
        if let Some(turn) = &self.turn {
            turn.answered(Outcome::Status(status.as_u16()), latency);
        }
    }

    fn report(&self, outcome: Outcome) {
        if let Some(turn) = &self.turn {
            turn.report(outcome);
        }
    }
}

/// The peer for the next attempt; `hash` is `None` before the first.
async fn balanced<'r>(
    flight: &mut Flight<'r>,
    turns: &mut Turns<'r>,
    hash: &mut Option<Option<u64>>,
) -> Result<Choice<'r>, Answer> {
    let hash = *hash.get_or_insert_with(|| {
        let hashed = turns.hash(&Asked(&flight.exchange))?;
        flight.cookie = hashed.cookie.map(|cookie| Box::new(StickyCookie(cookie)));
        Some(hashed.hash)
    });
    let Some(turn) = turns.next(hash).await else {
        return Err(Answer::decided(
            flight,
            StatusCode::SERVICE_UNAVAILABLE,
            "failure to get a peer from the ring-balancer",
        ));
    };
    let address = turn.address;
    let name = match turn.name() {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(Host::Ip(address.ip()).to_string()),
    };
    let host = host_header(&flight.exchange.upstream, &name, address.port());
    Ok(Choice {
        address,
        host: Cow::Owned(host),
        turn: Some(turn),
    })
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

/// The cookie that brings a client back to its target.
pub(super) struct StickyCookie(NewCookie);

impl StickyCookie {
    /// The value of `Set-Cookie`, as Kong writes it.
    pub(super) fn text(&self) -> String {
        let NewCookie { name, value, path } = &self.0;
        format!("{name}={value}; Path={path}; Same-Site=Lax; HttpOnly")
    }

    /// Whether a value of `Set-Cookie` sets it, too.
    pub(super) fn is_named_by(&self, set: &[u8]) -> bool {
        let rest = set.strip_prefix(self.0.name.as_bytes());
        rest.is_some_and(|rest| rest.starts_with(b"="))
    }
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
