//! What an expression demands of host and path, so that a request asks only the expressions that
//! it can match.
//!
//! The keys are necessary conditions, not sufficient ones: the expression itself is always asked.

use super::Node;
use super::test::{Test, TextField, TextOperator};
use crate::host::Shape;
use crate::pattern::literal_start_of;

/// An expression is filed under at most so many keys of a kind; one that allows more is filed under
/// none.
const MOST: usize = 64;

/// A demand on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostKey {
    Exact(Box<str>),
    Suffix(Box<str>),
    Prefix(Box<str>),
}

impl HostKey {
    pub(crate) fn shape(&self) -> Shape<'_> {
        match self {
            Self::Exact(name) => Shape::Exact(name),
            Self::Suffix(name) => Shape::Suffix(name),
            Self::Prefix(name) => Shape::Prefix(name),
        }
    }

    fn length(&self) -> usize {
        let (Self::Exact(name) | Self::Suffix(name) | Self::Prefix(name)) = self;
        name.len()
    }
}

/// Beginnings of the paths that can match; the empty one when any can.
pub(super) fn of_path(root: &Node) -> Box<[Box<str>]> {
    let keys = demands(root, &path_key, &String::len);
    let keys = keys.unwrap_or_else(|| vec![String::new()]);
    keys.into_iter().map(String::into_boxed_str).collect()
}

/// The hosts that can match; none when any can.
pub(super) fn of_host(root: &Node) -> Box<[HostKey]> {
    demands(root, &host_key, &HostKey::length)
        .unwrap_or_default()
        .into()
}

/// Keys of which every request that matches has one; `None` when there are no such keys.
fn demands<K>(
    node: &Node,
    key: &dyn Fn(&Test) -> Option<K>,
    length: &dyn Fn(&K) -> usize,
) -> Option<Vec<K>> {
    match node {
        Node::Test(test) => key(test).map(|key| vec![key]),
        Node::Not(_) => None,
        // Each operand alone is a demand: the one whose shortest key is longest tells most.
        Node::All(nodes) => nodes
            .iter()
            .filter_map(|node| demands(node, key, length))
            .max_by_key(|keys| keys.iter().map(length).min()),
        Node::Any(nodes) => {
            let mut all = Vec::new();
            for node in nodes {
                all.extend(demands(node, key, length)?);
                if all.len() > MOST {
                    return None;
                }
            }
            Some(all)
        }
    }
}

fn path_key(test: &Test) -> Option<String> {
    let Test::Text {
        field: TextField::Path,
        lower: false,
        operator,
        ..
    } = test
    else {
        return None;
    };
    match operator {
        TextOperator::Equal(text) | TextOperator::Prefix(text) => Some(text.to_string()),
        TextOperator::Matches(regex) => {
            let start = literal_start_of(regex.as_str());
            let start = std::str::from_utf8(&start).ok()?;
            (!start.is_empty()).then(|| start.to_owned())
        }
        _ => None,
    }
}

fn host_key(test: &Test) -> Option<HostKey> {
    let Test::Text {
        field: TextField::Host,
        lower: false,
        operator,
        ..
    } = test
    else {
        return None;
    };
    match operator {
        TextOperator::Equal(name) => Some(HostKey::Exact(name.clone())),
        TextOperator::Prefix(name) => Some(HostKey::Prefix(name.clone())),
        TextOperator::Postfix(name) => Some(HostKey::Suffix(name.clone())),
        _ => None,
    }
}
