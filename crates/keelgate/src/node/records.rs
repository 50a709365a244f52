//! The short-lived records of plugins, in the node's store.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use keelgate_entities::{Object, Schemas};
use keelgate_plugins::records::{
    Amount, Answer, Counted, NewRecord, RecordId, Records, RecordsError,
};
use keelgate_store::{Key, PageRequest, Store, StoreError, StoreExt, Transaction};
use serde_json::Value;
use tokio::runtime::Handle;

/// Records in a store. Its queries run on the node's own threads, whichever asks: those that serve
/// requests come and go with the proxy's settings, and connections to databases must not.
pub(crate) struct StoredRecords {
    store: Arc<dyn Store>,
    handle: Handle,
}

impl StoredRecords {
    /// For the store of the node, on the runtime that this is called on.
    pub(crate) fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            store,
            handle: Handle::current(),
        })
    }

    fn ask<T, F>(&self, question: impl FnOnce(Arc<dyn Store>) -> F + Send + 'static) -> Answer<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let store = Arc::clone(&self.store);
        let asked = self.handle.spawn(async move { question(store).await });
        Box::pin(async move {
            let answer = asked.await;
            let answer = answer.unwrap_or(Err(StoreError::Aborted));
            answer.map_err(|error| RecordsError(error.to_string()))
        })
    }
}

/// When a record goes, as stores are told.
fn ttl(lasts: Option<Duration>) -> Value {
    lasts.map_or(Value::Null, |lasts| lasts.as_secs().max(1).into())
}

/// Writes a new record, and answers it.
fn make(
    transaction: &mut Transaction<'_>,
    schemas: &Schemas,
    record: NewRecord,
) -> Result<Object, StoreError> {
    let mut entity = schemas.insert(record.kind, record.fields, SystemTime::now())?;
    entity.insert("ttl".to_owned(), ttl(record.lasts));
    transaction.insert(record.kind, &entity)?;
    Ok(entity)
}

impl Records for StoredRecords {
    fn is_read_only(&self) -> bool {
        self.store.is_read_only()
    }

    fn generation(&self) -> u64 {
        self.store.generation()
    }

    fn find(&self, kind: &'static str, field: &'static str, value: &str) -> Answer<Option<Object>> {
        let key = Key::field(field, value);
        self.ask(async move |store| store.get(kind, key).await)
    }

    fn list(&self, kind: &'static str) -> Answer<Vec<Object>> {
        self.ask(async move |store| {
            let mut all = Vec::new();
            let mut request = PageRequest::default();
            loop {
                let page = store.page(kind, request.clone()).await?;
                all.extend(page.data);
                request.offset = match page.offset {
                    None => return Ok(all),
                    next => next,
                };
            }
        })
    }

    fn make(&self, record: NewRecord, instead_of: Option<RecordId>) -> Answer<Option<Object>> {
        let schemas = Arc::clone(self.store.schemas());
        let work = move |transaction: &mut Transaction<'_>| {
            if let Some(other) = instead_of
                && !transaction.delete(other.kind, &other.id)?
            {
                return Ok(None);
            }
            make(transaction, &schemas, record).map(Some)
        };
        self.ask(async move |store| store.write(work).await)
    }

    fn change(
        &self,
        record: RecordId,
        fields: Object,
        lasts: Option<Duration>,
    ) -> Answer<Option<Object>> {
        let schemas = Arc::clone(self.store.schemas());
        let work = move |transaction: &mut Transaction<'_>| {
            let RecordId { kind, id } = record;
            let Some(mut current) = transaction.get(kind, &Key::Id(id))? else {
                return Ok(None);
            };
            current.remove("ttl");
            let mut changed = schemas.update(kind, &current, fields, SystemTime::now())?;
            changed.insert("ttl".to_owned(), ttl(lasts));
            transaction.put(kind, &changed)?;
            Ok(Some(changed))
        };
        self.ask(async move |store| store.write(work).await)
    }

    fn remove(&self, record: RecordId) -> Answer<bool> {
        self.ask(async move |store| store.delete(record.kind, &record.id).await)
    }

    fn count(&self, amounts: Vec<Amount>) -> Answer<Counted> {
        let amounts = amounts.into_iter().map(|amount| keelgate_store::Amount {
            key: amount.key,
            amount: amount.amount,
            limit: amount.limit,
            lasts: amount.lasts,
        });
        let amounts = amounts.collect();
        self.ask(async move |store| {
            let keelgate_store::Counted { before, fits } = store.count(amounts).await?;
            Ok(Counted { before, fits })
        })
    }

    fn counted(&self, keys: Vec<Vec<u8>>) -> Answer<Vec<i64>> {
        self.ask(async move |store| store.counted(keys).await)
    }
}
