//! Stream routes: TCP, TLS and UDP sessions to routes.
//!
//! A route is asked only about sessions that came in one of its ways: a route for UDP never takes
//! a TCP connection, and one for TLS never a connection in clear.

use std::borrow::Borrow;
use std::fmt;
use std::net::SocketAddr;

use keelgate_entities::RouterFlavor;
use keelgate_entities::expression::Subsystem;
use keelgate_entities::kinds::{Protocol, Route};
use rustc_hash::FxHashMap;

use crate::error::CompileError;
use crate::facts::{Facts, Headers};
use crate::pattern::Patterns;
use crate::priority::Rank;
use crate::request::Request;
use crate::router::{expression_of, has_attribute};
use crate::rule::{Rule, Schemes};
use crate::sni;

/// The facts of one session that stream routes are matched against.
#[derive(Clone, Copy, Debug)]
pub struct StreamFacts<'a> {
    /// How the client came: `tcp`, `tls` or `udp`.
    pub protocol: Protocol,
    /// TLS server name in lower case, if the client sent one.
    pub sni: Option<&'a str>,
    /// The client, after trusted proxies were resolved.
    pub source: SocketAddr,
    /// The local address that the client reached.
    pub destination: SocketAddr,
}

/// Compiled stream routes.
#[derive(Default)]
pub struct StreamRouter {
    /// In order of rank.
    entries: Box<[Entry]>,
    /// Routes that demand one of some server names, by name.
    by_name: FxHashMap<Box<str>, Vec<u32>>,
    /// Other routes that demand one of some destination ports, by port.
    by_port: FxHashMap<u16, Vec<u32>>,
    /// All others.
    anywhere: Vec<u32>,
}

struct Entry {
    rule: Rule,
    ways: Ways,
}

/// The ways to come that a route accepts.
#[derive(Clone, Copy, Debug, Default)]
struct Ways {
    tcp: bool,
    tls: bool,
    udp: bool,
}

impl Ways {
    fn of(route: &Route) -> Self {
        let mut ways = Self::default();
        for protocol in &route.protocols {
            match protocol {
                Protocol::Tcp => ways.tcp = true,
                Protocol::Tls | Protocol::TlsPassthrough => ways.tls = true,
                Protocol::Udp => ways.udp = true,
                _ => {}
            }
        }
        ways
    }

    fn any(self) -> bool {
        self.tcp || self.tls || self.udp
    }

    fn accept(self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Tcp => self.tcp,
            Protocol::Tls => self.tls,
            Protocol::Udp => self.udp,
            _ => false,
        }
    }
}

impl StreamRouter {
    /// Compiles the stream routes among the routes of enabled services. Routes without any
    /// attribute match nothing.
    ///
    /// # Errors
    /// The first route that does not compile.
    pub fn compile<R: Borrow<Route>>(
        routes: &[R],
        flavor: RouterFlavor,
    ) -> Result<Self, CompileError> {
        let routes: Vec<&Route> = routes.iter().map(Borrow::borrow).collect();
        Self::compile_all(&routes, flavor)
    }

    fn compile_all(routes: &[&Route], flavor: RouterFlavor) -> Result<Self, CompileError> {
        let mut patterns = Patterns::default();
        let mut ranked = Vec::new();
        for (index, &route) in (0_u32..).zip(routes) {
            let ways = Ways::of(route);
            if !ways.any() {
                continue;
            }
            let (rank, rule) = if let Some(text) = &route.expression {
                let expression =
                    expression_of(route, text, flavor, Subsystem::Stream, &mut patterns)?;
                let (rule, _) = Rule::of_expression(index, Schemes::Any, expression);
                (Rank::of_expression(route), rule)
            } else if has_attribute(route) {
                let (rule, _) = Rule::of_attributes(index, route, &[], flavor, &mut patterns)?;
                (Rank::of_stream(route, flavor), rule)
            } else {
                continue;
            };
            ranked.push((rank, Entry { rule, ways }));
        }
        ranked.sort_unstable_by_key(|(rank, _)| *rank);
        let entries = ranked.into_iter().map(|(_, entry)| entry).collect();
        Ok(Self::file(routes, entries))
    }

    fn file(routes: &[&Route], entries: Box<[Entry]>) -> Self {
        let mut router = Self::default();
        for (rank, entry) in (0_u32..).zip(&entries) {
            let route = routes[entry.rule.route as usize];
            if let Some(names) = demanded_names(route, entry.ways) {
                for name in names {
                    router.by_name.entry(name.into()).or_default().push(rank);
                }
            } else if let Some(ports) = demanded_ports(route) {
                for port in ports {
                    router.by_port.entry(port).or_default().push(rank);
                }
            } else {
                router.anywhere.push(rank);
            }
        }
        router.entries = entries;
        router
    }

    /// Index, among the routes that were compiled, of the route for a session: of those that
    /// match, the one that ranks first.
    pub fn find(&self, facts: &StreamFacts<'_>) -> Option<usize> {
        let connection = Facts {
            protocol: facts.protocol,
            method: "",
            authority: "",
            host: "",
            port: facts.destination.port(),
            path: "",
            query: None,
            headers: &NoHeaders,
            sni: facts.sni,
            source: facts.source,
            destination: facts.destination,
        };
        let request = Request::new(&connection, RouterFlavor::default());
        let of_name = facts.sni.and_then(|name| self.by_name.get(name));
        let of_port = self.by_port.get(&facts.destination.port());
        let lists = [of_name, of_port, Some(&self.anywhere)];
        let first = lists.into_iter().flatten().filter_map(|list| {
            let mut ranks = list.iter().copied();
            ranks.find(|rank| {
                let entry = &self.entries[*rank as usize];
                entry.ways.accept(facts.protocol) && entry.rule.find(&request, 0).is_some()
            })
        });
        let rank = first.min()?;
        Some(self.entries[rank as usize].rule.route as usize)
    }

    /// Whether there are no stream routes.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// The server names of which a session must have one, if they are whole names and always asked.
fn demanded_names(route: &Route, ways: Ways) -> Option<Vec<&str>> {
    let names = route.snis.as_deref().filter(|names| !names.is_empty())?;
    let plain = names.iter().all(|name| !name.contains('*'));
    let asked = !ways.tcp && !ways.udp && route.expression.is_none();
    (plain && asked).then(|| names.iter().map(|name| sni::bare(name)).collect())
}

/// The destination ports of which a session must have one.
fn demanded_ports(route: &Route) -> Option<Vec<u16>> {
    let destinations = route.destinations.as_deref().unwrap_or_default();
    if destinations.is_empty() || route.expression.is_some() {
        return None;
    }
    let mut ports = destinations
        .iter()
        .map(|destination| destination.port)
        .collect::<Option<Vec<_>>>()?;
    ports.sort_unstable();
    ports.dedup();
    Some(ports)
}

/// A stream has no headers.
struct NoHeaders;

impl Headers for NoHeaders {
    fn any(&self, _name: &str, _visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
}

impl fmt::Debug for StreamRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamRouter")
            .field("rules", &self.entries.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
