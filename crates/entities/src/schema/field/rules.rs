//! What the value of one field must be like.

use regex::Regex;
use serde_json::Value;

use super::Field;

/// A pattern with the message that is told when it decides.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// Compiled once, when the schema is built.
    pub(crate) regex: Regex,
    /// Message.
    pub(crate) message: &'static str,
}

/// A check of one text by code. The error is the message.
pub type TextCheck = fn(&str) -> Result<(), String>;

/// A check of one value by code. The error is the message.
pub type ValueCheck = fn(&Value) -> Result<(), String>;

/// Limits on a value; checked in the order of the members.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) eq: Option<Value>,
    pub(crate) ne: Option<Value>,
    pub(crate) not_one_of: Option<Vec<Value>>,
    pub(crate) one_of: Option<Vec<Value>>,
    pub(crate) gt: Option<f64>,
    pub(crate) timestamp: bool,
    pub(crate) uuid: bool,
    pub(crate) is_regex: bool,
    pub(crate) between: Option<(f64, f64)>,
    pub(crate) len_eq: Option<usize>,
    pub(crate) len_min: Option<usize>,
    pub(crate) len_max: Option<usize>,
    pub(crate) starts_with: Option<&'static str>,
    pub(crate) not_match: Option<Regex>,
    pub(crate) match_none: Vec<Pattern>,
    pub(crate) matches: Option<Regex>,
    pub(crate) match_all: Vec<Pattern>,
    pub(crate) match_any: Option<(Vec<Regex>, &'static str)>,
    pub(crate) contains: Option<Value>,
    pub(crate) custom: Option<TextCheck>,
    pub(crate) custom_value: Option<ValueCheck>,
    pub(crate) mutually_exclusive_subsets: Vec<&'static [&'static str]>,
}

impl Field {
    /// Must be this value; `Value::Null` means that it must not be set.
    #[must_use]
    pub fn eq(mut self, value: impl Into<Value>) -> Self {
        self.rules.eq = Some(value.into());
        self
    }

    /// Must not be this value.
    #[must_use]
    pub fn ne(mut self, value: impl Into<Value>) -> Self {
        self.rules.ne = Some(value.into());
        self
    }

    /// Must be one of these.
    #[must_use]
    pub fn one_of<V: Into<Value>>(mut self, values: impl IntoIterator<Item = V>) -> Self {
        self.rules.one_of = Some(values.into_iter().map(Into::into).collect());
        self
    }

    /// Must be none of these.
    #[must_use]
    pub fn not_one_of<V: Into<Value>>(mut self, values: impl IntoIterator<Item = V>) -> Self {
        self.rules.not_one_of = Some(values.into_iter().map(Into::into).collect());
        self
    }

    /// Must be greater.
    #[must_use]
    pub fn gt(mut self, limit: f64) -> Self {
        self.rules.gt = Some(limit);
        self
    }

    /// Must be a time stamp.
    #[must_use]
    pub fn timestamp(mut self) -> Self {
        self.rules.timestamp = true;
        self
    }

    /// Must be a UUID.
    #[must_use]
    pub fn uuid(mut self) -> Self {
        self.rules.uuid = true;
        self
    }

    /// Must be a regular expression.
    #[must_use]
    pub fn is_regex(mut self) -> Self {
        self.rules.is_regex = true;
        self
    }

    /// Must lie between the two, both included.
    #[must_use]
    pub fn between(mut self, least: f64, most: f64) -> Self {
        self.rules.between = Some((least, most));
        self
    }

    /// Must have this length: bytes of text, elements of a list or map.
    #[must_use]
    pub fn len_eq(mut self, length: usize) -> Self {
        self.rules.len_eq = Some(length);
        self
    }

    /// Must be at least this long.
    #[must_use]
    pub fn len_min(mut self, length: usize) -> Self {
        self.rules.len_min = Some(length);
        self
    }

    /// Must be at most this long.
    #[must_use]
    pub fn len_max(mut self, length: usize) -> Self {
        self.rules.len_max = Some(length);
        self
    }

    /// Must start with this.
    #[must_use]
    pub fn starts_with(mut self, prefix: &'static str) -> Self {
        self.rules.starts_with = Some(prefix);
        self
    }

    /// Must match. Patterns are regular expressions; they are written with the schema, so a wrong
    /// one is a defect of the program, found by any test that builds the schema.
    ///
    /// # Panics
    /// When the pattern does not compile.
    #[must_use]
    pub fn matches(mut self, pattern: &str) -> Self {
        self.rules.matches = Some(compiled(pattern));
        self
    }

    /// Must not match.
    ///
    /// # Panics
    /// When the pattern does not compile.
    #[must_use]
    pub fn not_match(mut self, pattern: &str) -> Self {
        self.rules.not_match = Some(compiled(pattern));
        self
    }

    /// Must not match this, or else the message is told. May be given several times.
    ///
    /// # Panics
    /// When the pattern does not compile.
    #[must_use]
    pub fn match_none(mut self, pattern: &str, message: &'static str) -> Self {
        self.rules.match_none.push(Pattern {
            regex: compiled(pattern),
            message,
        });
        self
    }

    /// Must match this, or else the message is told. May be given several times.
    ///
    /// # Panics
    /// When the pattern does not compile.
    #[must_use]
    pub fn match_all(mut self, pattern: &str, message: &'static str) -> Self {
        self.rules.match_all.push(Pattern {
            regex: compiled(pattern),
            message,
        });
        self
    }

    /// Must match one of these, or else the message is told.
    ///
    /// # Panics
    /// When a pattern does not compile.
    #[must_use]
    pub fn match_any(mut self, patterns: &[&str], message: &'static str) -> Self {
        let patterns = patterns.iter().map(|pattern| compiled(pattern)).collect();
        self.rules.match_any = Some((patterns, message));
        self
    }

    /// A list that must contain this.
    #[must_use]
    pub fn contains(mut self, value: impl Into<Value>) -> Self {
        self.rules.contains = Some(value.into());
        self
    }

    /// A check of text by code.
    #[must_use]
    pub fn custom(mut self, check: TextCheck) -> Self {
        self.rules.custom = Some(check);
        self
    }

    /// A check by code of a value of any type.
    #[must_use]
    pub fn custom_value(mut self, check: ValueCheck) -> Self {
        self.rules.custom_value = Some(check);
        self
    }

    /// A list whose elements must all come from one of these subsets.
    #[must_use]
    pub fn mutually_exclusive_subsets(mut self, subsets: &[&'static [&'static str]]) -> Self {
        self.rules.mutually_exclusive_subsets = subsets.to_vec();
        self
    }
}

fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("patterns of schemas are literals that tests compile")
}
