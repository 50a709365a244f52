//! Rows of the writer's open transaction.

use std::time::SystemTime;

use keelgate_entities::Object;
use rusqlite::{Connection, params};

use super::read;
use crate::index::Index;
use crate::rows::{Referrer, Rows};
use crate::unix_time::milliseconds;
use crate::{StoreError, body};

/// [`Rows`] over the connection that has the transaction open.
pub(super) struct SqliteRows<'a>(pub(super) &'a Connection);

impl Rows for SqliteRows<'_> {
    fn get(&mut self, kind: &str, id: &str) -> Result<Option<Object>, StoreError> {
        read::get(self.0, kind, id)
    }

    fn exists(&mut self, kind: &str, id: &str) -> Result<bool, StoreError> {
        read::exists(self.0, kind, id)
    }

    fn owner(&mut self, kind: &str, key: &str, value: &str) -> Result<Option<String>, StoreError> {
        read::owner(self.0, kind, key, value)
    }

    fn referrers(&mut self, kind: &str, id: &str) -> Result<Vec<Referrer>, StoreError> {
        read::referrers(self.0, kind, id)
    }

    fn all(&mut self, kind: &str) -> Result<Vec<Object>, StoreError> {
        read::all(self.0, kind, milliseconds(SystemTime::now()))
    }

    fn write(
        &mut self,
        kind: &str,
        id: &str,
        entity: &Object,
        index: &Index,
    ) -> Result<(), StoreError> {
        self.remove(kind, id)?;
        let body = body::text(kind, id, entity)?;
        self.0
            .prepare_cached(
                "INSERT INTO entities (kind, id, body, expires_at) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![kind, id, body, index.expires_at.map(milliseconds)])?;
        for entry in &index.unique {
            self.0
                .prepare_cached(
                    "INSERT INTO unique_keys (kind, name, value, id) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute([kind, entry.name, &entry.value, id])?;
        }
        for entry in &index.references {
            self.0
                .prepare_cached(
                    "INSERT INTO refs (kind, field, target_kind, target_id, id)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute([kind, &entry.field, &entry.target_kind, &entry.target_id, id])?;
        }
        for tag in &index.tags {
            self.0
                .prepare_cached("INSERT INTO tags (tag, kind, id) VALUES (?1, ?2, ?3)")?
                .execute([tag, kind, id])?;
        }
        Ok(())
    }

    fn remove(&mut self, kind: &str, id: &str) -> Result<(), StoreError> {
        let removed = self
            .0
            .prepare_cached("DELETE FROM entities WHERE kind = ?1 AND id = ?2")?
            .execute([kind, id])?;
        // What is not there is indexed nowhere, as all of an import into an empty database.
        if removed == 0 {
            return Ok(());
        }
        for statement in [
            "DELETE FROM unique_keys WHERE kind = ?1 AND id = ?2",
            "DELETE FROM refs WHERE kind = ?1 AND id = ?2",
            "DELETE FROM tags WHERE kind = ?1 AND id = ?2",
        ] {
            self.0.prepare_cached(statement)?.execute([kind, id])?;
        }
        Ok(())
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        self.0.execute_batch(
            "DELETE FROM entities; DELETE FROM unique_keys; DELETE FROM refs; DELETE FROM tags;",
        )?;
        Ok(())
    }
}
