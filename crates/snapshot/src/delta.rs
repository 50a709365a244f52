//! From one snapshot to the next: what a data plane gets that has the one before.
//!
//! A delta has no authority of its own. It says how the document of the next snapshot is put together
//! from that of the last one, and that document is verified as if it had come whole: the statement in
//! it is signed, and the digest in the statement is over its configuration. `docs/rfcs/0002-deltas.md`
//! has the reasons.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::document::{Document, MAX_DOCUMENT_BYTES};
use crate::form::Form;
use crate::fragments::{Changes, Unfit};
use crate::snapshot::Parts;
use crate::{Identity, Snapshot, Verifier, VerifyError};

/// Largest delta. A snapshot that differs by more travels whole.
pub const MAX_DELTA_BYTES: usize = 4 << 20;

/// How every delta begins. A whole document is compressed and begins otherwise.
const BEGINNING: &[u8] = br#"{"type":"keelgate_delta","#;

const KIND: &str = "keelgate_delta";

/// The message. Entities stand in it as they stand in the document.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    base: &'a Identity,
    head: &'a str,
    changes: &'a Changes,
}

#[derive(Deserialize)]
struct Read {
    base: Identity,
    /// The document up to its configuration.
    head: String,
    changes: Changes,
}

/// A delta that leads to no snapshot; the one that it is for is to be asked for whole.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// It is none.
    #[error("the delta cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Larger than any.
    #[error("the delta has {bytes} bytes, the limit is {MAX_DELTA_BYTES}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It leads on from another snapshot.
    #[error("the delta leads on from {expected}, and this node has {found}")]
    Base {
        /// The snapshot that it needs.
        expected: Box<Identity>,
        /// The one that there is.
        found: Box<Identity>,
    },
    /// The snapshot before cannot be changed entity by entity.
    #[error("the configuration before it cannot be changed entity by entity")]
    NoFragments,
    /// A change has no place.
    #[error("the delta does not fit: {0}")]
    Unfit(#[from] Unfit),
    /// The snapshot that it leads to is refused.
    #[error("the snapshot that the delta leads to is refused: {0}")]
    Refused(#[from] VerifyError),
}

/// Whether a message is a delta.
pub fn is_delta(message: &[u8]) -> bool {
    message.starts_with(BEGINNING)
}

/// How to come from `base` to `next`; none where they differ by much, or not by entities alone.
pub fn delta(base: &Snapshot, next: &Snapshot) -> Option<Bytes> {
    if !next.is_signed() || base.claims().schema != next.claims().schema {
        return None;
    }
    let changes = next.fragments()?.changes_since(base.fragments()?)?;
    // Half of all is no less work than all.
    if changes.bytes() > MAX_DELTA_BYTES / 2 || changes.bytes() > next.config_bytes() / 2 + 4096 {
        return None;
    }
    let written = serde_json::to_vec(&Written {
        kind: KIND,
        base: base.identity(),
        head: next.head(),
        changes: &changes,
    });
    let message = written.ok()?;
    (message.len() <= MAX_DELTA_BYTES).then(|| message.into())
}

impl Verifier {
    /// The snapshot that a delta leads to from `base`, whole and verified as by [`Verifier::verify`].
    ///
    /// # Errors
    ///
    /// Says why it leads to none.
    pub fn verify_delta(&self, base: &Snapshot, message: &[u8]) -> Result<Snapshot, DeltaError> {
        if message.len() > MAX_DELTA_BYTES {
            let bytes = message.len();
            return Err(DeltaError::TooLarge { bytes });
        }
        let read: Read = serde_json::from_slice(message)?;
        if read.base != *base.identity() {
            return Err(DeltaError::Base {
                expected: Box::new(read.base),
                found: Box::new(*base.identity()),
            });
        }
        let before = base.fragments().ok_or(DeltaError::NoFragments)?;
        let signed = self.signed_head(&read.head)?;
        let fragments = before.changed(&read.changes)?;
        let bytes = read.head.len() + fragments.bytes() + 1;
        if bytes > MAX_DOCUMENT_BYTES {
            let limit = MAX_DOCUMENT_BYTES;
            return Err(VerifyError::TooLarge { bytes, limit }.into());
        }
        let found = fragments.digest_after(Some(before));
        let expected = signed.claims.identity.sha256;
        if found != expected {
            return Err(VerifyError::DigestMismatch { expected, found }.into());
        }
        Ok(Snapshot::new(Parts {
            form: Arc::new(Form::fragments(read.head, fragments)),
            claims: signed.claims,
            config_hash: signed.config_hash,
            signed: true,
        }))
    }

    /// What was signed of a document of which everything but the configuration is there.
    fn signed_head(&self, head: &str) -> Result<crate::statement::Payload, VerifyError> {
        const NOTHING: &str = "{}";
        let document = format!("{head}{NOTHING}}}");
        let parsed = Document::parse(&document)?;
        // What is put in its place must be where the configuration stands, and nowhere else.
        let stands_at = parsed.config_table.get().as_ptr() as usize - document.as_ptr() as usize;
        if stands_at != head.len() || parsed.config_table.get() != NOTHING {
            return Err(VerifyError::NotATable);
        }
        self.signed(parsed)
    }
}

#[cfg(test)]
mod tests;
