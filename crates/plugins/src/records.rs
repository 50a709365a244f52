//! Short-lived records that plugins make and find while requests run: tokens, authorization codes,
//! sessions, shared counts.
//!
//! They stand in the database of the node, beside the configuration and no part of it. A node that
//! has no database has no records: data planes, whose configuration comes from a control plane. A
//! node with a declarative configuration has those that the configuration brings, and makes none.
//!
//! Everything here answers later and nothing blocks: the thread that serves requests hands a question
//! on and goes on with other requests.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use keelgate_entities::Object;

/// An answer of the database. What was asked for happens even if nobody waits for it any more.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, RecordsError>> + Send>>;

/// Why records cannot be read or written. The message is for the log.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct RecordsError(pub String);

/// Which record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordId {
    /// Its collection.
    pub kind: &'static str,
    /// Its id.
    pub id: String,
}

/// A record that is to be made.
#[derive(Clone, PartialEq)]
pub struct NewRecord {
    /// Its collection.
    pub kind: &'static str,
    /// Its fields; the schema completes them with an id, time stamps and generated keys.
    pub fields: Object,
    /// After how long it goes; never where none is given.
    pub lasts: Option<Duration>,
}

/// An amount that is to be counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Amount {
    /// Which counter.
    pub key: Vec<u8>,
    /// What is added.
    pub amount: i64,
    /// Nothing is added where the counter holds this much already.
    pub limit: Option<f64>,
    /// A counter that is made goes after this.
    pub lasts: Duration,
}

/// What counters held before amounts were added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// In the order of what was asked.
    pub before: Vec<i64>,
    /// Whether all amounts fit, and were added.
    pub fits: bool,
}

/// The records of a node.
pub trait Records: Send + Sync + 'static {
    /// Whether records can be found and not be made.
    fn is_read_only(&self) -> bool;

    /// Another number whenever this node has changed or removed records: what was found before may be
    /// remembered until then, and not for long, since other nodes do so, too.
    fn generation(&self) -> u64;

    /// The record whose unique field has this value.
    fn find(&self, kind: &'static str, field: &'static str, value: &str) -> Answer<Option<Object>>;

    /// All records of a collection.
    fn list(&self, kind: &'static str) -> Answer<Vec<Object>>;

    /// Makes a record, and answers it as it was written. One that is made in the place of another
    /// takes that away in the same step; where the other is gone already, nothing is made, so that of
    /// several who use up the same record one succeeds.
    fn make(&self, record: NewRecord, instead_of: Option<RecordId>) -> Answer<Option<Object>>;

    /// Changes fields of a record, and when it goes. Answers it as it was written; none where there is
    /// no such record.
    fn change(
        &self,
        record: RecordId,
        fields: Object,
        lasts: Option<Duration>,
    ) -> Answer<Option<Object>>;

    /// Removes a record; tells whether it was there.
    fn remove(&self, record: RecordId) -> Answer<bool>;

    /// Adds to counters, to all or to none of them.
    fn count(&self, amounts: Vec<Amount>) -> Answer<Counted>;

    /// What counters hold, in the order of their keys.
    fn counted(&self, keys: Vec<Vec<u8>>) -> Answer<Vec<i64>>;
}

/// Where the records of the node are, once that is known.
#[derive(Default)]
pub(crate) struct Room(OnceLock<Arc<dyn Records>>);

impl Room {
    /// The records, where the node has any.
    pub(crate) fn records(&self) -> Option<Arc<dyn Records>> {
        self.0.get().cloned()
    }

    /// The records, where the node makes any.
    pub(crate) fn own(&self) -> Option<Arc<dyn Records>> {
        self.records().filter(|records| !records.is_read_only())
    }

    pub(crate) fn furnish(&self, records: Arc<dyn Records>) {
        // A node has one store for life.
        let _ = self.0.set(records);
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_furnished = self.0.get().is_some();
        f.debug_tuple("Room").field(&is_furnished).finish()
    }
}
