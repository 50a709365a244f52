//! The language of route expressions, such as `http.path ^= "/api" && http.method == "GET"`.
//!
//! Grammar and rules are those of the `atc-router` crate, which is Kong's own parser, so that every
//! expression is accepted or refused, and explained, as there. Evaluating is the router's matter.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use atc_router::schema::Schema;
use atc_router::semantics::Validate;
use regex::Regex;

pub use atc_router::ast::{
    BinaryOperator, Expression, Lhs, LogicalExpression, Predicate, Type, Value,
};

/// Longest expression, in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 64 * 1024;

/// How deep parentheses may be nested. The parser takes stack for every level.
pub const MAX_NESTING: usize = 4096;

/// Stack that one level of nesting may take, in bytes; measured, with room to spare.
const STACK_PER_LEVEL: usize = 32 * 1024;

/// What an expression is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subsystem {
    /// HTTP and gRPC requests.
    Http,
    /// TCP, TLS and UDP streams.
    Stream,
}

impl Subsystem {
    /// The subsystem of a route.
    pub fn of(stream: bool) -> Self {
        if stream { Self::Stream } else { Self::Http }
    }

    fn fields(self) -> &'static Schema {
        static HTTP: LazyLock<Schema> = LazyLock::new(|| {
            let mut schema = connection();
            for field in [
                "http.method",
                "http.host",
                "http.path",
                "http.path.segments.*",
                "http.headers.*",
                "http.queries.*",
            ] {
                schema.add_field(field, Type::String);
            }
            schema.add_field("http.path.segments.len", Type::Int);
            schema
        });
        static STREAM: LazyLock<Schema> = LazyLock::new(connection);
        match self {
            Self::Http => &HTTP,
            Self::Stream => &STREAM,
        }
    }
}

/// The fields that every connection has.
fn connection() -> Schema {
    let mut schema = Schema::default();
    for (field, kind) in [
        ("net.protocol", Type::String),
        ("tls.sni", Type::String),
        ("net.src.port", Type::Int),
        ("net.dst.port", Type::Int),
        ("net.src.ip", Type::IpAddr),
        ("net.dst.ip", Type::IpAddr),
    ] {
        schema.add_field(field, kind);
    }
    schema
}

/// Why a text is no expression. Parse errors show the place in the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// The text does not follow the grammar, or a literal in it is wrong.
    #[error("{0}")]
    Syntax(String),
    /// A field is unknown, or used with a value or an operator that it does not have.
    #[error("{0}")]
    Meaning(String),
    /// A position or range of path segments that cannot be.
    #[error("illformed http.path.segments.* field")]
    Segments,
    /// More than this build reads.
    #[error(
        "the expression is longer than {MAX_EXPRESSION_BYTES} bytes or nested deeper than {MAX_NESTING} parentheses: write several routes instead"
    )]
    TooLarge,
    /// The parser gave up.
    #[error("the expression cannot be read: write operators with single spaces, as in `not in`")]
    Unreadable,
}

/// Reads an expression and checks its fields, types and operators.
pub fn parse(text: &str, subsystem: Subsystem) -> Result<Expression, ExpressionError> {
    let nesting = nesting(text);
    if text.len() > MAX_EXPRESSION_BYTES || nesting > MAX_NESTING {
        return Err(ExpressionError::TooLarge);
    }
    let text = renamed(text);
    // The parser has an arm that it believes unreachable, for `not` and `in` parted by more than
    // one blank.
    let parsed = stacker::maybe_grow(
        (nesting + 8) * STACK_PER_LEVEL,
        (nesting + 64) * STACK_PER_LEVEL,
        || catch_unwind(AssertUnwindSafe(|| atc_router::parser::parse(&text))),
    );
    let expression = parsed
        .map_err(|_| ExpressionError::Unreadable)?
        .map_err(|error| ExpressionError::Syntax(error.to_string()))?;
    expression
        .validate(subsystem.fields())
        .map_err(ExpressionError::Meaning)?;
    check_segments(&expression)?;
    Ok(expression)
}

/// The former name of the destination port is still understood.
fn renamed(text: &str) -> std::borrow::Cow<'_, str> {
    static FORMER: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"net\.port(\s*[=><!])").expect("a constant expression, covered by a test")
    });
    if !text.contains("net.port") {
        return text.into();
    }
    FORMER.replace_all(text, "net.dst.port$1")
}

/// The greatest number of parentheses that are open at once; those in literals count as well.
fn nesting(text: &str) -> usize {
    let mut open = 0_usize;
    let mut most = 0;
    for byte in text.bytes() {
        match byte {
            b'(' => open += 1,
            b')' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}

/// Segments are asked for by position (`0`), by range (`1_3`) or by number (`len`).
fn check_segments(expression: &Expression) -> Result<(), ExpressionError> {
    match expression {
        Expression::Logical(logical) => match &**logical {
            LogicalExpression::And(left, right) | LogicalExpression::Or(left, right) => {
                check_segments(left)?;
                check_segments(right)
            }
            LogicalExpression::Not(inner) => check_segments(inner),
        },
        Expression::Predicate(predicate) => {
            match predicate.lhs.var_name.strip_prefix("http.path.segments.") {
                Some(range) if range != "len" && Segments::parse(range).is_none() => {
                    Err(ExpressionError::Segments)
                }
                _ => Ok(()),
            }
        }
    }
}

/// The path segments that a field names: the last part of `http.path.segments.1_3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// Position of the first, from 0.
    pub first: usize,
    /// Position of the last.
    pub last: usize,
}

impl Segments {
    /// Reads `1` or `1_3`; numbers have no leading zeros, and a range has at least two segments.
    pub fn parse(range: &str) -> Option<Self> {
        let number = |text: &str| -> Option<usize> {
            let plain = text.bytes().all(|byte| byte.is_ascii_digit())
                && (text == "0" || !text.starts_with('0'));
            plain.then(|| text.parse().ok())?
        };
        match range.split_once('_') {
            None => number(range).map(|at| Self {
                first: at,
                last: at,
            }),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                (first < last).then_some(Self { first, last })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        match parse(text, Subsystem::Http) {
            Ok(expression) => panic!("{expression:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn errors_show_the_place() {
        assert_eq!(
            refusal(r#"http.path == "/a" & http.host == "b""#),
            " --> 1:19\n  |\n1 | http.path == \"/a\" & http.host == \"b\"\n  |                   ^---\n  |\n  = expected EOI, and_op, or or_op"
        );
        assert_eq!(refusal(r#"http.foo == "x""#), "Unknown LHS field");
    }

    #[test]
    fn stream_rules_know_no_http_fields() {
        let error = parse(r#"http.path ^= "/a""#, Subsystem::Stream).map(|_| ());
        assert_eq!(
            error,
            Err(ExpressionError::Meaning("Unknown LHS field".into()))
        );
        assert!(parse("net.dst.port == 9000", Subsystem::Stream).is_ok());
    }

    #[test]
    fn the_former_name_of_the_port_is_understood() {
        assert!(parse("net.port == 80", Subsystem::Http).is_ok());
        assert!(parse(r#"http.path == "net.port""#, Subsystem::Http).is_ok());
    }

    #[test]
    fn deep_nesting_is_read_up_to_a_bound_and_never_ends_the_process() {
        let nested = |depth| {
            format!(
                r#"{}http.path == "/"{}"#,
                "(".repeat(depth),
                ")".repeat(depth)
            )
        };
        assert!(parse(&nested(MAX_NESTING), Subsystem::Http).is_ok());
        let deeper = parse(&nested(MAX_NESTING + 1), Subsystem::Http).map(|_| ());
        assert_eq!(deeper, Err(ExpressionError::TooLarge));
        let negated = format!(
            r#"{}http.path == "/"{}"#,
            "!(".repeat(MAX_NESTING),
            ")".repeat(MAX_NESTING)
        );
        assert!(parse(&negated, Subsystem::Http).is_ok());
    }

    #[test]
    fn what_the_parser_cannot_name_is_refused() {
        assert_eq!(
            refusal("net.src.ip not  in 10.0.0.0/8"),
            ExpressionError::Unreadable.to_string()
        );
    }

    #[test]
    fn segments_are_positions_and_ranges() {
        let range = |first, last| Some(Segments { first, last });
        assert_eq!(Segments::parse("0"), range(0, 0));
        assert_eq!(Segments::parse("1_12"), range(1, 12));
        for wrong in [
            "", "01", "1_", "_1", "2_1", "1_1", "0_0", "x", "1_2_3", "-1",
        ] {
            assert_eq!(Segments::parse(wrong), None, "{wrong}");
        }
        assert!(refusal(r#"http.path.segments.1_ == "a""#).contains("illformed"));
    }
}
