//! Where rules are filed: by host, and under a host by the beginning of the path.
//!
//! All that a search reads lies in one block of bytes and in tables of offsets into it: one for the
//! hosts, and one for each host that has many paths; the few paths of other hosts lie beside them. A
//! request then touches as little memory in a table of a hundred thousand routes as in one of a
//! hundred: what a large table costs is not the steps of a search but the cache misses on its way.

mod block;
mod filing;
mod table;
mod tag;

use keelgate_entities::kinds::PathHandling;

use block::{Block, Bucket, Directory, List, Record};
pub(crate) use filing::{Decision, Entry};
use table::Table;

use crate::request::Request;
use crate::rule::{Rule, Span};

/// Rules by host and path.
pub(crate) struct Index {
    exact: Names,
    /// Hosts like `*.example.com`.
    suffixes: Names,
    /// Hosts like `example.*`.
    prefixes: Names,
    /// The bucket of rules without hosts.
    anywhere: Option<u32>,
    /// For each bucket of many keys its lists.
    tables: Box<[Table]>,
    block: Block,
}

/// Buckets by the host, or by the part of it that a wildcard leaves.
struct Names {
    /// Distinct lengths, longest first.
    lengths: Box<[u32]>,
    table: Table,
}

/// The best rule found so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Best(Option<Found>);

/// A rule that matches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    /// Its place in order of rank.
    pub(crate) rank: u32,
    /// Index of its route.
    pub(crate) route: u32,
    pub(crate) span: Span,
    /// How its path is joined with that of the service.
    pub(crate) handling: PathHandling,
}

impl Best {
    fn beats(&self, rank: u32) -> bool {
        self.0.is_some_and(|found| found.rank <= rank)
    }
}

impl Index {
    /// The rule that ranks first of those that match.
    pub(crate) fn find(&self, rules: &[Rule], request: &Request<'_>) -> Option<Found> {
        let host = request.host.as_bytes();
        let mut best = Best::default();
        if let Some(bucket) = self.exact.get(&self.block, host) {
            self.search(bucket, request.port, rules, request, &mut best);
        }
        // A wildcard at the beginning may have to stand for something.
        let start = usize::from(request.star_takes_one).min(host.len());
        for &length in &self.suffixes.lengths {
            let Some(from) = host.len().checked_sub(length as usize) else {
                continue;
            };
            if from >= start
                && let Some(bucket) = self.suffixes.get(&self.block, &host[from..])
            {
                self.search(bucket, request.wild_port, rules, request, &mut best);
            }
        }
        for &length in &self.prefixes.lengths {
            if let Some(name) = host.get(..length as usize)
                && let Some(bucket) = self.prefixes.get(&self.block, name)
            {
                self.search(bucket, request.wild_port, rules, request, &mut best);
            }
        }
        if let Some(bucket) = self.anywhere {
            let bucket = Bucket::read(&self.block, bucket);
            self.search(bucket, None, rules, request, &mut best);
        }
        best.0
    }

    /// Improves `best` by the rules in a bucket; `port` is that of the request.
    fn search(
        &self,
        bucket: Bucket<'_>,
        port: Option<u16>,
        rules: &[Rule],
        request: &Request<'_>,
        best: &mut Best,
    ) {
        let path = request.facts.path.as_bytes();
        for (length, first) in bucket.lengths() {
            // The lengths are in order of the best rule that has one.
            if best.beats(first) {
                return;
            }
            let Some(key) = path.get(..length as usize) else {
                continue;
            };
            if let Some(list) = self.list(&bucket, key) {
                ask(list.records(), key.len(), port, rules, request, best);
            }
        }
    }

    #[inline]
    fn list<'b>(&'b self, bucket: &Bucket<'b>, key: &[u8]) -> Option<List<'b>> {
        let hash = table::hash(key);
        match &bucket.directory {
            Directory::Near(near) => near.find(hash, key),
            Directory::Table(table) => self.tables[*table].find(hash, |at| {
                let list = List::read(&self.block, at);
                (list.key == key).then_some(list)
            }),
        }
    }
}

impl Names {
    #[inline]
    fn get<'b>(&self, block: &'b Block, name: &[u8]) -> Option<Bucket<'b>> {
        self.table.find(table::hash(name), |at| {
            block.fetch(at);
            let bucket = Bucket::read(block, at);
            (bucket.host == name).then_some(bucket)
        })
    }
}

/// Takes the first rule that matches, unless the best found so far ranks before it.
fn ask(
    records: impl Iterator<Item = Record>,
    key: usize,
    port: Option<u16>,
    rules: &[Rule],
    request: &Request<'_>,
    best: &mut Best,
) {
    for record in records {
        if best.beats(record.rank) {
            return;
        }
        if record.port().is_some_and(|own| Some(own) != port) {
            continue;
        }
        let span = match record.decision() {
            Decision::Path => Some(Span::prefix(key)),
            Decision::Host => Some(Span::default()),
            Decision::Rule => rules[record.rank as usize].find(request, key),
        };
        if let Some(span) = span {
            *best = Best(Some(Found {
                rank: record.rank,
                route: record.route,
                span,
                handling: record.handling(),
            }));
            return;
        }
    }
}
