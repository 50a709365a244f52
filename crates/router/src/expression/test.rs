//! One test of an expression: a field, an operator, a value.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use keelgate_entities::expression::{BinaryOperator, Predicate, Segments, Value};
use keelgate_entities::kinds::Protocol;

use super::{Traces, lower};
use crate::pattern::{Pattern, Patterns};
use crate::request::Request;
use crate::rule::Span;

/// One test.
#[derive(Debug)]
pub(super) enum Test {
    Text {
        field: TextField,
        /// Whether one value that fits is enough; otherwise all must.
        any: bool,
        lower: bool,
        operator: TextOperator,
    },
    Number {
        field: NumberField,
        operator: NumberOperator,
        value: i64,
    },
    Address {
        field: AddressField,
        /// Whether the address must lie outside.
        outside: bool,
        addresses: IpNet,
    },
    /// What the language cannot express; the parser lets none through.
    Never,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum TextField {
    Protocol,
    ServerName,
    Method,
    Host,
    Path,
    Segments(Segments),
    Header {
        /// The name as it is written, if a header can be spelt so.
        plain: Option<Box<str>>,
        /// With dashes.
        dashed: Box<str>,
    },
    Argument(Box<str>),
}

#[derive(Debug)]
pub(super) enum TextOperator {
    Equal(Box<str>),
    NotEqual(Box<str>),
    Prefix(Box<str>),
    Postfix(Box<str>),
    Contains(Box<str>),
    Matches(Arc<Pattern>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum NumberField {
    SourcePort,
    DestinationPort,
    SegmentCount,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum NumberOperator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum AddressField {
    Source,
    Destination,
}

impl Test {
    pub(super) fn of(predicate: Predicate, patterns: &mut Patterns) -> Self {
        let (lower, any) = predicate.lhs.get_transformations();
        let name = predicate.lhs.var_name.as_str();
        match predicate.rhs {
            Value::Int(value) => match (number_field(name), number_operator(&predicate.op)) {
                (Some(field), Some(operator)) => Self::Number {
                    field,
                    operator,
                    value,
                },
                _ => Self::Never,
            },
            Value::IpAddr(address) => address_test(name, &predicate.op, IpNet::from(address)),
            Value::IpCidr(block) => {
                match IpNet::new(block.first_address(), block.network_length()) {
                    Ok(block) => address_test(name, &predicate.op, block),
                    Err(_) => Self::Never,
                }
            }
            // The parser has compiled it; only its text is kept, since most of a large table's are
            // never needed.
            Value::Regex(regex) => match patterns.get(regex.as_str()) {
                Ok(pattern) => text_test(name, any, lower, TextOperator::Matches(pattern)),
                Err(_) => Self::Never,
            },
            Value::String(text) => {
                let text = text.into_boxed_str();
                let operator = match predicate.op {
                    BinaryOperator::Equals => TextOperator::Equal(text),
                    BinaryOperator::NotEquals => TextOperator::NotEqual(text),
                    BinaryOperator::Prefix => TextOperator::Prefix(text),
                    BinaryOperator::Postfix => TextOperator::Postfix(text),
                    BinaryOperator::Contains => TextOperator::Contains(text),
                    _ => return Self::Never,
                };
                text_test(name, any, lower, operator)
            }
        }
    }

    pub(super) fn holds(&self, request: &Request<'_>, traces: &mut Traces) -> bool {
        let facts = request.facts;
        match self {
            Self::Text {
                field: TextField::Path,
                lower,
                operator,
                ..
            } => on_path(request, *lower, operator, traces),
            Self::Text {
                field,
                any,
                lower: lowering,
                operator,
            } => {
                let mut present = false;
                // Asks on until the answer is clear: a value that fits, or one that does not.
                let decided = each_value(field, request, &mut |value| {
                    present = true;
                    let value = if *lowering {
                        lower(value)
                    } else {
                        Cow::Borrowed(value)
                    };
                    operator.add_captures(&value, traces);
                    operator.fits(&value) == *any
                });
                present && decided == *any
            }
            Self::Number {
                field,
                operator,
                value,
            } => {
                let own = match field {
                    NumberField::SourcePort => i64::from(facts.source.port()),
                    NumberField::DestinationPort => i64::from(facts.port),
                    NumberField::SegmentCount => segments(facts.path).count() as i64,
                };
                match operator {
                    NumberOperator::Equal => own == *value,
                    NumberOperator::NotEqual => own != *value,
                    NumberOperator::Greater => own > *value,
                    NumberOperator::GreaterOrEqual => own >= *value,
                    NumberOperator::Less => own < *value,
                    NumberOperator::LessOrEqual => own <= *value,
                }
            }
            Self::Address {
                field,
                outside,
                addresses,
            } => {
                let own: IpAddr = match field {
                    AddressField::Source => facts.source.ip(),
                    AddressField::Destination => facts.destination.ip(),
                };
                addresses.contains(&own) != *outside
            }
            Self::Never => false,
        }
    }

    pub(super) fn is_regex(&self) -> bool {
        matches!(
            self,
            Self::Text {
                operator: TextOperator::Matches(_),
                ..
            }
        )
    }

    pub(super) fn header_names(&self) -> impl Iterator<Item = &str> {
        let (plain, dashed) = match self {
            Self::Text {
                field: TextField::Header { plain, dashed },
                ..
            } => (plain.as_deref(), Some(&**dashed)),
            _ => (None, None),
        };
        plain.into_iter().chain(dashed)
    }

    pub(super) fn argument_name(&self) -> Option<&str> {
        match self {
            Self::Text {
                field: TextField::Argument(name),
                ..
            } => Some(name),
            _ => None,
        }
    }
}

impl TextOperator {
    fn fits(&self, value: &str) -> bool {
        match self {
            Self::Equal(own) => value == &**own,
            Self::NotEqual(own) => value != &**own,
            Self::Prefix(own) => value.starts_with(&**own),
            Self::Postfix(own) => value.ends_with(&**own),
            Self::Contains(own) => value.contains(&**own),
            Self::Matches(pattern) => pattern.is_match(value),
        }
    }

    /// Notes what a regular expression catches, if somebody wants to know.
    fn add_captures(&self, value: &str, traces: &mut Traces) {
        if let (Self::Matches(pattern), Some(captures)) = (self, &mut traces.captures) {
            captures.add(pattern, value);
        }
    }

    /// The part of `value` that fits, for operators that tell.
    fn part(&self, value: &str) -> Option<(usize, usize)> {
        match self {
            Self::Equal(_) => Some((0, value.len())),
            Self::Prefix(own) => Some((0, own.len())),
            Self::Postfix(own) => Some((value.len() - own.len(), value.len())),
            Self::Matches(pattern) => {
                let found = pattern.find(value)?;
                Some((found.start, found.end))
            }
            Self::NotEqual(_) | Self::Contains(_) => None,
        }
    }
}

/// A test on the path, which leaves behind what it matched.
fn on_path(
    request: &Request<'_>,
    lowering: bool,
    operator: &TextOperator,
    traces: &mut Traces,
) -> bool {
    let path = request.facts.path;
    let lowered = if lowering {
        lower(path)
    } else {
        Cow::Borrowed(path)
    };
    if !operator.fits(&lowered) {
        return false;
    }
    if let Some(range) = operator.part(&lowered) {
        traces.span = Span {
            range: Some(range),
            lowered: matches!(lowered, Cow::Owned(_)),
            pattern: None,
        };
    }
    operator.add_captures(&lowered, traces);
    true
}

/// Calls `visit` with every value of a field until it returns `true`; returns whether it did.
fn each_value(
    field: &TextField,
    request: &Request<'_>,
    visit: &mut dyn FnMut(&str) -> bool,
) -> bool {
    let facts = request.facts;
    match field {
        TextField::Protocol => visit(match facts.protocol {
            Protocol::Https | Protocol::Grpcs => "https",
            Protocol::Tcp => "tcp",
            Protocol::Tls => "tls",
            Protocol::Udp => "udp",
            _ => "http",
        }),
        TextField::ServerName => facts.sni.is_some_and(visit),
        TextField::Method => visit(facts.method),
        TextField::Host => !facts.host.is_empty() && visit(facts.host),
        TextField::Path => visit(facts.path),
        TextField::Segments(range) => join(facts.path, *range).is_some_and(visit),
        TextField::Argument(name) => {
            let mut values = request.argument(name);
            values.any(visit)
        }
        TextField::Header { plain, dashed } => {
            let mut present = false;
            // The router lets no request through whose headers are no text.
            let mut text = |value: &[u8]| {
                present = true;
                std::str::from_utf8(value).is_ok_and(&mut *visit)
            };
            if let Some(plain) = plain {
                let decided = facts.headers.any(plain, &mut text);
                if present {
                    return decided;
                }
            }
            facts.headers.any(dashed, &mut |value| {
                std::str::from_utf8(value).is_ok_and(&mut *visit)
            })
        }
    }
}

/// The segments of a path; the slash at its end starts none.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').filter(move |_| !path.is_empty())
}

/// A range of segments as it stands in the path; `None` when the path has not so many.
fn join(path: &str, range: Segments) -> Option<&str> {
    let first = segments(path).nth(range.first)?;
    let last = segments(path).nth(range.last)?;
    // Both are parts of `path`.
    let start = first.as_ptr() as usize - path.as_ptr() as usize;
    let end = last.as_ptr() as usize - path.as_ptr() as usize + last.len();
    path.get(start..end)
}

fn text_test(name: &str, any: bool, lower: bool, operator: TextOperator) -> Test {
    match text_field(name) {
        Some(field) => Test::Text {
            field,
            any,
            lower,
            operator,
        },
        None => Test::Never,
    }
}

fn text_field(name: &str) -> Option<TextField> {
    Some(match name {
        "net.protocol" => TextField::Protocol,
        "tls.sni" => TextField::ServerName,
        "http.method" => TextField::Method,
        "http.host" => TextField::Host,
        "http.path" => TextField::Path,
        _ => {
            if let Some(range) = name.strip_prefix("http.path.segments.") {
                TextField::Segments(Segments::parse(range)?)
            } else if let Some(name) = name.strip_prefix("http.headers.") {
                let dashed: Box<str> = name.to_ascii_lowercase().replace('_', "-").into();
                let plain = *name != *dashed && !name.bytes().any(|b| b.is_ascii_uppercase());
                TextField::Header {
                    plain: plain.then(|| name.into()),
                    dashed,
                }
            } else {
                TextField::Argument(name.strip_prefix("http.queries.")?.into())
            }
        }
    })
}

fn number_field(name: &str) -> Option<NumberField> {
    Some(match name {
        "net.src.port" => NumberField::SourcePort,
        "net.dst.port" => NumberField::DestinationPort,
        "http.path.segments.len" => NumberField::SegmentCount,
        _ => return None,
    })
}

fn number_operator(operator: &BinaryOperator) -> Option<NumberOperator> {
    Some(match operator {
        BinaryOperator::Equals => NumberOperator::Equal,
        BinaryOperator::NotEquals => NumberOperator::NotEqual,
        BinaryOperator::Greater => NumberOperator::Greater,
        BinaryOperator::GreaterOrEqual => NumberOperator::GreaterOrEqual,
        BinaryOperator::Less => NumberOperator::Less,
        BinaryOperator::LessOrEqual => NumberOperator::LessOrEqual,
        _ => return None,
    })
}

fn address_test(name: &str, operator: &BinaryOperator, addresses: IpNet) -> Test {
    let field = match name {
        "net.src.ip" => AddressField::Source,
        "net.dst.ip" => AddressField::Destination,
        _ => return Test::Never,
    };
    let outside = match operator {
        BinaryOperator::Equals | BinaryOperator::In => false,
        BinaryOperator::NotEquals | BinaryOperator::NotIn => true,
        _ => return Test::Never,
    };
    Test::Address {
        field,
        outside,
        addresses,
    }
}
