//! Sessions in the node's database: their cookies only name them.
//!
//! What a row holds is sealed, and it is found by a digest of the name: whoever reads the database
//! can neither use nor read the sessions in it.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keelgate_entities::Object;
use serde_json::{Value, json};
use uuid::Uuid;

use super::content::Holder;
use super::seal::Seal;
use crate::records::{NewRecord, RecordId, Records, RecordsError};

/// The collection.
const SESSIONS: &str = "sessions";

/// The sessions of a node's database.
pub(super) struct Storage {
    records: Arc<dyn Records>,
    /// How long a session that was renewed is still known by its old name.
    stale: Duration,
}

impl Storage {
    pub(super) fn new(records: Arc<dyn Records>, stale: Duration) -> Self {
        Self { records, stale }
    }

    /// Who has logged in, in the session with this name. A database that is away knows nobody.
    pub(super) async fn find(&self, seal: &Seal, id: Uuid, now: u64) -> Option<Holder> {
        let found = self.records.find(SESSIONS, "session_id", &key(id)).await;
        let row = found.unwrap_or_else(|error| {
            tracing::error!(%error, "a session cannot be looked up");
            None
        })?;
        let expires = row.get("expires").and_then(Value::as_u64);
        if expires.is_some_and(|expires| expires <= now) {
            return None;
        }
        let data = row.get("data").and_then(Value::as_str)?;
        serde_json::from_slice(&seal.open(data.as_bytes())?).ok()
    }

    /// Keeps a session for so many seconds, beside what goes on here; under its old name only for a
    /// little longer.
    pub(super) fn keep(
        &self,
        seal: &Seal,
        id: Uuid,
        holder: &Holder,
        lasts: Option<u64>,
        now: u64,
        renewed: Option<Uuid>,
    ) {
        let holder = serde_json::to_vec(holder).ok();
        let Some(data) = holder.and_then(|holder| seal.seal(&holder)) else {
            tracing::error!("a session cannot be sealed: the system gives no random bytes");
            return;
        };
        let row = NewRecord {
            kind: SESSIONS,
            fields: fields(json!({
                "session_id": key(id),
                "data": data,
                "expires": lasts.map(|lasts| now.saturating_add(lasts)),
            })),
            lasts: lasts.map(Duration::from_secs),
        };
        let (records, stale) = (Arc::clone(&self.records), self.stale);
        spawn(async move {
            records.make(row, None).await?;
            match renewed {
                Some(renewed) => retire(&*records, renewed, stale, now).await,
                None => Ok(()),
            }
        });
    }

    /// Removes a session, beside what goes on here.
    pub(super) fn remove(&self, id: Uuid) {
        let records = Arc::clone(&self.records);
        spawn(async move {
            if let Some((row, _)) = find(&*records, id).await? {
                records.remove(row).await?;
            }
            Ok(())
        });
    }
}

/// What a session is found by.
fn key(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, id.as_bytes()))
}

fn fields(fields: Value) -> Object {
    match fields {
        Value::Object(fields) => fields,
        _ => Object::new(),
    }
}

/// Lets a session that was renewed end soon; one that ends sooner is left alone.
async fn retire(
    records: &dyn Records,
    id: Uuid,
    stale: Duration,
    now: u64,
) -> Result<(), RecordsError> {
    let until = now.saturating_add(stale.as_secs());
    let Some((row, expires)) = find(records, id).await? else {
        return Ok(());
    };
    if stale.is_zero() {
        records.remove(row).await?;
    } else if expires.is_none_or(|expires| expires > until) {
        let expires = fields(json!({ "expires": until }));
        records.change(row, expires, Some(stale)).await?;
    }
    Ok(())
}

/// A row, and when it expires.
async fn find(
    records: &dyn Records,
    id: Uuid,
) -> Result<Option<(RecordId, Option<u64>)>, RecordsError> {
    let row = records.find(SESSIONS, "session_id", &key(id)).await?;
    Ok(row.and_then(|row| {
        let id = row.get("id")?.as_str()?.to_owned();
        let expires = row.get("expires").and_then(Value::as_u64);
        Some((RecordId { kind: SESSIONS, id }, expires))
    }))
}

fn spawn(work: impl Future<Output = Result<(), RecordsError>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = work.await {
            tracing::error!(%error, "a session is not kept as it should be");
        }
    });
}
