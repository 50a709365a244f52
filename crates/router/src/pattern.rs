//! Regular expressions of routes: checked at once, compiled when first needed, shared.

use std::sync::{Arc, OnceLock};

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Class, Hir, HirKind, Look};
use rustc_hash::FxHashMap;

/// So many expressions are compiled with the router; further ones wait for their first request.
const COMPILED_AT_ONCE: usize = 1024;

/// Expressions heavier than this (about one unit per automaton state) are always compiled with the
/// router, because only compiling tells whether they stay below [`SIZE_LIMIT`]. Lighter ones are
/// far below it.
const HEAVY: usize = 4096;

/// Bytes that one compiled expression may take.
const SIZE_LIMIT: usize = 10 << 20;

/// Bytes of lazily built automaton per expression and thread.
const CACHE_LIMIT: usize = 256 << 10;

/// A checked regular expression.
#[derive(Debug)]
pub(crate) struct Pattern {
    source: Box<str>,
    /// Every match starts at the start of the text, with these bytes.
    literal_start: Box<[u8]>,
    regex: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// The compiled expression. `None` never happens for a checked one; it counts as no match.
    pub(crate) fn regex(&self) -> Option<&Regex> {
        self.regex
            .get_or_init(|| compile(&self.source).ok())
            .as_ref()
    }

    /// Bytes that every text it matches begins with; empty when it is not anchored.
    pub(crate) fn literal_start(&self) -> &[u8] {
        &self.literal_start
    }
}

/// Makes patterns, one per distinct expression.
#[derive(Default)]
pub(crate) struct Patterns {
    known: FxHashMap<Box<str>, Arc<Pattern>>,
}

impl Patterns {
    /// Checks `source`; the error tells what is wrong with it.
    pub(crate) fn get(&mut self, source: &str) -> Result<Arc<Pattern>, regex::Error> {
        if let Some(pattern) = self.known.get(source) {
            return Ok(Arc::clone(pattern));
        }
        let hir =
            regex_syntax::parse(source).map_err(|error| regex::Error::Syntax(error.to_string()))?;
        let regex = if self.known.len() < COMPILED_AT_ONCE || weight(&hir) > HEAVY {
            OnceLock::from(Some(compile(source)?))
        } else {
            OnceLock::new()
        };
        let pattern = Arc::new(Pattern {
            source: source.into(),
            literal_start: literal_start(&hir),
            regex,
        });
        self.known.insert(source.into(), Arc::clone(&pattern));
        Ok(pattern)
    }
}

fn compile(source: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(source)
        .size_limit(SIZE_LIMIT)
        .dfa_size_limit(CACHE_LIMIT)
        .build()
}

fn literal_start(hir: &Hir) -> Box<[u8]> {
    if !hir.properties().look_set_prefix().contains(Look::Start) {
        return Box::default();
    }
    let literals = Extractor::new().extract(hir);
    literals
        .longest_common_prefix()
        .unwrap_or_default()
        .to_vec()
        .into()
}

fn weight(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(Class::Unicode(class)) => 4 * class.ranges().len(),
        HirKind::Class(Class::Bytes(class)) => class.ranges().len(),
        HirKind::Repetition(repetition) => {
            let times = repetition
                .max
                .unwrap_or(repetition.min.saturating_add(1))
                .max(1);
            weight(&repetition.sub).saturating_mul(times as usize)
        }
        HirKind::Capture(capture) => weight(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts
            .iter()
            .fold(1, |sum: usize, part| sum.saturating_add(weight(part))),
    }
}

#[cfg(test)]
mod tests {
    use super::Patterns;
    use std::sync::Arc;

    fn start(source: &str) -> String {
        let pattern = Patterns::default().get(source).unwrap();
        String::from_utf8(pattern.literal_start().to_vec()).unwrap()
    }

    #[test]
    fn anchored_expressions_tell_their_literal_start() {
        assert_eq!(start("^/users/(?P<id>\\d+)$"), "/users/");
        assert_eq!(start("^/a/(b|bc)/d"), "/a/b");
        assert_eq!(start("^/ab?"), "/a");
        assert_eq!(start("^(?i)/foo"), "/");
    }

    #[test]
    fn an_alternative_without_anchor_has_no_literal_start() {
        assert_eq!(start("^/a|/ab"), "");
        assert_eq!(start("/a"), "");
        assert_eq!(start("(?m)^/a"), "");
    }

    #[test]
    fn equal_expressions_are_one() {
        let mut patterns = Patterns::default();
        let first = patterns.get("^/a").unwrap();
        assert!(Arc::ptr_eq(&first, &patterns.get("^/a").unwrap()));
    }

    #[test]
    fn expressions_that_would_grow_too_large_are_refused() {
        assert!(Patterns::default().get("^/\\w{1000}{50}").is_err());
        assert!(Patterns::default().get("^/(").is_err());
    }

    #[test]
    fn late_expressions_compile_when_needed() {
        let mut patterns = Patterns::default();
        for n in 0..super::COMPILED_AT_ONCE {
            patterns.get(&format!("^/{n}")).unwrap();
        }
        let late = patterns.get("^/late/[0-9]").unwrap();
        assert!(late.regex.get().is_none());
        assert!(late.regex().unwrap().is_match("/late/1"));
        assert!(patterns.get("^/\\w{1000}{51}").is_err());
    }
}
