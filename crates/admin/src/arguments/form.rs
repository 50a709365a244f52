//! Names of form fields as paths into an entity: `a.b=1`, `a[]=x`, `a[1]=x`, `a[b]=x`.

use std::collections::BTreeMap;

use keelgate_entities::Object;
use serde_json::Value;

/// Most fields of a form; more are ignored.
const MAX_FIELDS: usize = 1000;

/// Deepest path of a field name; deeper ones are taken as they are written.
const MAX_DEPTH: usize = 32;

/// Highest index in brackets.
const MAX_INDEX: usize = 10_000;

/// The fields of a URL-encoded form. A name without `=` stands for true.
pub(super) fn pairs(body: &[u8]) -> Vec<(String, Value)> {
    body.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .flat_map(|pair| {
            let flag = !pair.contains(&b'=');
            form_urlencoded::parse(pair).map(move |(name, value)| {
                let value = if flag {
                    Value::Bool(true)
                } else {
                    Value::String(value.into_owned())
                };
                (name.into_owned(), value)
            })
        })
        .filter(|(name, _)| !name.is_empty())
        .take(MAX_FIELDS)
        .collect()
}

/// Builds the tree that the names of the fields spell out.
pub(super) fn nest(pairs: Vec<(String, Value)>) -> Object {
    let mut root = BTreeMap::new();
    for (name, value) in pairs {
        let path = path(&name);
        place(&mut root, &path, value);
    }
    members(root)
}

/// One step of a path.
#[derive(Debug, PartialEq)]
enum Step {
    /// Into a member.
    Member(String),
    /// To a place in a list, counted from 1.
    Index(usize),
    /// To the end of a list.
    Append,
}

fn path(name: &str) -> Vec<Step> {
    let whole = || vec![Step::Member(name.to_owned())];
    if name.starts_with('.') || name.ends_with('.') {
        return whole();
    }
    let mut steps = Vec::new();
    for part in split_dots(name) {
        // A bracket in the first place belongs to the name.
        let bracket = part.char_indices().skip(1).find(|(_, c)| *c == '[');
        let Some((start, _)) = bracket else {
            steps.push(Step::Member(part.to_owned()));
            continue;
        };
        steps.push(Step::Member(part[..start].to_owned()));
        for inner in part[start..].split('[').skip(1) {
            let Some((key, _)) = inner.split_once(']') else {
                return whole();
            };
            steps.push(match key.parse::<usize>() {
                Ok(index @ 1..=MAX_INDEX) => Step::Index(index),
                _ if key.is_empty() => Step::Append,
                _ => Step::Member(key.to_owned()),
            });
        }
    }
    if steps.is_empty() || steps.len() > MAX_DEPTH {
        return whole();
    }
    steps
}

/// Splits at dots that are not inside brackets.
fn split_dots(name: &str) -> Vec<&str> {
    let (mut parts, mut start, mut inside) = (Vec::new(), 0, false);
    for (at, c) in name.char_indices() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            '.' if !inside => {
                parts.push(&name[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&name[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}

enum Node {
    Leaf(Value),
    Members(BTreeMap<String, Node>),
    Items(BTreeMap<usize, Node>),
}

fn place(members: &mut BTreeMap<String, Node>, path: &[Step], value: Value) {
    let Some((Step::Member(name), rest)) = path.split_first() else {
        return;
    };
    match members.get_mut(name) {
        Some(node) => merge(node, rest, value),
        None => {
            members.insert(name.clone(), build(rest, value));
        }
    }
}

fn build(path: &[Step], value: Value) -> Node {
    let Some((step, rest)) = path.split_first() else {
        return Node::Leaf(value);
    };
    match step {
        Step::Member(name) => Node::Members([(name.clone(), build(rest, value))].into()),
        Step::Index(index) => Node::Items([(*index, build(rest, value))].into()),
        Step::Append => Node::Items([(1, build(rest, value))].into()),
    }
}

fn merge(node: &mut Node, path: &[Step], value: Value) {
    match (node, path.split_first()) {
        (Node::Members(members), Some((Step::Member(_), _))) => place(members, path, value),
        (Node::Items(items), Some((step, rest))) => {
            let index = match step {
                Step::Index(index) => *index,
                _ => items.last_key_value().map_or(1, |(last, _)| last + 1),
            };
            match items.get_mut(&index) {
                Some(node) => merge(node, rest, value),
                None => {
                    items.insert(index, build(rest, value));
                }
            }
        }
        // The same name again makes a list.
        (Node::Leaf(Value::Array(values)), None) => values.push(value),
        (Node::Leaf(first), None) => *first = Value::Array(vec![first.take(), value]),
        (node, _) => *node = build(path, value),
    }
}

fn members(nodes: BTreeMap<String, Node>) -> Object {
    let values = nodes.into_iter().map(|(name, node)| (name, finish(node)));
    values.collect()
}

fn finish(node: Node) -> Value {
    match node {
        Node::Leaf(value) => value,
        Node::Members(nodes) => Value::Object(members(nodes)),
        Node::Items(nodes) => nodes.into_values().map(finish).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decode(form: &str) -> Value {
        Value::Object(nest(pairs(form.as_bytes())))
    }

    #[test]
    fn dots_and_brackets_nest() {
        assert_eq!(
            decode("name=x&config.a.b=1&config.c[d]=2"),
            json!({"name": "x", "config": {"a": {"b": "1"}, "c": {"d": "2"}}})
        );
    }

    #[test]
    fn empty_and_numbered_brackets_make_lists() {
        assert_eq!(decode("tags[]=a&tags[]=b"), json!({"tags": ["a", "b"]}));
        assert_eq!(
            decode("tags%5B2%5D=b&tags%5B1%5D=a"),
            json!({"tags": ["a", "b"]})
        );
        assert_eq!(
            decode("headers.x-v[1]=1&headers.x-v[2]=2"),
            json!({"headers": {"x-v": ["1", "2"]}})
        );
        assert_eq!(
            decode("sources[1].ip=10.0.0.1&sources[1].port=80"),
            json!({"sources": [{"ip": "10.0.0.1", "port": "80"}]})
        );
    }

    #[test]
    fn a_repeated_name_makes_a_list() {
        assert_eq!(
            decode("hosts=a&hosts=b&hosts=c"),
            json!({"hosts": ["a", "b", "c"]})
        );
    }

    #[test]
    fn a_name_without_a_value_is_true_and_no_name_is_nothing() {
        assert_eq!(decode("a&=x"), json!({"a": true}));
        assert_eq!(decode(""), json!({}));
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        #[test]
        fn any_form_is_read_and_names_no_more_members_than_it_has_fields(
            form in "[ab.=&\\[\\]%0-9]{0,60}",
        ) {
            let fields = form.split('&').count();
            let read = nest(pairs(form.as_bytes()));
            proptest::prop_assert!(read.len() <= fields);
        }
    }

    #[test]
    fn odd_names_are_taken_as_they_are() {
        assert_eq!(decode(".a=1"), json!({".a": "1"}));
        assert_eq!(decode("a[b=1"), json!({"a[b": "1"}));
        let deep = "a".to_owned() + &".a".repeat(200);
        assert_eq!(decode(&format!("{deep}=1")), json!({deep: "1"}));
    }
}
