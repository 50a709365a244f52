//! Regular expressions of routes: checked at once, compiled when first needed, shared.
//!
//! What stands literally at the beginning of an anchored expression is compared, not compiled: that
//! is where the expressions of a large table differ, and what follows is often the same for all, and
//! then compiled and kept in memory once.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use regex_automata::meta::{self, BuildError, Regex};
use regex_automata::{Anchored, Input, PatternID};
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
    /// Every match starts at the start of the text, with these bytes.
    literal_start: Box<[u8]>,
    /// How many of them are not in `rest`; none when the expression is not anchored, and `rest` is
    /// all of it.
    cut: Option<usize>,
    rest: Arc<Rest>,
}

/// What was not cut off from an expression.
#[derive(Debug)]
struct Rest {
    source: Box<str>,
    regex: OnceLock<Option<Regex>>,
}

/// Why a regular expression cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PatternError {
    /// It is not well-formed.
    #[error("{0}")]
    Syntax(String),
    /// It would take too much memory.
    #[error("Compiled regex exceeds size limit of {SIZE_LIMIT} bytes.")]
    TooLarge,
}

impl Pattern {
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.ask(text, Regex::is_match).unwrap_or(false)
    }

    /// Where the first match lies.
    pub(crate) fn find(&self, text: &str) -> Option<Range<usize>> {
        let found = self.ask(text, Regex::find)??;
        Some(self.start_of(found.start())..found.end())
    }

    /// What the groups of the first match caught, with their numbers and names; those that took no
    /// part are left out.
    pub(crate) fn captures<'t>(&self, text: &'t str) -> Vec<(usize, Option<String>, &'t str)> {
        let caught = self.ask(text, |regex, input| {
            let mut caught = regex.create_captures();
            regex.captures(input, &mut caught);
            caught
        });
        let Some(caught) = caught else {
            return Vec::new();
        };
        let groups = caught.iter().enumerate();
        let names = caught.group_info().pattern_names(PatternID::ZERO);
        let groups = groups.zip(names).filter_map(|((number, span), name)| {
            let span = span?;
            let start = match number {
                0 => self.start_of(span.start),
                _ => span.start,
            };
            let text = text.get(start..span.end)?;
            Some((number, name.map(str::to_owned), text))
        });
        groups.collect()
    }

    /// Bytes that every text it matches begins with; empty when it is not anchored.
    pub(crate) fn literal_start(&self) -> &[u8] {
        &self.literal_start
    }

    /// What the regular expression of the rest says; nothing where what was cut off does not fit.
    fn ask<'t, T>(&self, text: &'t str, ask: impl FnOnce(&Regex, Input<'t>) -> T) -> Option<T> {
        let mut input = Input::new(text);
        if let Some(cut) = self.cut {
            if !text.as_bytes().starts_with(&self.literal_start[..cut]) {
                return None;
            }
            input = input.range(cut..).anchored(Anchored::Yes);
        }
        Some(ask(self.rest.regex()?, input))
    }

    /// Where a match begins of which the rest begins there.
    fn start_of(&self, rest: usize) -> usize {
        if self.cut.is_some() { 0 } else { rest }
    }
}

impl Rest {
    /// The compiled expression. `None` never happens for a checked one; it counts as no match.
    fn regex(&self) -> Option<&Regex> {
        self.regex
            .get_or_init(|| compile(&self.source).ok())
            .as_ref()
    }
}

/// Makes patterns, one per distinct expression.
#[derive(Default)]
pub(crate) struct Patterns {
    known: FxHashMap<Box<str>, Arc<Pattern>>,
    rests: FxHashMap<Box<str>, Arc<Rest>>,
}

impl Patterns {
    /// Checks `source`; the error tells what is wrong with it.
    pub(crate) fn get(&mut self, source: &str) -> Result<Arc<Pattern>, PatternError> {
        if let Some(pattern) = self.known.get(source) {
            return Ok(Arc::clone(pattern));
        }
        let hir =
            regex_syntax::parse(source).map_err(|error| PatternError::Syntax(error.to_string()))?;
        let mut start = literal_start(&hir);
        let (cut, rest) = match cut(&hir) {
            Some((literal, rest)) => {
                if start.len() < literal.len() {
                    start = literal.into();
                }
                (Some(literal.len()), self.rest(&rest)?)
            }
            None => (None, self.rest(&hir)?),
        };
        let pattern = Arc::new(Pattern {
            literal_start: start,
            cut,
            rest,
        });
        self.known.insert(source.into(), Arc::clone(&pattern));
        Ok(pattern)
    }

    fn rest(&mut self, hir: &Hir) -> Result<Arc<Rest>, PatternError> {
        let source = hir.to_string().into_boxed_str();
        if let Some(rest) = self.rests.get(&source) {
            return Ok(Arc::clone(rest));
        }
        let regex = if self.rests.len() < COMPILED_AT_ONCE || weight(hir) > HEAVY {
            OnceLock::from(Some(compile(&source)?))
        } else {
            OnceLock::new()
        };
        let rest = Arc::new(Rest {
            source: source.clone(),
            regex,
        });
        self.rests.insert(source, Arc::clone(&rest));
        Ok(rest)
    }
}

fn compile(source: &str) -> Result<Regex, PatternError> {
    let config = meta::Config::new()
        .nfa_size_limit(Some(SIZE_LIMIT))
        .hybrid_cache_capacity(CACHE_LIMIT);
    let built = Regex::builder().configure(config).build(source);
    built.map_err(|error: BuildError| match error.size_limit() {
        Some(_) => PatternError::TooLarge,
        None => PatternError::Syntax(error.to_string()),
    })
}

/// An anchored expression as the text that it begins with, and what follows that.
fn cut(hir: &Hir) -> Option<(&[u8], Hir)> {
    let (anchor, rest) = match hir.kind() {
        HirKind::Concat(parts) => parts.split_first()?,
        _ => return None,
    };
    if !matches!(anchor.kind(), HirKind::Look(Look::Start)) {
        return None;
    }
    let (literal, rest) = match rest.split_first() {
        Some((first, others)) => match first.kind() {
            HirKind::Literal(literal) => (&*literal.0, others),
            _ => (&b""[..], rest),
        },
        None => (&b""[..], rest),
    };
    Some((literal, Hir::concat(rest.to_vec())))
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
    fn what_follows_a_literal_start_is_shared() {
        let mut patterns = Patterns::default();
        let mut get = |source| patterns.get(source).unwrap();
        let one = get("^/a/(?P<id>[0-9]+)$");
        for other in ["^/b/(?P<id>[0-9]+)$", "^(?:/long/(?P<id>[0-9]+)$)"] {
            assert!(Arc::ptr_eq(&one.rest, &get(other).rest), "{other}");
        }
        for other in [
            "^/a/(?P<no>[0-9]+)$",
            "/a/(?P<id>[0-9]+)$",
            "^/a/(?P<id>[0-9]+)",
        ] {
            assert!(!Arc::ptr_eq(&one.rest, &get(other).rest), "{other}");
        }
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
            patterns.get(&format!("^/[{n}]")).unwrap();
            patterns.get(&format!("^/(?P<n{n}>.)")).unwrap();
        }
        let late = patterns.get("^/late/[0-9]").unwrap();
        assert!(late.rest.regex.get().is_none());
        assert!(late.is_match("/late/1"));
        assert!(patterns.get("^/\\w{1000}{51}").is_err());
    }

    /// What the library finds with the expression as it is written.
    fn plainly(source: &str, text: &str) -> Vec<(usize, Option<String>, String)> {
        let regex = regex::Regex::new(source).unwrap();
        let Some(caught) = regex.captures(text) else {
            return Vec::new();
        };
        let names = regex.capture_names().enumerate();
        let groups = names.filter_map(|(number, name)| {
            let text = caught.get(number)?.as_str().to_owned();
            Some((number, name.map(str::to_owned), text))
        });
        groups.collect()
    }

    #[test]
    fn a_pattern_finds_what_its_expression_finds() {
        let texts = [
            "",
            "/",
            "/a",
            "/a/",
            "/a/1",
            "/a/12/b",
            "/ab",
            "/A/1",
            "x/a/1",
            "/a/1\n/a/2",
            "/aé",
            "/a b",
            "/é/1",
            "/a/a/a/1",
        ];
        for source in [
            "^/a/(?P<id>[0-9]+)$",
            "^/a/([0-9]+)",
            "^/a",
            "^",
            "^/",
            "^(?:/a|/ab)",
            "^/a|/ab",
            "^/a|^/a/1",
            "/a/(1)",
            "^(?:^/a/(1))",
            "^^/a/1",
            "^/a/^1",
            "^/a\\b",
            "^/a\\B.",
            "^/a(/a)*?/(.)",
            "^(/a)(?:/(1))?",
            "^(?i)/a/1",
            "(?m)^/a/2",
            "^/a/(?m:^)1",
            "^/é/.",
            "^/a$",
            "^/a/?$",
            "^/a{2}",
            "^(/|/a)(b|)",
            "^/a(?:|/1)",
            "\\A/a/(.)",
            "^/(a|a/1|)",
            "^/a/1\\n(?m:^)(/a)",
            "^/a/1(?m:$)",
            "^[/]a/(1)",
            "^(?s)/a/1.(.*)$",
        ] {
            let pattern = Patterns::default().get(source).unwrap();
            for text in texts {
                let plain = plainly(source, text);
                let caught: Vec<_> = pattern
                    .captures(text)
                    .into_iter()
                    .map(|(number, name, text)| (number, name, text.to_owned()))
                    .collect();
                assert_eq!(caught, plain, "{source} in {text:?}");
                let whole = plain.first().map(|(_, _, text)| text.as_str());
                assert_eq!(pattern.find(text).map(|range| &text[range]), whole);
                assert_eq!(pattern.is_match(text), whole.is_some());
                let start = pattern.literal_start();
                assert!(whole.is_none() || text.as_bytes().starts_with(start));
            }
        }
    }
}
