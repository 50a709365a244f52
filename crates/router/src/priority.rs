//! The order in which routes are asked.

use std::cmp::Reverse;

use keelgate_entities::kinds::{Endpoint, Route};
use uuid::Uuid;

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

/// Sorts rules so that the one to ask first comes first.
///
/// The packed number is the one that Kong 3.9 effectively computes: plain hosts, then a regular
/// expression as path, then the number of kinds of attributes, of headers, `regex_priority`, and
/// the length of the path. The last four share bits (`regex_priority` counts modulo 8192 and
/// overlaps the others), so they must be combined by *or*, not compared one by one.
///
/// Where Kong itself is not repeatable the order goes on as elsewhere: four and more kinds count
/// as that many, and a negative `regex_priority` ranks below 0 among otherwise equal routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    packed: Reverse<u64>,
    negative: Reverse<i64>,
    /// Among equals the greatest id wins.
    id: Reverse<Uuid>,
}

impl Rank {
    /// The rank of a route with an expression.
    pub(crate) fn of_expression(route: &Route) -> Self {
        Self {
            packed: Reverse(EXPRESSION | route.priority.unwrap_or_default()),
            negative: Reverse(0),
            id: Reverse(route.id),
        }
    }

    /// The rank of a stream route: one with server names, or with both sources and destinations,
    /// before others; then by how narrow its sources are, then its destinations.
    pub(crate) fn of_stream(route: &Route) -> Self {
        let both = filled(&route.sources) && filled(&route.destinations);
        let mut packed = narrowness(&route.sources) << 4 | narrowness(&route.destinations);
        if both || filled(&route.snis) {
            packed |= STREAM_NAMED;
        }
        Self {
            packed: Reverse(packed),
            negative: Reverse(0),
            id: Reverse(route.id),
        }
    }

    /// The rank of one of the rules of a route; `paths` are the paths of that rule, all regular
    /// expressions or all prefixes of one length.
    pub(crate) fn of(route: &Route, paths: &[String], id: Uuid) -> Self {
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
            packed: Reverse(packed),
            negative: Reverse(negative),
            id: Reverse(id),
        }
    }
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
