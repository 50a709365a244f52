//! Building the index.

use std::borrow::Cow;

use keelgate_entities::kinds::PathHandling;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::block::{Block, Record};
use super::table::{self, Table};
use super::{Index, Names};
use crate::host::{HostKey, Shape};

/// What has to be asked when host, port and key fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The rule itself.
    Rule,
    /// Nothing: it matches, by the path that begins with the key.
    Path,
    /// Nothing: it matches, and does not look at the path.
    Host,
}

/// What a rule is filed under.
pub(crate) struct Entry<'r> {
    /// Index of its route.
    pub(crate) route: u32,
    /// The hosts that can match, none for any, each with the port that it asks for.
    pub(crate) hosts: SmallVec<[(HostKey<'r>, Option<u16>); 1]>,
    /// Beginnings of the paths that can match: the empty one when any can.
    pub(crate) paths: SmallVec<[Cow<'r, [u8]>; 1]>,
    pub(crate) decision: Decision,
    pub(crate) handling: PathHandling,
}

/// One rule under one host and one key.
struct Filed<'e> {
    bucket: u32,
    key: &'e [u8],
    record: Record,
}

impl Index {
    /// Files rules that are given in order of rank.
    pub(crate) fn new(entries: &[Entry<'_>]) -> Self {
        let mut shapes = Vec::new();
        let mut filed = file(entries, &mut shapes);
        filed.sort_unstable_by_key(|one| (one.bucket, one.key, one.record.rank));

        let mut block = Block::default();
        let mut buckets = vec![0; shapes.len()];
        let mut tables = Vec::new();
        for own in filed.chunk_by(|a, b| a.bucket == b.bucket) {
            let number = own[0].bucket as usize;
            let name = shapes[number].map_or("", |shape: Shape<'_>| shape.name());
            buckets[number] = add_bucket(&mut block, &mut tables, name.as_bytes(), own);
        }
        block.finish();

        let named = || shapes.iter().zip(&buckets);
        let names = |pick: fn(Shape<'_>) -> bool| {
            let own =
                named().filter_map(|(shape, &at)| Some((shape.filter(|own| pick(*own))?, at)));
            Names::new(own)
        };
        Self {
            exact: names(|shape| matches!(shape, Shape::Exact(_))),
            suffixes: names(|shape| matches!(shape, Shape::Suffix(_))),
            prefixes: names(|shape| matches!(shape, Shape::Prefix(_))),
            anywhere: named().find_map(|(shape, &at)| shape.is_none().then_some(at)),
            tables: tables.into(),
            block,
        }
    }
}

impl Names {
    fn new<'r>(names: impl Iterator<Item = (Shape<'r>, u32)>) -> Self {
        let mut lengths = Vec::new();
        let mut entries = Vec::new();
        for (shape, at) in names {
            let name = shape.name();
            lengths.push(name.len() as u32);
            entries.push((table::hash(name.as_bytes()), at));
        }
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        Self {
            lengths: lengths.into(),
            table: Table::new(&entries),
        }
    }
}

/// Every rule under each of its hosts and keys; gives numbers to buckets, whose shapes it notes.
fn file<'e>(entries: &'e [Entry<'_>], shapes: &mut Vec<Option<Shape<'e>>>) -> Vec<Filed<'e>> {
    let mut numbers = FxHashMap::<Option<Shape<'e>>, u32>::default();
    let mut number = |shape: Option<Shape<'e>>| {
        *numbers.entry(shape).or_insert_with(|| {
            shapes.push(shape);
            shapes.len() as u32 - 1
        })
    };
    let mut filed = Vec::with_capacity(entries.len());
    for (rank, entry) in (0_u32..).zip(entries) {
        let mut under = |bucket, port| {
            let record = Record::new(rank, entry, port);
            filed.extend(entry.paths.iter().map(|key| Filed {
                bucket,
                key,
                record,
            }));
        };
        if entry.hosts.is_empty() {
            under(number(None), None);
        }
        for (host, port) in &entry.hosts {
            under(number(Some(host.shape())), *port);
        }
    }
    filed
}

/// Writes a bucket and its lists, and the table that finds them if it needs one.
fn add_bucket(block: &mut Block, tables: &mut Vec<Table>, host: &[u8], rules: &[Filed<'_>]) -> u32 {
    let lengths = lengths(rules);
    let lists: Vec<&[Filed<'_>]> = rules.chunk_by(|a, b| a.key == b.key).collect();
    let lists = lists.iter().map(|list| {
        let key = list[0].key;
        (table::hash(key), key, list.iter().map(|one| one.record))
    });
    let sizes = lists
        .clone()
        .map(|(_, key, records)| (key.len(), records.len()));
    if Block::lie_near(host, &lengths, sizes) {
        return block.add_bucket_with_lists(host, &lengths, lists);
    }
    let places: Vec<(u64, u32)> = lists
        .map(|(hash, key, records)| (hash, block.add_list(key, records)))
        .collect();
    tables.push(Table::new(&places));
    block.add_bucket(host, &lengths, tables.len() as u32 - 1)
}

/// The lengths of the keys in a bucket, each with the best rank, in order of that.
fn lengths(bucket: &[Filed<'_>]) -> Vec<(u32, u32)> {
    let mut best = FxHashMap::<u32, u32>::default();
    for one in bucket {
        let first = best.entry(one.key.len() as u32).or_insert(u32::MAX);
        *first = one.record.rank.min(*first);
    }
    let mut lengths: Vec<(u32, u32)> = best.into_iter().collect();
    lengths.sort_unstable_by_key(|&(length, first)| (first, length));
    lengths
}
