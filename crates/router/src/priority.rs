//! The order in which routes are asked.

use std::cmp::Reverse;

use keelgate_entities::RouterFlavor;
use keelgate_entities::kinds::{Endpoint, Route};
use uuid::Uuid;

use crate::host::split_port_for;

/// Expressions rank before everything else.
const EXPRESSION: u64 = 0xFF << 56;
const STREAM_NAMED: u64 = 1 << 61;
const PLAIN_HOSTS: u64 = 1 << 60;
const REGEX_PATH: u64 = 1 << 51;
const KINDS_SHIFT: u32 = 29;
const HEADERS_SHIFT: u32 = 20;
const REGEX_PRIORITY_SHIFT: u32 = 19;
const REGEX_PRIORITY_MASK: i64 = 0x1FFF;
const MAX_HEADERS: u64 = 255;
const MAX_LENGTH: u64 = 0x7_FFFF;
const MAX_COUNT: u64 = 0xFF_FFFF_FFFF;

/// Sorts rules so that the one to ask first comes first.
///
/// The packed number is the one that Kong 3.9 effectively computes: plain hosts, then a regular
/// expression as path, then the number of kinds of attributes, of headers, `regex_priority`, and
/// the length of the path. The last four share bits (`regex_priority` counts modulo 8192 and
/// overlaps the others), so they must be combined by *or*, not compared one by one.
///
/// Where Kong itself is not repeatable the order goes on as elsewhere: four and more kinds count
/// as that many, and a negative `regex_priority` ranks below 0 among otherwise equal routes.
///
/// Kong's first router compares the same facts in another order, one by one; the oldest of equal
/// routes wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    packed: Reverse<u64>,
    regex_priority: Reverse<i64>,
    length: Reverse<u64>,
    created_at: i64,
    /// Among equals the greatest id wins.
    id: Reverse<Uuid>,
}

impl Rank {
    fn new(packed: u64, id: Uuid) -> Self {
        Self {
            packed: Reverse(packed),
            regex_priority: Reverse(0),
            length: Reverse(0),
            created_at: 0,
            id: Reverse(id),
        }
    }

    /// The rank of a route with an expression.
    pub(crate) fn of_expression(route: &Route) -> Self {
        Self::new(EXPRESSION | route.priority.unwrap_or_default(), route.id)
    }

    /// The rank of a stream route: one with server names, or with both sources and destinations,
    /// before others; then by how narrow its sources are, then its destinations.
    pub(crate) fn of_stream(route: &Route, flavor: RouterFlavor) -> Self {
        if flavor == RouterFlavor::Traditional {
            return Self::in_first_router(route, &[], route.id);
        }
        let both = filled(&route.sources) && filled(&route.destinations);
        let mut packed = narrowness(&route.sources) << 4 | narrowness(&route.destinations);
        if both || filled(&route.snis) {
            packed |= STREAM_NAMED;
        }
        Self::new(packed, route.id)
    }

    /// The rank of one of the rules of a route; `paths` are the paths of that rule, all regular
    /// expressions or all prefixes of one length.
    pub(crate) fn of(route: &Route, paths: &[&str], id: Uuid, flavor: RouterFlavor) -> Self {
        if flavor == RouterFlavor::Traditional {
            return Self::in_first_router(route, paths, id);
        }
        let headers = route.headers.as_ref().map_or(0, |headers| headers.len()) as u64;
        let kinds = [
            filled(&route.sources),
            filled(&route.destinations),
            filled(&route.methods),
            filled(&route.hosts),
            headers > 0,
            filled(&route.snis),
            !paths.is_empty(),
        ];
        let kinds = kinds.into_iter().filter(|&filled| filled).count() as u64;
        let plain = route
            .hosts
            .as_ref()
            .is_some_and(|hosts| hosts.iter().all(|host| !host.contains('*')));

        let mut packed = kinds << KINDS_SHIFT | headers.min(MAX_HEADERS) << HEADERS_SHIFT;
        let mut negative = 0;
        if plain {
            packed |= PLAIN_HOSTS;
        }
        match paths.first() {
            Some(path) if path.starts_with('~') => {
                packed |= REGEX_PATH;
                if route.regex_priority < 0 {
                    negative = route.regex_priority;
                } else {
                    let counted = (route.regex_priority & REGEX_PRIORITY_MASK) as u64;
                    packed |= counted << REGEX_PRIORITY_SHIFT;
                }
            }
            Some(path) => packed |= path.len() as u64 & MAX_LENGTH,
            None => {}
        }
        Self {
            regex_priority: Reverse(negative),
            ..Self::new(packed, id)
        }
    }

    /// The number of kinds of attributes counts first, then which they are; then regular
    /// expressions, plain hosts and ports of wildcard hosts; then the number of headers,
    /// `regex_priority` among regular expressions, the length of the path, and the age.
    fn in_first_router(route: &Route, paths: &[&str], id: Uuid) -> Self {
        let headers = route.headers.as_ref().map_or(0, |headers| headers.len()) as u64;
        let kinds = bits([
            filled(&route.hosts),
            headers > 0,
            !paths.is_empty(),
            filled(&route.methods),
            filled(&route.snis),
            filled(&route.sources),
            filled(&route.destinations),
        ]);
        let hosts = route.hosts.as_deref().unwrap_or_default();
        let regex = paths.first().is_some_and(|path| path.starts_with('~'));
        let wild = |host: &&String| host.contains('*');
        let within = bits([
            hosts.iter().filter(wild).any(|host| {
                let (_, port) = split_port_for(RouterFlavor::Traditional, host);
                port.is_some()
            }),
            route.hosts.is_some() && !hosts.iter().any(|host| wild(&host)),
            regex,
        ]);
        let packed = u64::from(kinds.count_ones()) << 56
            | kinds << 48
            | within << 40
            | headers.min(MAX_COUNT);
        let length = paths
            .first()
            .filter(|_| !regex)
            .map_or(0, |path| path.len());
        Self {
            regex_priority: Reverse(if regex { route.regex_priority } else { 0 }),
            length: Reverse(length as u64),
            created_at: route.created_at.unwrap_or_default(),
            ..Self::new(packed, id)
        }
    }
}

/// A number of these bits, the first the most significant.
fn bits<const N: usize>(bits: [bool; N]) -> u64 {
    bits.into_iter()
        .fold(0, |sum, bit| sum << 1 | u64::from(bit))
}

/// An address counts more than a port, and a port more than a block of addresses.
fn narrowness(endpoints: &Option<Vec<Endpoint>>) -> u64 {
    let mut bits = 0;
    for endpoint in endpoints.iter().flatten() {
        bits |= match &endpoint.ip {
            Some(ip) if ip.contains('/') => 1,
            Some(_) => 8,
            None => 0,
        };
        if endpoint.port.is_some() {
            bits |= 4;
        }
    }
    bits
}

fn filled<T>(list: &Option<Vec<T>>) -> bool {
    list.as_ref().is_some_and(|list| !list.is_empty())
}
