//! The compiled routes, and the search.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use keelgate_entities::kinds::{Protocol, Route};
use rustc_hash::FxHashMap;

use crate::affix::AffixTable;
use crate::bucket::{Best, Bucket, Candidate};
use crate::captures::Captures;
use crate::error::CompileError;
use crate::facts::Facts;
use crate::host::{Shape, split_port};
use crate::path::escape;
use crate::pattern::Patterns;
use crate::priority::Rank;
use crate::rule::{Paths, Rule, split};

/// How routes are written and ordered (`router_flavor`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flavor {
    /// Attributes (hosts, paths, ...), in the order that Kong's expressions engine gives them.
    #[default]
    TraditionalCompatible,
}

/// Compiled routes.
pub struct Router {
    /// In order of rank.
    rules: Box<[Rule]>,
    exact: FxHashMap<Box<[u8]>, Bucket>,
    /// Hosts like `*.example.com`.
    suffixes: AffixTable<Bucket>,
    /// Hosts like `example.*`.
    prefixes: AffixTable<Bucket>,
    /// Rules without hosts.
    anywhere: Bucket,
    /// The headers that any rule looks at.
    header_names: Box<[Box<str>]>,
}

/// The route that a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Index into the routes that were compiled.
    pub route: usize,
    rule: u32,
    pattern: Option<u32>,
    /// Byte range of the path, if the route has paths.
    matched: Option<(usize, usize)>,
}

impl Match {
    /// The part of the (normalised) path that the route's path matched; `None` for a route without
    /// paths. A prefix or an anchored expression stands at the start of the path.
    pub fn matched_path<'p>(&self, path: &'p str) -> Option<&'p str> {
        let (start, end) = self.matched?;
        path.get(start..end)
    }

    /// The value of `X-Forwarded-Prefix`: what `strip_path` takes off, if that is something. Escaped
    /// only if it has characters that a header must not have.
    pub fn forwarded_prefix<'p>(&self, path: &'p str, strip_path: bool) -> Option<Cow<'p, str>> {
        let prefix = self.matched_path(path)?;
        if !strip_path || matches!(prefix, "" | "/") {
            return None;
        }
        Some(
            if prefix
                .bytes()
                .any(|byte| byte.is_ascii_control() && byte != b'\t')
            {
                escape(prefix)
            } else {
                Cow::Borrowed(prefix)
            },
        )
    }
}

impl Router {
    /// Compiles the routes of enabled services. Stream routes are passed over, and so are routes
    /// without any attribute, which match nothing.
    pub fn compile(routes: &[Route], flavor: Flavor) -> Result<Self, CompileError> {
        let Flavor::TraditionalCompatible = flavor;
        let mut patterns = Patterns::default();
        let mut ranked = Vec::with_capacity(routes.len());
        for (index, route) in routes.iter().enumerate() {
            if route.expression.is_some() {
                return Err(CompileError::new(
                    route,
                    "it has an expression, but the router flavor is traditional_compatible".into(),
                    "set router_flavor = expressions, or write hosts, paths, methods instead",
                ));
            }
            if !route.protocols.iter().copied().any(is_http) || !has_attribute(route) {
                continue;
            }
            for (id, paths) in split(route) {
                let rank = Rank::of(route, &paths, id);
                let rule = Rule::compile(index as u32, route, &paths, &mut patterns)?;
                ranked.push((rank, rule));
            }
        }
        ranked.sort_unstable_by_key(|(rank, _)| *rank);
        let rules = ranked.into_iter().map(|(_, rule)| rule).collect();
        Ok(Self::file(routes, rules))
    }

    /// Files the rules by host.
    fn file(routes: &[Route], rules: Box<[Rule]>) -> Self {
        let mut exact = FxHashMap::<&str, Vec<Candidate>>::default();
        let mut suffixes = FxHashMap::<&str, Vec<Candidate>>::default();
        let mut prefixes = FxHashMap::<&str, Vec<Candidate>>::default();
        let mut anywhere = Vec::new();
        for (rank, rule) in rules.iter().enumerate() {
            let candidates = |port| {
                (0..rule.paths.keys()).map(move |key| Candidate {
                    rule: rank as u32,
                    key: key as u32,
                    port,
                })
            };
            let hosts = routes[rule.route as usize].hosts.as_deref();
            let hosts = hosts.unwrap_or_default();
            if hosts.is_empty() {
                anywhere.extend(candidates(None));
            }
            for host in hosts {
                let (name, port) = split_port(host);
                let list = match Shape::of(name) {
                    Shape::Exact(name) => exact.entry(name),
                    Shape::Suffix(name) => suffixes.entry(name),
                    Shape::Prefix(name) => prefixes.entry(name),
                };
                list.or_default().extend(candidates(port));
            }
        }
        let bucket = |(name, list): (&str, Vec<Candidate>)| {
            (Box::from(name.as_bytes()), Bucket::new(list, &rules))
        };
        let header_names: BTreeSet<&str> = rules.iter().flat_map(Rule::header_names).collect();
        Self {
            header_names: header_names.into_iter().map(Box::from).collect(),
            exact: exact.into_iter().map(bucket).collect(),
            suffixes: suffixes.into_iter().map(bucket).collect(),
            prefixes: prefixes.into_iter().map(bucket).collect(),
            anywhere: Bucket::new(anywhere, &rules),
            rules,
        }
    }

    /// The route for a request: of those that match, the one that ranks first. Whether it accepts
    /// the request's protocol is a later question ([`crate::admit`]).
    ///
    /// Nothing matches a request in which a header that routes look at is not UTF-8.
    pub fn find(&self, facts: &Facts<'_>) -> Option<Match> {
        let unreadable = |value: &[u8]| std::str::from_utf8(value).is_err();
        if self
            .header_names
            .iter()
            .any(|name| facts.headers.any(name, &mut { unreadable }))
        {
            return None;
        }
        let host = facts.host.as_bytes();
        let mut best = Best::default();
        if let Some(bucket) = self.exact.get(host) {
            bucket.search(&self.rules, facts, &mut best);
        }
        for bucket in self.suffixes.suffixes_of(host) {
            bucket.search(&self.rules, facts, &mut best);
        }
        for bucket in self.prefixes.prefixes_of(host) {
            bucket.search(&self.rules, facts, &mut best);
        }
        self.anywhere.search(&self.rules, facts, &mut best);

        let (index, span) = best.0?;
        let rule = &self.rules[index as usize];
        Some(Match {
            route: rule.route as usize,
            rule: index,
            pattern: span.pattern,
            matched: (!matches!(rule.paths, Paths::Any)).then_some((span.start, span.end)),
        })
    }

    /// The captures of the path that was matched; `None` when the route's path captures nothing.
    /// `path` is the one that [`Router::find`] was given.
    pub fn captures<'p>(&self, found: &Match, path: &'p str) -> Option<Captures<'p>> {
        let Paths::Regexes { patterns, .. } = &self.rules.get(found.rule as usize)?.paths else {
            return None;
        };
        let pattern = patterns.get(found.pattern? as usize)?;
        Captures::of(pattern.regex()?, path)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("rules", &self.rules.len())
            .finish_non_exhaustive()
    }
}

fn is_http(protocol: Protocol) -> bool {
    use Protocol::{Grpc, Grpcs, Http, Https, Ws, Wss};
    matches!(protocol, Http | Https | Grpc | Grpcs | Ws | Wss)
}

fn has_attribute(route: &Route) -> bool {
    fn filled<T>(list: &Option<Vec<T>>) -> bool {
        list.as_ref().is_some_and(|list| !list.is_empty())
    }
    filled(&route.hosts)
        || filled(&route.paths)
        || filled(&route.methods)
        || filled(&route.snis)
        || filled(&route.sources)
        || filled(&route.destinations)
        || route.headers.as_ref().is_some_and(|map| !map.is_empty())
}
