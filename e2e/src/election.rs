//! Who writes, as the storage tells.

use serde_json::Value;

use crate::Storage;

/// The lease of the node that writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The id of the node; nothing when the lease was given back.
    pub holder: Option<String>,
    /// Counts the holders.
    pub term: u64,
}

/// Reads the lease; nothing when there is none.
pub async fn lease(storage: &Storage) -> Option<Lease> {
    let body = storage.read(&Storage::key("election/lease.json")).await?;
    let lease: Value = serde_json::from_slice(&body).ok()?;
    Some(Lease {
        holder: lease["holder"].as_str().map(str::to_owned),
        term: lease["term"].as_u64()?,
    })
}
