//! What a backend brings to a transaction: rows, and no rules.
//!
//! The rules (uniqueness, foreign keys, cascades) stand once, in [`crate::Transaction`].

use keelgate_entities::{Object, Schema};

use crate::StoreError;
use crate::index::Index;

/// An entity that refers to another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Referrer {
    /// Its kind.
    pub kind: String,
    /// The field that holds the reference.
    pub field: String,
    /// Its id.
    pub id: String,
}

/// Rows inside one open write transaction. Implementations see their own writes.
pub trait Rows {
    /// The entity with this id.
    fn get(&mut self, kind: &str, id: &str) -> Result<Option<Object>, StoreError>;

    /// Whether there is an entity with this id.
    fn exists(&mut self, kind: &str, id: &str) -> Result<bool, StoreError> {
        Ok(self.get(kind, id)?.is_some())
    }

    /// Tells that these entities, with their ids, are about to be written, so that a backend that is far away can ask
    /// for what will be asked about them at once.
    fn expect(&mut self, _schema: &Schema, _coming: &[(&str, &Object)]) -> Result<(), StoreError> {
        Ok(())
    }

    /// The id of the entity that holds a unique key.
    fn owner(&mut self, kind: &str, key: &str, value: &str) -> Result<Option<String>, StoreError>;

    /// The entities that refer to one, in order of kind, field and id.
    fn referrers(&mut self, kind: &str, id: &str) -> Result<Vec<Referrer>, StoreError>;

    /// All entities of a kind in id order.
    fn all(&mut self, kind: &str) -> Result<Vec<Object>, StoreError>;

    /// Writes an entity and its index, replacing what stood under this id.
    fn write(
        &mut self,
        kind: &str,
        id: &str,
        entity: &Object,
        index: &Index,
    ) -> Result<(), StoreError>;

    /// Removes an entity and its index.
    fn remove(&mut self, kind: &str, id: &str) -> Result<(), StoreError>;

    /// Removes everything.
    fn clear(&mut self) -> Result<(), StoreError>;
}
