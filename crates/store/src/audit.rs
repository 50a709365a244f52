//! The audit log: who changed what, by which revision.
//!
//! A piece of work that names its author ([`crate::Transaction::audit`]) leaves one entry, which is
//! committed with the change or not at all. Entries name entities and fields, never values: those
//! may be secrets.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use keelgate_entities::{ApiError, Object};
use serde_json::{Value, json};

use crate::{StoreError, offset};

/// Most changes that one entry lists; it counts the rest.
const LISTED: usize = 1000;

/// What was done to an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// An entry in the making.
#[derive(Debug)]
pub(crate) struct Draft {
    about: Object,
    kept_for: Option<Duration>,
    changes: Vec<Value>,
    unlisted: u64,
}

impl Draft {
    pub(crate) fn new(about: Object, kept_for: Option<Duration>) -> Self {
        Self {
            about,
            kept_for,
            changes: Vec::new(),
            unlisted: 0,
        }
    }

    /// Notes a change; `fields` are the names of those that differ.
    pub(crate) fn note(&mut self, operation: Operation, kind: &str, id: &str, fields: &[&str]) {
        if self.changes.len() >= LISTED {
            self.unlisted += 1;
            return;
        }
        let mut change = json!({ "operation": operation.as_str(), "entity": kind, "id": id });
        if !fields.is_empty() {
            change["fields"] = json!(fields);
        }
        self.changes.push(change);
    }

    /// Notes the import of a configuration of so many entities.
    pub(crate) fn note_import(&mut self, entities: usize) {
        let change = json!({ "operation": "import", "entities": entities });
        self.changes.push(change);
    }

    /// The entry of a change that is committed at this moment.
    pub(crate) fn finish(self, now: SystemTime) -> Told {
        let mut body = self.about;
        body.insert("changes".to_owned(), self.changes.into());
        if self.unlisted > 0 {
            body.insert("changes_not_listed".to_owned(), self.unlisted.into());
        }
        Told {
            body,
            at: now,
            forget_before: self
                .kept_for
                .map(|kept_for| now.checked_sub(kept_for).unwrap_or(UNIX_EPOCH)),
        }
    }
}

/// An entry to be written with the revision that is about to be committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Who did what.
    pub body: Object,
    /// When.
    pub at: SystemTime,
    /// Entries from this moment or before go, if there is one.
    pub forget_before: Option<SystemTime>,
}

/// A page of the audit log, the newest entry first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditPage {
    /// Entries: `revision`, `at` (seconds since 1970), `changes`, and what the author said.
    pub data: Vec<Object>,
    /// Leads to the next page, if there is one.
    pub offset: Option<String>,
}

/// An entry as its row holds it.
pub(crate) struct Entry {
    pub(crate) revision: i64,
    /// Milliseconds since 1970.
    pub(crate) at: i64,
    pub(crate) body: String,
}

impl Entry {
    /// The entry as it is shown.
    fn show(self) -> Result<Object, StoreError> {
        let parsed: Result<Object, _> = serde_json::from_str(&self.body);
        let mut shown = parsed.map_err(|source| StoreError::Unreadable {
            kind: "audit".to_owned(),
            id: self.revision.to_string(),
            source,
        })?;
        shown.insert("revision".to_owned(), self.revision.into());
        shown.insert("at".to_owned(), (self.at as f64 / 1000.0).into());
        Ok(shown)
    }
}

impl AuditPage {
    /// The revision before which the page at this offset begins.
    pub(crate) fn before(token: Option<&str>) -> Result<i64, StoreError> {
        let Some(token) = token else {
            return Ok(i64::MAX);
        };
        let [revision] = offset::decode::<1>(token)?;
        let revision = revision.parse();
        Ok(revision.map_err(|_| ApiError::invalid_offset(token, "bad revision"))?)
    }

    /// A page of `size` out of up to `size + 1` entries; the one too many tells that there is more.
    pub(crate) fn cut(
        entries: impl Iterator<Item = Entry>,
        size: usize,
    ) -> Result<Self, StoreError> {
        let mut entries: Vec<_> = entries.collect();
        let more = entries.len() > size;
        entries.truncate(size);
        let last = entries.last().filter(|_| more);
        let offset = last.map(|last| offset::encode(&[&last.revision.to_string()]));
        let data = entries.into_iter().map(Entry::show);
        Ok(Self {
            data: data.collect::<Result<_, _>>()?,
            offset,
        })
    }
}

/// The names of the fields by which two forms of an entity differ; the time of the change is none.
pub(crate) fn difference<'e>(before: &'e Object, after: &'e Object) -> Vec<&'e str> {
    let mut fields: Vec<&str> = after
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(*value))
        .chain(before.iter().filter(|(name, _)| !after.contains_key(*name)))
        .map(|(name, _)| name.as_str())
        .filter(|name| *name != "updated_at")
        .collect();
    fields.sort_unstable();
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn changes_are_named_and_values_are_not_told() {
        let before = object(json!({"id": "1", "key": "old", "ttl": 5, "updated_at": 1}));
        let after = object(json!({"id": "1", "key": "new", "tags": [], "updated_at": 2}));
        assert_eq!(difference(&before, &after), ["key", "tags", "ttl"]);
        let mut draft = Draft::new(object(json!({"by": "ops"})), Some(Duration::from_secs(60)));
        draft.note(Operation::Update, "keyauth_credentials", "1", &["key"]);
        let now = UNIX_EPOCH + Duration::from_secs(100);
        let told = draft.finish(now);
        assert_eq!(
            told.forget_before,
            Some(UNIX_EPOCH + Duration::from_secs(40))
        );
        let entry = Entry {
            revision: 7,
            at: 100_250,
            body: Value::Object(told.body).to_string(),
        };
        assert_eq!(
            Value::Object(entry.show().unwrap()),
            json!({
                "by": "ops", "revision": 7, "at": 100.25,
                "changes": [{
                    "operation": "update", "entity": "keyauth_credentials", "id": "1",
                    "fields": ["key"],
                }],
            })
        );
    }

    #[test]
    fn a_long_entry_counts_what_it_does_not_list() {
        let mut draft = Draft::new(Object::new(), None);
        for number in 0..LISTED + 3 {
            draft.note(Operation::Delete, "routes", &number.to_string(), &[]);
        }
        let body = draft.finish(UNIX_EPOCH).body;
        assert_eq!(body["changes"].as_array().unwrap().len(), LISTED);
        assert_eq!(body["changes_not_listed"], json!(3));
    }
}
