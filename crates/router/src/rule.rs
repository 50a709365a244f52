//! One compiled rule: what a request must be to match.
//!
//! Its hosts are not here: they are where the rule is filed.

use std::borrow::Cow;
use std::sync::Arc;

use keelgate_entities::RouterFlavor;
use keelgate_entities::kinds::{PathHandling, Protocol, Route};
use smallvec::{SmallVec, smallvec};
use uuid::{Uuid, uuid};

use crate::captures::Captures;
use crate::error::CompileError;
use crate::expression::{Expression, ExpressionKeys};
use crate::facts::Facts;
use crate::header::HeaderRule;
use crate::host::{self, HostKey};
use crate::index::{Decision, Entry};
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
    /// Nothing beyond the host and the key that it is filed under.
    Filed(Decision),
    Attributes(Box<Attributes>),
    Expression(Box<Expression>),
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
    /// The schemes of a route, which only the expressions flavor makes a condition. A route for TLS
    /// alone matches in clear as well, so that such a request can be answered with a redirect.
    pub(crate) fn of(route: &Route, flavor: RouterFlavor) -> Self {
        if flavor != RouterFlavor::Expressions {
            return Self::Any;
        }
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
    flavor: RouterFlavor,
}

/// What the path must be.
#[derive(Debug)]
pub(crate) enum Paths {
    Any,
    /// What the rule is filed under.
    Prefixes,
    /// Regular expressions, asked in this order.
    Regexes(Box<[Arc<Pattern>]>),
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

impl Span {
    /// A path that begins with so many bytes of a key.
    pub(crate) fn prefix(length: usize) -> Self {
        Self {
            range: Some((0, length)),
            ..Self::default()
        }
    }
}

/// Beginnings of the paths that can match.
type Keys<'r> = SmallVec<[Cow<'r, [u8]>; 1]>;

impl Paths {
    /// The paths of a rule, and the keys to file it under.
    fn compile<'r>(
        route: &Route,
        paths: &[&'r str],
        flavor: RouterFlavor,
        patterns: &mut Patterns,
    ) -> Result<(Self, Keys<'r>), CompileError> {
        let Some(first) = paths.first() else {
            return Ok((Self::Any, smallvec![Cow::Borrowed(&b""[..])]));
        };
        if !first.starts_with('~') {
            let keys = paths.iter().map(|path| Cow::Borrowed(path.as_bytes()));
            return Ok((Self::Prefixes, keys.collect()));
        }
        let compiled = paths
            .iter()
            .map(|path| {
                let source = match flavor {
                    RouterFlavor::Traditional => format!("^(?:{})", &path[1..]),
                    // Kong's rewriting of capture names, which also touches an escaped `\?<`.
                    _ => format!("^{}", path[1..].replace("?<", "?P<")),
                };
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
        let key = compiled
            .iter()
            .map(|pattern| pattern.literal_start())
            .reduce(common_prefix)
            .unwrap_or_default();
        let key = Cow::Owned(key.to_vec());
        Ok((Self::Regexes(compiled), smallvec![key]))
    }
}

impl Attributes {
    fn compile(
        route: &Route,
        paths: Paths,
        flavor: RouterFlavor,
        patterns: &mut Patterns,
    ) -> Result<Self, CompileError> {
        let headers = route
            .headers
            .iter()
            .flatten()
            .map(|(name, values)| {
                HeaderRule::compile(name, values, flavor, patterns).map_err(|error| {
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
            paths,
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
                .map(|name| SniRule::compile(name, flavor))
                .collect(),
            sources: endpoints("sources", &route.sources)?,
            destinations: endpoints("destinations", &route.destinations)?,
            flavor,
        })
    }

    /// Whether the request matches everything but hosts and path.
    fn accepts(&self, facts: &Facts<'_>) -> bool {
        any_or_none(&self.methods, |method| **method == *facts.method)
            && (!self.asks_server_name(facts.protocol)
                || any_or_none(&self.snis, |own| {
                    facts.sni.is_some_and(|name| own.accepts(name))
                }))
            && any_or_none(&self.sources, |own| own.accepts(facts.source))
            && any_or_none(&self.destinations, |own| own.accepts(facts.destination))
            && self.headers.iter().all(|own| own.accepts(facts.headers))
    }

    /// A server name can only be asked of a TLS connection. Kong's first router asks it of every
    /// stream, too.
    fn asks_server_name(&self, protocol: Protocol) -> bool {
        match self.flavor {
            RouterFlavor::Traditional => !matches!(protocol, Protocol::Http | Protocol::Grpc),
            _ => matches!(protocol, Protocol::Https | Protocol::Tls),
        }
    }

    /// Whether host and key alone decide.
    fn decision(&self) -> Decision {
        let more = !self.methods.is_empty()
            || !self.headers.is_empty()
            || !self.snis.is_empty()
            || !self.sources.is_empty()
            || !self.destinations.is_empty();
        match self.paths {
            Paths::Any if !more => Decision::Host,
            Paths::Prefixes if !more => Decision::Path,
            _ => Decision::Rule,
        }
    }

    /// The part of the path that the rule matches, given that the path begins with `key` bytes of
    /// one of its keys.
    fn span(&self, path: &str, key: usize) -> Option<Span> {
        match &self.paths {
            Paths::Any => Some(Span::default()),
            Paths::Prefixes => Some(Span::prefix(key)),
            Paths::Regexes(patterns) => patterns.iter().enumerate().find_map(|(index, pattern)| {
                let found = pattern.find(path)?;
                Some(Span {
                    range: Some((found.start, found.end)),
                    pattern: Some(index as u32),
                    ..Span::default()
                })
            }),
        }
    }
}

impl Rule {
    /// The rule of a route's attributes, of which `paths` are those of this rule, and what to file
    /// it under.
    pub(crate) fn of_attributes<'r>(
        index: u32,
        route: &'r Route,
        paths: &[&'r str],
        flavor: RouterFlavor,
        patterns: &mut Patterns,
    ) -> Result<(Self, Entry<'r>), CompileError> {
        let schemes = Schemes::of(route, flavor);
        let (paths, keys) = Paths::compile(route, paths, flavor, patterns)?;
        let attributes = Attributes::compile(route, paths, flavor, patterns)?;
        let mut decision = attributes.decision();
        if schemes != Schemes::Any {
            decision = Decision::Rule;
        }
        let hosts = route.hosts.iter().flatten().map(|host| {
            let (name, port) = host::split_port_for(flavor, host);
            (HostKey::of(name), port)
        });
        let entry = Entry {
            route: index,
            hosts: hosts.collect(),
            paths: keys,
            decision,
            handling: match flavor {
                RouterFlavor::Traditional => route.path_handling,
                _ => PathHandling::V0,
            },
        };
        let condition = match decision {
            Decision::Rule => Condition::Attributes(attributes.into()),
            _ => Condition::Filed(decision),
        };
        let rule = Self {
            route: index,
            schemes,
            condition,
        };
        Ok((rule, entry))
    }

    /// The rule of a route's expression, and what to file it under.
    pub(crate) fn of_expression<'r>(
        index: u32,
        schemes: Schemes,
        (expression, keys): (Expression, ExpressionKeys),
    ) -> (Self, Entry<'r>) {
        let decision = match schemes {
            Schemes::Any => keys.decision,
            _ => Decision::Rule,
        };
        let entry = Entry {
            route: index,
            hosts: keys.hosts.into_iter().map(|key| (key, None)).collect(),
            paths: keys
                .paths
                .into_iter()
                .map(|key| Cow::Owned(key.into_bytes()))
                .collect(),
            decision,
            handling: PathHandling::V0,
        };
        let condition = match decision {
            Decision::Rule => Condition::Expression(expression.into()),
            _ => Condition::Filed(decision),
        };
        let rule = Self {
            route: index,
            schemes,
            condition,
        };
        (rule, entry)
    }

    /// Whether the request matches, and which part of its path; given that its host is one under
    /// which the rule is filed, and that its path begins with `key` bytes of one of the keys.
    pub(crate) fn find(&self, request: &Request<'_>, key: usize) -> Option<Span> {
        let facts = request.facts;
        if !self.schemes.accepts(facts.protocol) {
            return None;
        }
        match &self.condition {
            Condition::Filed(Decision::Path) => Some(Span::prefix(key)),
            Condition::Filed(_) => Some(Span::default()),
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
            Condition::Filed(_) => false,
            Condition::Attributes(attributes) => matches!(attributes.paths, Paths::Regexes(_)),
            Condition::Expression(expression) => expression.may_capture(),
        }
    }

    /// What the groups of the regular expressions that took part in the match caught.
    pub(crate) fn captures(&self, request: &Request<'_>, pattern: Option<u32>) -> Option<Captures> {
        match &self.condition {
            Condition::Filed(_) => None,
            Condition::Attributes(attributes) => {
                let Paths::Regexes(patterns) = &attributes.paths else {
                    return None;
                };
                let pattern = patterns.get(pattern? as usize)?;
                let path = request.facts.path;
                let captures = Captures::of(pattern, path)?;
                Some(match attributes.flavor {
                    RouterFlavor::Traditional => captures.with_whole(path),
                    _ => captures,
                })
            }
            Condition::Expression(expression) => expression.captures(request),
        }
    }

    /// The names of the headers that the rule looks at.
    pub(crate) fn header_names(&self) -> Vec<&str> {
        match &self.condition {
            Condition::Filed(_) => Vec::new(),
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
            Condition::Filed(_) | Condition::Attributes(_) => Vec::new(),
            Condition::Expression(expression) => expression.argument_names(),
        }
    }
}

/// The paths of a route, split as its rules: regular expressions together, prefixes by length, in
/// order of appearance, each with the id that decides ties.
pub(crate) fn split(route: &Route) -> SmallVec<[(Uuid, Group<'_>); 1]> {
    let paths = route.paths.as_deref().unwrap_or_default();
    let mut groups: SmallVec<[(usize, Group<'_>); 1]> = SmallVec::new();
    for path in paths {
        let key = if path.starts_with('~') { 0 } else { path.len() };
        match groups.iter_mut().find(|(own, _)| *own == key) {
            Some((_, group)) => group.push(path),
            None => groups.push((key, smallvec![path.as_str()])),
        }
    }
    if groups.len() < 2 {
        let paths = groups.pop().map(|(_, group)| group).unwrap_or_default();
        return smallvec![(route.id, paths)];
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

/// The paths of one rule.
type Group<'r> = SmallVec<[&'r str; 1]>;

fn any_or_none<T>(list: &[T], accepts: impl FnMut(&T) -> bool) -> bool {
    list.is_empty() || list.iter().any(accepts)
}

fn common_prefix<'a>(a: &'a [u8], b: &'a [u8]) -> &'a [u8] {
    let length = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    &a[..length]
}
