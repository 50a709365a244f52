//! One compiled rule: what a request must be to match.
//!
//! Its hosts are not here: they are where the rule is filed.

use std::sync::Arc;

use keelgate_entities::kinds::{Protocol, Route};
use uuid::{Uuid, uuid};

use crate::captures::Captures;
use crate::error::CompileError;
use crate::expression::Expression;
use crate::facts::Facts;
use crate::header::HeaderRule;
use crate::host::Shape;
use crate::network::EndpointRule;
use crate::pattern::{Pattern, Patterns};
use crate::request::Request;
use crate::sni::SniRule;

/// Name space of the ids of rules when a route has several. Kong's, so that ties end alike.
const RULE_IDS: Uuid = uuid!("7f145bf9-0dce-4f91-98eb-debbce4b9f6b");

/// One rule of a route.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Index of the route.
    pub(crate) route: u32,
    /// The schemes that it is for, where the flavor makes them a condition.
    schemes: Schemes,
    condition: Condition,
}

#[derive(Debug)]
enum Condition {
    Attributes(Attributes),
    Expression(Expression),
}

/// Which of `http` and `https` a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schemes {
    /// Both; or the protocol is a question for later ([`crate::admit`]).
    Any,
    Clear,
    Tls,
}

impl Schemes {
    /// The schemes of a route in the expressions flavor. A route for TLS alone matches in clear as
    /// well, so that such a request can be answered with a redirect.
    pub(crate) fn of(route: &Route) -> Self {
        use Protocol::{Grpcs, Https};
        let tls = |protocol: &Protocol| matches!(protocol, Https | Grpcs);
        match route.protocols.as_slice() {
            [Https] => Self::Any,
            protocols if protocols.iter().all(tls) => Self::Tls,
            protocols if !protocols.iter().any(tls) => Self::Clear,
            _ => Self::Any,
        }
    }

    fn accepts(self, protocol: Protocol) -> bool {
        let tls = matches!(protocol, Protocol::Https | Protocol::Grpcs);
        match self {
            Self::Any => true,
            Self::Clear => !tls,
            Self::Tls => tls,
        }
    }
}

/// What a route without an expression asks for.
#[derive(Debug)]
struct Attributes {
    paths: Paths,
    methods: Box<[Box<str>]>,
    headers: Box<[HeaderRule]>,
    snis: Box<[SniRule]>,
    sources: Box<[EndpointRule]>,
    destinations: Box<[EndpointRule]>,
}

/// What the path must be.
#[derive(Debug)]
pub(crate) enum Paths {
    Any,
    /// Prefixes of one length.
    Prefixes(Box<[Box<str>]>),
    /// Regular expressions, asked in this order.
    Regexes {
        /// What each of them begins with.
        literal_start: Box<[u8]>,
        patterns: Box<[Arc<Pattern>]>,
    },
}

/// The part of the path that a rule matched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// Byte range, if the rule looked at the path.
    pub(crate) range: Option<(usize, usize)>,
    /// Whether the range is one of the path in lower case.
    pub(crate) lowered: bool,
    /// Which of the rule's regular expressions.
    pub(crate) pattern: Option<u32>,
}

impl Paths {
    fn compile(
        route: &Route,
        paths: &[String],
        patterns: &mut Patterns,
    ) -> Result<Self, CompileError> {
        if paths.is_empty() {
            return Ok(Self::Any);
        }
        if !paths[0].starts_with('~') {
            return Ok(Self::Prefixes(
                paths.iter().map(|path| path.as_str().into()).collect(),
            ));
        }
        let compiled = paths
            .iter()
            .map(|path| {
                // Kong's rewriting of capture names, which also touches an escaped `\?<`.
                let source = format!("^{}", path[1..].replace("?<", "?P<"));
                patterns.get(&source).map_err(|error| {
                    CompileError::new(
                        route,
                        format!("path {path:?} is no valid regular expression: {error}"),
                        "mend the expression (no look-around, no back references), or write the \
                         path without the leading ~ to match it as a prefix",
                    )
                })
            })
            .collect::<Result<Box<[_]>, _>>()?;
        let literal_start = compiled
            .iter()
            .map(|pattern| pattern.literal_start())
            .reduce(common_prefix)
            .unwrap_or_default()
            .into();
        Ok(Self::Regexes {
            literal_start,
            patterns: compiled,
        })
    }

    /// How many keys a rule is filed under.
    pub(crate) fn keys(&self) -> usize {
        match self {
            Self::Any | Self::Regexes { .. } => 1,
            Self::Prefixes(prefixes) => prefixes.len(),
        }
    }

    /// A key: what a path that matches begins with.
    pub(crate) fn key(&self, index: usize) -> &[u8] {
        match self {
            Self::Any => b"",
            Self::Prefixes(prefixes) => prefixes[index].as_bytes(),
            Self::Regexes { literal_start, .. } => literal_start,
        }
    }
}

impl Attributes {
    fn compile(
        route: &Route,
        paths: &[String],
        patterns: &mut Patterns,
    ) -> Result<Self, CompileError> {
        let headers = route
            .headers
            .iter()
            .flatten()
            .map(|(name, values)| {
                HeaderRule::compile(name, values, patterns).map_err(|error| {
                    CompileError::new(
                        route,
                        format!("header {name:?} has no valid regular expression: {error}"),
                        "mend the expression, or write the value without ~* to match it whole",
                    )
                })
            })
            .collect::<Result<_, _>>()?;
        let endpoints = |field: &str, list: &Option<Vec<_>>| {
            list.iter()
                .flatten()
                .map(|endpoint| {
                    EndpointRule::compile(endpoint).ok_or_else(|| {
                        CompileError::new(
                            route,
                            format!("{field} has an ip that is no address and no CIDR block"),
                            "write it like 10.0.0.1, 10.0.0.0/8 or fd00::/8",
                        )
                    })
                })
                .collect::<Result<Box<[_]>, _>>()
        };
        Ok(Self {
            paths: Paths::compile(route, paths, patterns)?,
            methods: route
                .methods
                .iter()
                .flatten()
                .map(|method| method.as_str().into())
                .collect(),
            headers,
            snis: route
                .snis
                .iter()
                .flatten()
                .map(|name| SniRule::compile(name))
                .collect(),
            sources: endpoints("sources", &route.sources)?,
            destinations: endpoints("destinations", &route.destinations)?,
        })
    }

    /// Whether the request matches everything but hosts and path.
    fn accepts(&self, facts: &Facts<'_>) -> bool {
        any_or_none(&self.methods, |method| **method == *facts.method)
            // A server name can only be asked of a TLS connection.
            && (!matches!(facts.protocol, Protocol::Https | Protocol::Tls)
                || any_or_none(&self.snis, |own| {
                    facts.sni.is_some_and(|name| own.accepts(name))
                }))
            && any_or_none(&self.sources, |own| own.accepts(facts.source))
            && any_or_none(&self.destinations, |own| own.accepts(facts.destination))
            && self.headers.iter().all(|own| own.accepts(facts.headers))
    }

    /// The part of the path that the rule matches, given that the path begins with `key` bytes of
    /// one of its keys.
    fn span(&self, path: &str, key: usize) -> Option<Span> {
        match &self.paths {
            Paths::Any => Some(Span::default()),
            Paths::Prefixes(_) => Some(Span {
                range: Some((0, key)),
                ..Span::default()
            }),
            Paths::Regexes { patterns, .. } => {
                patterns.iter().enumerate().find_map(|(index, pattern)| {
                    let found = pattern.regex()?.find(path)?;
                    Some(Span {
                        range: Some((found.start(), found.end())),
                        pattern: Some(index as u32),
                        ..Span::default()
                    })
                })
            }
        }
    }
}

impl Rule {
    /// The rule of a route's attributes, of which `paths` are those of this rule.
    pub(crate) fn of_attributes(
        index: u32,
        route: &Route,
        paths: &[String],
        schemes: Schemes,
        patterns: &mut Patterns,
    ) -> Result<Self, CompileError> {
        let attributes = Attributes::compile(route, paths, patterns)?;
        Ok(Self {
            route: index,
            schemes,
            condition: Condition::Attributes(attributes),
        })
    }

    /// The rule of a route's expression.
    pub(crate) fn of_expression(index: u32, schemes: Schemes, expression: Expression) -> Self {
        Self {
            route: index,
            schemes,
            condition: Condition::Expression(expression),
        }
    }

    /// The hosts under which an expression is filed, none for any host; `None` for a rule of
    /// attributes, which are filed under the hosts of their route.
    pub(crate) fn host_keys(&self) -> Option<Vec<(Shape<'_>, Option<u16>)>> {
        match &self.condition {
            Condition::Attributes(_) => None,
            Condition::Expression(expression) => Some(
                expression
                    .host_keys()
                    .iter()
                    .map(|key| (key.shape(), None))
                    .collect(),
            ),
        }
    }

    /// How many keys the rule is filed under.
    pub(crate) fn keys(&self) -> usize {
        match &self.condition {
            Condition::Attributes(attributes) => attributes.paths.keys(),
            Condition::Expression(expression) => expression.path_keys().len(),
        }
    }

    /// A key: what a path that matches begins with.
    pub(crate) fn key(&self, index: usize) -> &[u8] {
        match &self.condition {
            Condition::Attributes(attributes) => attributes.paths.key(index),
            Condition::Expression(expression) => expression.path_keys()[index].as_bytes(),
        }
    }

    /// Whether the request matches, and which part of its path; given that its host is one under
    /// which the rule is filed, and that its path begins with `key` bytes of one of the keys.
    pub(crate) fn find(&self, request: &Request<'_>, key: usize) -> Option<Span> {
        let facts = request.facts;
        if !self.schemes.accepts(facts.protocol) {
            return None;
        }
        match &self.condition {
            Condition::Attributes(attributes) if attributes.accepts(facts) => {
                attributes.span(facts.path, key)
            }
            Condition::Attributes(_) => None,
            Condition::Expression(expression) => expression.find(request),
        }
    }

    /// Whether a match can have captures at all.
    pub(crate) fn may_capture(&self) -> bool {
        match &self.condition {
            Condition::Attributes(attributes) => matches!(attributes.paths, Paths::Regexes { .. }),
            Condition::Expression(expression) => expression.may_capture(),
        }
    }

    /// What the groups of the regular expressions that took part in the match caught.
    pub(crate) fn captures(&self, request: &Request<'_>, pattern: Option<u32>) -> Option<Captures> {
        match &self.condition {
            Condition::Attributes(Attributes {
                paths: Paths::Regexes { patterns, .. },
                ..
            }) => {
                let pattern = patterns.get(pattern? as usize)?;
                Captures::of(pattern.regex()?, request.facts.path)
            }
            Condition::Attributes(_) => None,
            Condition::Expression(expression) => expression.captures(request),
        }
    }

    /// The names of the headers that the rule looks at.
    pub(crate) fn header_names(&self) -> Vec<&str> {
        match &self.condition {
            Condition::Attributes(attributes) => attributes
                .headers
                .iter()
                .flat_map(HeaderRule::names)
                .collect(),
            Condition::Expression(expression) => expression.header_names(),
        }
    }

    /// The names of the query arguments that the rule looks at.
    pub(crate) fn argument_names(&self) -> Vec<&str> {
        match &self.condition {
            Condition::Attributes(_) => Vec::new(),
            Condition::Expression(expression) => expression.argument_names(),
        }
    }
}

/// The paths of a route, split as its rules: regular expressions together, prefixes by length, in
/// order of appearance, each with the id that decides ties.
pub(crate) fn split(route: &Route) -> Vec<(Uuid, Vec<String>)> {
    let paths = route.paths.as_deref().unwrap_or_default();
    let mut groups: Vec<(usize, Vec<String>)> = Vec::new();
    for path in paths {
        let key = if path.starts_with('~') { 0 } else { path.len() };
        match groups.iter_mut().find(|(own, _)| *own == key) {
            Some((_, group)) => group.push(path.clone()),
            None => groups.push((key, vec![path.clone()])),
        }
    }
    if groups.len() < 2 {
        let paths = groups.pop().map(|(_, group)| group).unwrap_or_default();
        return vec![(route.id, paths)];
    }
    groups
        .into_iter()
        .enumerate()
        .map(|(index, (_, group))| {
            let name = format!("{}#{}", route.id, index + 1);
            (Uuid::new_v5(&RULE_IDS, name.as_bytes()), group)
        })
        .collect()
}

fn any_or_none<T>(list: &[T], accepts: impl FnMut(&T) -> bool) -> bool {
    list.is_empty() || list.iter().any(accepts)
}

fn common_prefix<'a>(a: &'a [u8], b: &'a [u8]) -> &'a [u8] {
    let length = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    &a[..length]
}
