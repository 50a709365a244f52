//! What `$(…)` computes.

use std::borrow::Cow;

use crate::HeaderMap;

use super::Facts;
use crate::{arguments, setting};

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression {
    Constant(Value<'static>),
    Lookup(Source, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    Equal(Box<Expression>, Box<Expression>),
    Concat(Box<Expression>, Box<Expression>),
    Call(Function, Vec<Expression>),
}

/// What names are looked up in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Headers,
    QueryParams,
    UriCaptures,
    Shared,
}

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Upper,
    Lower,
    Len,
    Sub,
    ToString,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Nil,
    Boolean(bool),
    Number(f64),
    Text(Cow<'a, [u8]>),
}

impl Source {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "headers" => Self::Headers,
            "query_params" => Self::QueryParams,
            "uri_captures" => Self::UriCaptures,
            "shared" => Self::Shared,
            _ => return None,
        })
    }

    fn look_up<'f>(self, facts: Facts<'f>, name: &[u8]) -> Value<'f> {
        let text = |bytes: &'f [u8]| Value::Text(Cow::Borrowed(bytes));
        let pair = |pairs: &'f [(String, String)]| {
            let found = pairs.iter().find(|(other, _)| other.as_bytes() == name);
            found.map_or(Value::Nil, |(_, value)| text(value.as_bytes()))
        };
        match self {
            Self::Headers => header(facts.headers, name).map_or(Value::Nil, text),
            Self::QueryParams => match arguments::find(facts.query.as_bytes(), name).next() {
                None => Value::Nil,
                Some(None) => Value::Boolean(true),
                Some(Some(value)) => Value::Text(value),
            },
            Self::UriCaptures => pair(facts.captures),
            Self::Shared => pair(facts.shared),
        }
    }
}

/// The first value of a header; underscores in its name also stand for dashes.
fn header<'f>(headers: &'f HeaderMap, name: &[u8]) -> Option<&'f [u8]> {
    let name = std::str::from_utf8(name).ok()?;
    let value = headers
        .get(name)
        .or_else(|| headers.get(name.replace('_', "-")))?;
    Some(value.as_bytes())
}

impl Function {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "upper" => Self::Upper,
            "lower" => Self::Lower,
            "len" => Self::Len,
            "sub" => Self::Sub,
            _ => return None,
        })
    }

    /// The least and the greatest number of arguments.
    pub(crate) fn arity(self) -> (usize, usize) {
        match self {
            Self::Sub => (2, 3),
            _ => (1, 1),
        }
    }

    fn call<'f>(self, arguments: &'f [Expression], facts: Facts<'f>) -> Value<'f> {
        let argument = |at: usize| arguments.get(at).map(|argument| argument.value(facts));
        let mut text = Vec::new();
        argument(0).unwrap_or(Value::Nil).write(&mut text);
        match self {
            Self::Upper => text.make_ascii_uppercase(),
            Self::Lower => text.make_ascii_lowercase(),
            Self::Len => return Value::Number(text.len() as f64),
            Self::Sub => {
                let from = argument(1).map_or(1.0, |value| value.number());
                let to = argument(2).map_or(-1.0, |value| value.number());
                text = part(&text, from, to).to_vec();
            }
            Self::ToString => (),
        }
        Value::Text(Cow::Owned(text))
    }
}

/// Bytes `from` to `to`, counted from 1, or from the end when negative.
fn part(text: &[u8], from: f64, to: f64) -> &[u8] {
    let length = text.len() as f64;
    let position = |at: f64| if at < 0.0 { length + at + 1.0 } else { at };
    let from = position(from).max(1.0) as usize - 1;
    let to = position(to).clamp(0.0, length) as usize;
    text.get(from..to).unwrap_or_default()
}

impl Expression {
    /// Absent things are nil, and nothing is an error: a request is not refused for what it lacks.
    pub(crate) fn value<'f>(&'f self, facts: Facts<'f>) -> Value<'f> {
        match self {
            Self::Constant(value) => value.clone(),
            Self::Lookup(source, name) => {
                let mut text = Vec::new();
                name.value(facts).write(&mut text);
                source.look_up(facts, &text)
            }
            Self::Or(left, right) => match left.value(facts) {
                value if value.is_true() => value,
                _ => right.value(facts),
            },
            Self::And(left, right) => match left.value(facts) {
                value if value.is_true() => right.value(facts),
                value => value,
            },
            Self::Not(inner) => Value::Boolean(!inner.value(facts).is_true()),
            Self::Equal(left, right) => Value::Boolean(left.value(facts) == right.value(facts)),
            Self::Concat(left, right) => {
                let mut text = Vec::new();
                left.value(facts).write(&mut text);
                right.value(facts).write(&mut text);
                Value::Text(Cow::Owned(text))
            }
            Self::Call(function, arguments) => function.call(arguments, facts),
        }
    }
}

impl Value<'_> {
    fn is_true(&self) -> bool {
        !matches!(self, Self::Nil | Self::Boolean(false))
    }

    fn number(&self) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Text(text) => std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(0.0),
            Self::Nil | Self::Boolean(_) => 0.0,
        }
    }

    /// As it stands in the finished text; nil and false are empty.
    pub(crate) fn write(&self, text: &mut Vec<u8>) {
        match self {
            Self::Nil | Self::Boolean(false) => (),
            Self::Boolean(true) => text.extend_from_slice(b"true"),
            Self::Number(number) => text.extend_from_slice(setting::number(*number).as_bytes()),
            Self::Text(value) => text.extend_from_slice(value),
        }
    }
}
