//! Route expressions, compiled: a tree of tests, and the keys that it is filed under.
//!
//! Evaluation follows Kong's engine in what it leaves behind as well: of the tests on the path
//! that hold, the one asked last says which part of the path was matched, and every regular
//! expression that holds adds its captures, also under a negation.

mod keys;
mod test;

use std::borrow::Cow;

use keelgate_entities::expression::{
    Expression as Tree, ExpressionError, LogicalExpression, Subsystem, parse,
};

use crate::captures::Captures;
use crate::pattern::Patterns;
use crate::request::Request;
use crate::rule::Span;

pub(crate) use keys::ExpressionKeys;
use test::Test;

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Expression {
    root: Node,
}

/// A part of an expression.
#[derive(Debug)]
enum Node {
    /// Asked in order until one does not hold.
    All(Box<[Node]>),
    /// Asked in order until one holds.
    Any(Box<[Node]>),
    Not(Box<Node>),
    Test(Test),
}

/// What evaluation leaves behind.
#[derive(Default)]
struct Traces {
    span: Span,
    /// Gathered only when somebody wants them.
    captures: Option<Captures>,
}

impl Expression {
    /// The expression, and what to file it under.
    pub(crate) fn compile(
        text: &str,
        subsystem: Subsystem,
        patterns: &mut Patterns,
    ) -> Result<(Self, ExpressionKeys), ExpressionError> {
        let root = Node::of(parse(text, subsystem)?, patterns);
        let keys = ExpressionKeys::of(&root);
        Ok((Self { root }, keys))
    }

    /// The part of the path that was matched, if the request matches.
    pub(crate) fn find(&self, request: &Request<'_>) -> Option<Span> {
        let mut traces = Traces::default();
        self.root.holds(request, &mut traces).then_some(traces.span)
    }

    /// What the regular expressions of a match caught.
    pub(crate) fn captures(&self, request: &Request<'_>) -> Option<Captures> {
        let mut traces = Traces {
            captures: Some(Captures::default()),
            ..Traces::default()
        };
        self.root.holds(request, &mut traces);
        traces.captures?.beyond_the_whole()
    }

    pub(crate) fn may_capture(&self) -> bool {
        let mut found = false;
        self.root.each(&mut |test| found |= test.is_regex());
        found
    }

    pub(crate) fn header_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.root
            .each(&mut |test| names.extend(test.header_names()));
        names
    }

    pub(crate) fn argument_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.root
            .each(&mut |test| names.extend(test.argument_name()));
        names
    }
}

impl Node {
    fn of(tree: Tree, patterns: &mut Patterns) -> Self {
        match tree {
            Tree::Predicate(predicate) => Self::Test(Test::of(predicate, patterns)),
            Tree::Logical(logical) => match *logical {
                LogicalExpression::Not(inner) => Self::Not(Self::of(inner, patterns).into()),
                LogicalExpression::And(left, right) => {
                    Self::All(chain(left, right, true, patterns))
                }
                LogicalExpression::Or(left, right) => {
                    Self::Any(chain(left, right, false, patterns))
                }
            },
        }
    }

    fn holds(&self, request: &Request<'_>, traces: &mut Traces) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.holds(request, traces)),
            Self::Any(nodes) => nodes.iter().any(|node| node.holds(request, traces)),
            Self::Not(node) => !node.holds(request, traces),
            Self::Test(test) => test.holds(request, traces),
        }
    }

    fn each<'n>(&'n self, visit: &mut dyn FnMut(&'n Test)) {
        match self {
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().for_each(|node| node.each(visit)),
            Self::Not(node) => node.each(visit),
            Self::Test(test) => visit(test),
        }
    }
}

/// The operands of `a && b && c` (`and`) or `a || b || c`, which the parser gives as
/// `(a && b) && c`.
fn chain(mut left: Tree, right: Tree, and: bool, patterns: &mut Patterns) -> Box<[Node]> {
    let mut operands = vec![Node::of(right, patterns)];
    loop {
        left = match left {
            Tree::Logical(logical) => match *logical {
                LogicalExpression::And(first, last) if and => {
                    operands.push(Node::of(last, patterns));
                    first
                }
                LogicalExpression::Or(first, last) if !and => {
                    operands.push(Node::of(last, patterns));
                    first
                }
                other => {
                    operands.push(Node::of(Tree::Logical(other.into()), patterns));
                    break;
                }
            },
            predicate => {
                operands.push(Node::of(predicate, patterns));
                break;
            }
        };
    }
    operands.reverse();
    operands.into()
}

/// `text` in lower case, copied only when it is not.
fn lower(text: &str) -> Cow<'_, str> {
    let lowered = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase();
    if text.bytes().all(lowered) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.to_lowercase())
    }
}

#[cfg(test)]
mod tests;
