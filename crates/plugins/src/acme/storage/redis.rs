//! Redis as a storage, where Kong's nodes find certificates as well.

use std::sync::Arc;
use std::time::Duration;

use ::redis::Pipeline;

use crate::redis::{Server, Unanswered};

/// Keys that are listed at the most.
const LISTED: usize = super::memory::CAPACITY;

/// A part of a Redis.
#[derive(Clone)]
pub(crate) struct Redis {
    pub(crate) server: Arc<Server>,
    /// Goes before all keys.
    pub(crate) namespace: String,
    /// Keys that are looked at in one go.
    pub(crate) scan_count: u32,
}

impl Redis {
    pub(super) async fn get(&self, key: &str) -> Result<Option<String>, Unanswered> {
        let mut asked = Pipeline::new();
        asked.cmd("GET").arg(self.key(key));
        let (value,): (Option<String>,) = self.server.ask(&asked).await?;
        Ok(value)
    }

    /// Keeps a value unless there is one and only new ones are kept; whether it is kept.
    pub(super) async fn put(
        &self,
        key: &str,
        value: &str,
        lasts: Option<Duration>,
        only_new: bool,
    ) -> Result<bool, Unanswered> {
        let mut asked = Pipeline::new();
        let command = asked.cmd("SET").arg(self.key(key)).arg(value);
        if only_new {
            command.arg("NX");
        }
        if let Some(lasts) = lasts {
            let milliseconds = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
            command.arg("PX").arg(milliseconds.max(1));
        }
        let (kept,): (Option<String>,) = self.server.ask(&asked).await?;
        Ok(kept.is_some())
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), Unanswered> {
        let mut asked = Pipeline::new();
        asked.cmd("DEL").arg(self.key(key));
        let (_,): (u64,) = self.server.ask(&asked).await?;
        Ok(())
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>, Unanswered> {
        let pattern = format!("{}*", literal(&self.key(prefix)));
        let mut keys = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let mut asked = Pipeline::new();
            let command = asked.cmd("SCAN").arg(&cursor).arg("MATCH").arg(&pattern);
            command.arg("COUNT").arg(self.scan_count);
            let ((next, found),): ((String, Vec<String>),) = self.server.ask(&asked).await?;
            let found = found.iter();
            let found = found.filter_map(|key| key.strip_prefix(self.namespace.as_str()));
            keys.extend(found.map(str::to_owned));
            if next == "0" || keys.len() > LISTED {
                break;
            }
            cursor = next;
        }
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.namespace)
    }
}

/// A text that stands for itself in a pattern of Redis.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_literal() {
        assert_eq!(literal("a*b[c]"), "a\\*b\\[c\\]");
    }
}
