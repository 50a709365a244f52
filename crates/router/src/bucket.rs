//! The rules of one host pattern, by the beginning of their paths.

use crate::affix::AffixTable;
use crate::request::Request;
use crate::rule::{Rule, Span};

/// Up to so many candidates are asked one by one.
const FEW: usize = 8;

/// A rule that a bucket leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Index in order of rank.
    pub(crate) rule: u32,
    /// Which of the rule's path keys leads here.
    pub(crate) key: u32,
    /// The port that the host pattern asks for.
    pub(crate) port: Option<u16>,
}

/// The best rule found so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Best(pub(crate) Option<(u32, Span)>);

impl Best {
    fn beats(&self, rule: u32) -> bool {
        self.0.is_some_and(|(best, _)| best <= rule)
    }
}

/// The rules of one host pattern.
pub(crate) struct Bucket {
    /// The best rank in it.
    first: u32,
    candidates: Candidates,
}

enum Candidates {
    /// In order of rank.
    Few(Box<[Candidate]>),
    /// By path key, each list in order of rank, none empty.
    Many(AffixTable<Box<[Candidate]>>),
}

impl Bucket {
    /// `candidates` in order of rank.
    pub(crate) fn new(candidates: Vec<Candidate>, rules: &[Rule]) -> Self {
        let first = candidates.first().map_or(u32::MAX, |first| first.rule);
        let candidates = if candidates.len() <= FEW {
            Candidates::Few(candidates.into())
        } else {
            let mut by_key = rustc_hash::FxHashMap::<&[u8], Vec<Candidate>>::default();
            for candidate in candidates {
                let key = key_of(candidate, rules);
                by_key.entry(key).or_default().push(candidate);
            }
            Candidates::Many(
                by_key
                    .into_iter()
                    .map(|(key, list)| (key.into(), list.into()))
                    .collect(),
            )
        };
        Self { first, candidates }
    }

    /// Improves `best` by the rules in here.
    pub(crate) fn search(&self, rules: &[Rule], request: &Request<'_>, best: &mut Best) {
        if best.beats(self.first) {
            return;
        }
        match &self.candidates {
            Candidates::Few(list) => ask(list, rules, request, best),
            Candidates::Many(table) => {
                for list in table.prefixes_of(request.facts.path.as_bytes()) {
                    ask(list, rules, request, best);
                }
            }
        }
    }
}

/// Takes the first candidate that matches, unless the best found so far ranks before it.
fn ask(list: &[Candidate], rules: &[Rule], request: &Request<'_>, best: &mut Best) {
    for &candidate in list {
        if best.beats(candidate.rule) {
            return;
        }
        let key = key_of(candidate, rules);
        let rule = &rules[candidate.rule as usize];
        if candidate.port.is_none_or(|port| port == request.facts.port)
            && request.facts.path.as_bytes().starts_with(key)
            && let Some(span) = rule.find(request, key.len())
        {
            best.0 = Some((candidate.rule, span));
            return;
        }
    }
}

fn key_of(candidate: Candidate, rules: &[Rule]) -> &[u8] {
    rules[candidate.rule as usize].key(candidate.key as usize)
}
