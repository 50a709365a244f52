//! How `response-transformer` changes headers.

use crate::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use super::config::{Change, Config};
use crate::error::Reason;
use crate::setting;

/// Compiled changes of headers, made in the order of the members. Whether a header is there is
/// judged by the response as it came, not as earlier changes left it.
#[derive(Debug)]
pub(crate) struct HeaderChanges {
    remove: Vec<HeaderName>,
    rename: Vec<(HeaderName, HeaderName)>,
    replace: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
    append: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderChanges {
    pub(crate) fn new(config: &Config) -> Result<Self, Reason> {
        let remove = config.remove.headers.iter();
        let rename = config.rename.headers.iter();
        Ok(Self {
            remove: remove
                .map(|entry| setting::header_name("remove.headers", setting::pair(entry).0))
                .collect::<Result<_, _>>()?,
            rename: rename
                .filter_map(|entry| match setting::pair(entry) {
                    (old, Some(new)) => Some((old, new)),
                    (_, None) => None,
                })
                .map(|(old, new)| {
                    let name = |name| setting::header_name("rename.headers", name);
                    Ok((name(old)?, name(new)?))
                })
                .collect::<Result<_, Reason>>()?,
            replace: values("replace.headers", &config.replace)?,
            add: values("add.headers", &config.add)?,
            append: values("append.headers", &config.append)?,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.remove.is_empty()
            && self.rename.is_empty()
            && self.replace.is_empty()
            && self.add.is_empty()
            && self.append.is_empty()
    }

    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        let there = |name: &HeaderName| headers.contains_key(name);
        let replaced: Vec<_> = self
            .replace
            .iter()
            .filter(|(name, _)| there(name))
            .collect();
        let added: Vec<_> = self.add.iter().filter(|(name, _)| !there(name)).collect();
        let renamed: Vec<(&HeaderName, &HeaderName, Vec<HeaderValue>)> = self
            .rename
            .iter()
            .filter(|(old, _)| there(old))
            .map(|(old, new)| (old, new, headers.get_all(old).iter().cloned().collect()))
            .collect();

        for name in &self.remove {
            headers.remove(name);
        }
        for (old, new, values) in renamed {
            headers.remove(new);
            for value in values {
                headers.append(new, value);
            }
            headers.remove(old);
        }
        for (name, value) in replaced.into_iter().chain(added) {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.append {
            headers.append(name, value.clone());
        }
    }
}

fn values(field: &str, change: &Change) -> Result<Vec<(HeaderName, HeaderValue)>, Reason> {
    change
        .headers
        .iter()
        .filter_map(|entry| match setting::pair(entry) {
            (name, Some(value)) => Some((name, value)),
            (_, None) => None,
        })
        .map(|(name, value)| {
            Ok((
                setting::header_name(field, name)?,
                setting::header_value(field, value)?,
            ))
        })
        .collect()
}
