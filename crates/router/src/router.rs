//! The compiled routes, and the search.

use std::borrow::{Borrow, Cow};
use std::collections::BTreeSet;
use std::fmt;

use keelgate_entities::RouterFlavor;
use keelgate_entities::expression::Subsystem;
use keelgate_entities::kinds::{PathHandling, Protocol, Route};

use crate::captures::Captures;
use crate::error::CompileError;
use crate::expression::{Expression, ExpressionKeys};
use crate::facts::Facts;
use crate::index::Index;
use crate::path::escape;
use crate::pattern::Patterns;
use crate::priority::Rank;
use crate::request::Request;
use crate::rule::{Rule, Schemes, Span, split};

/// Compiled routes.
pub struct Router {
    flavor: RouterFlavor,
    /// In order of rank.
    rules: Box<[Rule]>,
    index: Index,
    /// The headers that any rule looks at and must understand.
    header_names: Box<[Box<str>]>,
    /// The query arguments that any rule looks at.
    argument_names: Box<[Box<str>]>,
}

/// The route that a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// Index into the routes that were compiled.
    pub route: usize,
    rule: u32,
    span: Span,
    pub(crate) handling: PathHandling,
}

impl Match {
    /// The part of the (normalised) path that the route's path matched; `None` for a route that
    /// does not look at the path. A prefix or an anchored regular expression stands at the start of
    /// the path. Where an expression compares in lower case, so is this.
    pub fn matched_path<'p>(&self, path: &'p str) -> Option<Cow<'p, str>> {
        let (start, end) = self.span.range?;
        if !self.span.lowered {
            return path.get(start..end).map(Cow::Borrowed);
        }
        let lowered = path.to_lowercase();
        lowered.get(start..end).map(|part| part.to_owned().into())
    }

    /// The value of `X-Forwarded-Prefix`: what `strip_path` takes off, if that is something. Escaped
    /// only if it has characters that a header must not have.
    pub fn forwarded_prefix<'p>(&self, path: &'p str, strip_path: bool) -> Option<Cow<'p, str>> {
        let prefix = self.matched_path(path)?;
        if !strip_path || matches!(&*prefix, "" | "/") {
            return None;
        }
        let unfit = |byte: u8| byte.is_ascii_control() && byte != b'\t';
        Some(if prefix.bytes().any(unfit) {
            escape(&prefix).into_owned().into()
        } else {
            prefix
        })
    }
}

impl Router {
    /// Compiles the routes of enabled services. Stream routes are passed over, and so are routes
    /// without any attribute, which match nothing.
    pub fn compile<R: Borrow<Route>>(
        routes: &[R],
        flavor: RouterFlavor,
    ) -> Result<Self, CompileError> {
        let routes: Vec<&Route> = routes.iter().map(Borrow::borrow).collect();
        Self::file(&routes, flavor)
    }

    fn file(routes: &[&Route], flavor: RouterFlavor) -> Result<Self, CompileError> {
        let mut patterns = Patterns::default();
        let mut filed = Vec::with_capacity(routes.len());
        for (index, &route) in (0_u32..).zip(routes) {
            if !route.protocols.iter().copied().any(is_http) {
                continue;
            }
            if let Some(text) = &route.expression {
                let expression =
                    expression_of(route, text, flavor, Subsystem::Http, &mut patterns)?;
                let schemes = Schemes::of(route, flavor);
                let filing = Rule::of_expression(index, schemes, expression);
                filed.push((Rank::of_expression(route), filing));
                continue;
            }
            if !has_attribute(route) {
                continue;
            }
            for (id, paths) in split(route) {
                let rank = Rank::of(route, &paths, id, flavor);
                let filing = Rule::of_attributes(index, route, &paths, flavor, &mut patterns)?;
                filed.push((rank, filing));
            }
        }
        filed.sort_unstable_by_key(|(rank, _)| *rank);
        let (rules, entries): (Vec<_>, Vec<_>) =
            filed.into_iter().map(|(_, filing)| filing).unzip();
        Ok(Self {
            flavor,
            header_names: distinct(&rules, Rule::header_names),
            argument_names: distinct(&rules, Rule::argument_names),
            index: Index::new(&entries),
            rules: rules.into(),
        })
    }

    /// The route for a request: of those that match, the one that ranks first. Whether it accepts
    /// the request's protocol is a later question ([`crate::admit`]).
    ///
    /// Nothing matches a request in which a header or query argument that routes look at is not
    /// UTF-8.
    pub fn find(&self, facts: &Facts<'_>) -> Option<Match> {
        let found = self.index.find(&self.rules, &self.read(facts)?)?;
        Some(Match {
            route: found.route as usize,
            rule: found.rank,
            span: found.span,
            handling: found.handling,
        })
    }

    /// What the regular expressions of the match caught; `None` when that is nothing. `facts` are
    /// those that [`Router::find`] was given.
    pub fn captures(&self, found: &Match, facts: &Facts<'_>) -> Option<Captures> {
        let rule = self.rules.get(found.rule as usize)?;
        if !rule.may_capture() {
            return None;
        }
        rule.captures(&self.read(facts)?, found.span.pattern)
    }

    /// The request as rules see it; `None` when it cannot be read.
    fn read<'r>(&'r self, facts: &'r Facts<'r>) -> Option<Request<'r>> {
        let unreadable = |value: &[u8]| std::str::from_utf8(value).is_err();
        if self
            .header_names
            .iter()
            .any(|name| facts.headers.any(name, &mut { unreadable }))
        {
            return None;
        }
        Request::new(facts, self.flavor).with_arguments(&self.argument_names)
    }
}

/// The names that any rule gives, in order.
fn distinct<'r>(rules: &'r [Rule], names: impl FnMut(&'r Rule) -> Vec<&'r str>) -> Box<[Box<str>]> {
    let names: BTreeSet<&str> = rules.iter().flat_map(names).collect();
    names.into_iter().map(Box::from).collect()
}

/// The rule in a route's expression.
pub(crate) fn expression_of(
    route: &Route,
    text: &str,
    flavor: RouterFlavor,
    subsystem: Subsystem,
    patterns: &mut Patterns,
) -> Result<(Expression, ExpressionKeys), CompileError> {
    if flavor != RouterFlavor::Expressions {
        return Err(CompileError::new(
            route,
            "it has an expression, but the router flavor has none".into(),
            "set router_flavor = expressions, or write hosts, paths, methods instead",
        ));
    }
    Expression::compile(text, subsystem, patterns).map_err(|error| {
        CompileError::new(
            route,
            format!("its expression is wrong: {error}"),
            "mend the expression",
        )
    })
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

pub(crate) fn has_attribute(route: &Route) -> bool {
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
