//! Values with `$(…)` in them, computed from the request.
//!
//! Templates are a small language of their own, parsed when a configuration is compiled. It is the
//! part of Lua's expressions that such values use:
//!
//! - `headers`, `query_params`, `uri_captures` and `shared`, followed by `.name`, `['name']` or
//!   `[1]`;
//! - texts, numbers, `nil`, `true`, `false`, parentheses;
//! - `or`, `and`, `not`, `==`, `~=` and `..`;
//! - `string.upper`, `string.lower`, `string.len`, `string.sub` and `tostring`, the first four
//!   also as methods: `headers.x:upper()`.

mod expression;
mod parser;

use crate::HeaderMap;

use crate::Exchange;
use expression::Expression;
pub(crate) use parser::ParseError;

/// A value with places that are filled from the request.
#[derive(Clone, Debug)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Value(Expression),
}

/// What templates are filled from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'f> {
    headers: &'f HeaderMap,
    query: &'f str,
    captures: &'f [(String, String)],
    shared: &'f [(String, String)],
}

impl<'f> Facts<'f> {
    pub(crate) fn of(exchange: &'f Exchange<'_>) -> Self {
        Self {
            headers: &exchange.headers,
            query: exchange.query.as_deref().unwrap_or_default(),
            captures: &exchange.captures,
            shared: &exchange.shared,
        }
    }
}

impl Template {
    /// Reads a value. Text outside of `$(…)` stands for itself, and so does a `$` alone.
    pub(crate) fn parse(text: &str) -> Result<Self, ParseError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("$(") {
            if start > 0 {
                pieces.push(Piece::Text(rest[..start].to_owned()));
            }
            let (expression, after) = parser::parenthesised(&rest[start + 2..])?;
            pieces.push(Piece::Value(expression));
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// The text, if there is nothing to fill in.
    pub(crate) fn fixed(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Fills the places in; what is absent is filled with nothing.
    pub(crate) fn render(&self, facts: Facts<'_>) -> Vec<u8> {
        let mut text = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(fixed) => text.extend_from_slice(fixed.as_bytes()),
                Piece::Value(expression) => expression.value(facts).write(&mut text),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests;
