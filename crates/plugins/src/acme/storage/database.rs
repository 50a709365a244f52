//! The database of the node as a storage: records of `acme_storage`.

use std::sync::Arc;
use std::time::Duration;

use keelgate_entities::Object;
use serde_json::{Value, json};

use crate::records::{NewRecord, RecordId, Records, RecordsError};

/// The collection.
const KIND: &str = "acme_storage";

/// The records of a node that makes records.
#[derive(Clone)]
pub(crate) struct Database(Arc<dyn Records>);

impl Database {
    pub(crate) fn new(records: Arc<dyn Records>) -> Self {
        Self(records)
    }

    async fn find(&self, key: &str) -> Result<Option<Object>, RecordsError> {
        self.0.find(KIND, "key", key).await
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<String>, RecordsError> {
        let found = self.find(key).await?;
        Ok(found.and_then(|record| text(&record, "value")))
    }

    /// Keeps a value unless there is one and only new ones are kept; whether it is kept.
    pub(super) async fn put(
        &self,
        key: &str,
        value: &str,
        lasts: Option<Duration>,
        only_new: bool,
    ) -> Result<bool, RecordsError> {
        let found = self.find(key).await?;
        match found.and_then(|record| id(&record)) {
            Some(_) if only_new => Ok(false),
            Some(record) => self.change(record, value, lasts).await,
            None => self.make(key, value, lasts, only_new).await,
        }
    }

    async fn change(
        &self,
        record: RecordId,
        value: &str,
        lasts: Option<Duration>,
    ) -> Result<bool, RecordsError> {
        let changed = self
            .0
            .change(record, fields(json!({ "value": value })), lasts);
        match changed.await? {
            Some(_) => Ok(true),
            None => Err(RecordsError(
                "the record was removed while it was changed".to_owned(),
            )),
        }
    }

    async fn make(
        &self,
        key: &str,
        value: &str,
        lasts: Option<Duration>,
        only_new: bool,
    ) -> Result<bool, RecordsError> {
        let record = NewRecord {
            kind: KIND,
            fields: fields(json!({ "key": key, "value": value })),
            lasts,
        };
        let Err(refusal) = self.0.make(record, None).await else {
            return Ok(true);
        };
        // Another node was faster, or the database is away.
        match self.find(key).await?.and_then(|record| id(&record)) {
            Some(_) if only_new => Ok(false),
            Some(record) => self.change(record, value, lasts).await,
            None => Err(refusal),
        }
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), RecordsError> {
        if let Some(record) = self.find(key).await?.and_then(|record| id(&record)) {
            self.0.remove(record).await?;
        }
        Ok(())
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>, RecordsError> {
        let records = self.0.list(KIND).await?;
        let keys = records.iter().filter_map(|record| text(record, "key"));
        let mut keys: Vec<String> = keys.filter(|key| key.starts_with(prefix)).collect();
        keys.sort_unstable();
        Ok(keys)
    }
}

fn text(record: &Object, field: &str) -> Option<String> {
    record.get(field)?.as_str().map(str::to_owned)
}

fn id(record: &Object) -> Option<RecordId> {
    let id = text(record, "id")?;
    Some(RecordId { kind: KIND, id })
}

fn fields(fields: Value) -> Object {
    match fields {
        Value::Object(fields) => fields,
        _ => Object::new(),
    }
}
