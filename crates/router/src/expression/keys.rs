//! What an expression demands of host and path, so that a request asks only the expressions that
//! it can match.
//!
//! The keys are necessary conditions, not sufficient ones: the expression itself is always asked.

use super::Node;
use super::test::{Test, TextField, TextOperator};
use crate::host::HostKey;
use crate::index::Decision;

/// An expression is filed under at most so many pairs of a host and a path; one that allows more is
/// filed under fewer demands.
const MOST: usize = 64;

/// What an expression is filed under.
#[derive(Debug)]
pub(crate) struct ExpressionKeys {
    /// Every host that matches fits one of them; none when any host may match.
    pub(crate) hosts: Vec<HostKey<'static>>,
    /// One of them is a beginning of every path that matches; the empty one when any path may.
    pub(crate) paths: Vec<String>,
    /// What has to be asked when host and path fit.
    pub(crate) decision: Decision,
}

impl ExpressionKeys {
    pub(super) fn of(root: &Node) -> Self {
        let mut hosts = demands(root, &host_key, &HostKey::length).unwrap_or_default();
        let paths = demands(root, &path_key, &String::len);
        let paths = paths.unwrap_or_else(|| vec![String::new()]);
        if hosts.len() * paths.len() > MOST {
            hosts.clear();
        }
        Self {
            hosts,
            paths,
            decision: decision(root),
        }
    }
}

/// A host and a beginning of the path, or one of the two, are all that some expressions ask for.
fn decision(root: &Node) -> Decision {
    let tests = match root {
        Node::All(nodes) => nodes,
        test => std::slice::from_ref(test),
    };
    let asks_host = |node: &Node| {
        let Node::Test(test) = node else { return false };
        // An empty host fits no test.
        host_key(test).is_some_and(|key| key.length() > 0)
    };
    let asks_prefix = |node: &Node| {
        let Node::Test(test) = node else { return false };
        is_prefix(test)
    };
    match tests {
        [test] if asks_prefix(test) => Decision::Path,
        [test] if asks_host(test) => Decision::Host,
        [a, b] if asks_host(a) && asks_prefix(b) || asks_prefix(a) && asks_host(b) => {
            Decision::Path
        }
        _ => Decision::Rule,
    }
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
        TextOperator::Matches(pattern) => {
            let start = std::str::from_utf8(pattern.literal_start()).ok()?;
            (!start.is_empty()).then(|| start.to_owned())
        }
        _ => None,
    }
}

fn is_prefix(test: &Test) -> bool {
    matches!(
        test,
        Test::Text {
            field: TextField::Path,
            lower: false,
            operator: TextOperator::Prefix(_),
            ..
        }
    )
}

fn host_key(test: &Test) -> Option<HostKey<'static>> {
    let Test::Text {
        field: TextField::Host,
        lower: false,
        operator,
        ..
    } = test
    else {
        return None;
    };
    let own = |name: &str| name.to_owned().into();
    match operator {
        TextOperator::Equal(name) => Some(HostKey::Exact(own(name))),
        TextOperator::Prefix(name) => Some(HostKey::Prefix(own(name))),
        TextOperator::Postfix(name) => Some(HostKey::Suffix(own(name))),
        _ => None,
    }
}
