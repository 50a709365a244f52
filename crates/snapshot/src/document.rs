//! The document: one JSON object, a superset of the `reconfigure` message of Kong's hybrid
//! protocol.
//!
//! ```json
//! {"type":"reconfigure","timestamp":1795406746.615,
//!  "config_hash":"32 hex digits, MD5 as Kong computes it",
//!  "hashes":{"config":"...","routes":"...","services":"...","plugins":"...","upstreams":"...","targets":"..."},
//!  "keelgate":{"schema":1,
//!   "identity":{"cluster_id":"...","epoch":1,"revision":7,"sha256":"64 hex digits"},
//!   "version":"0.1.0","created_at":1795406746615,"statement":"compact JWS"},
//!  "config_table":{"_format_version":"3.0","services":[]}}
//! ```
//!
//! `sha256` is over the bytes of the value of `config_table` exactly as they stand in the document.
//! `created_at` counts milliseconds since 1970; a control plane that bounds the age of
//! configurations states an unchanged one anew from time to time, with a fresh `created_at`. `statement` is absent from an unsigned snapshot.
//! A snapshot that a person published past the control plane carries `publication` behind
//! `created_at`: `{"by":"…","reason":"…","base":{identity},"restores":{identity}}`.
//! Readers ignore members that they do not know.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Identity, Publication, SealError, VerifyError, is_sealed, sealed_header};

/// Largest document that is built or accepted, in bytes.
///
/// A configuration with 100,000 routes, services and their plugins takes about 200 MB; twice that
/// is generous, and an endless download or a decompression bomb ends here instead of taking all
/// memory of the node.
pub const MAX_DOCUMENT_BYTES: usize = 512 << 20;

/// Version of the document's layout and of the meaning of its entities, as this build writes it.
pub const SCHEMA: u32 = 1;

/// The only kind of document.
pub(crate) const KIND: &str = "reconfigure";

/// The document, with the configuration left as it stands.
#[derive(Deserialize)]
pub(crate) struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    pub(crate) timestamp: Option<f64>,
    pub(crate) config_hash: Option<String>,
    pub(crate) keelgate: Option<Provenance>,
    #[serde(borrow)]
    pub(crate) config_table: &'a RawValue,
}

/// The member `keelgate`: who made the snapshot, when, and the proof.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Provenance {
    #[serde(flatten)]
    pub(crate) claims: Claims,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) statement: Option<String>,
}

/// What the members beside the configuration claim.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Claims {
    pub(crate) schema: u32,
    pub(crate) identity: Identity,
    pub(crate) version: String,
    /// Milliseconds since 1970.
    pub(crate) created_at: u64,
    /// Present when a person published it past the control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) publication: Option<Publication>,
}

impl Claims {
    pub(crate) fn created_at(&self) -> SystemTime {
        from_millis(self.created_at)
    }
}

impl<'a> Document<'a> {
    /// Reads the members beside the configuration, and where the configuration stands.
    pub(crate) fn parse(text: &'a str) -> Result<Self, VerifyError> {
        if is_sealed(text.as_bytes()) {
            let key_id = sealed_header(text.as_bytes())?.key_id;
            return Err(SealError::NoKeys { key_id }.into());
        }
        let document: Self = serde_json::from_str(text).map_err(|error| {
            if error.is_eof() {
                VerifyError::Truncated { bytes: text.len() }
            } else {
                VerifyError::Malformed(error)
            }
        })?;
        if document.kind != KIND {
            let found = document.kind.chars().take(64).collect();
            return Err(VerifyError::Kind { found });
        }
        if !is_object(document.config_table.get()) {
            return Err(VerifyError::NotATable);
        }
        Ok(document)
    }
}

/// Bounds the size and checks the encoding of received bytes.
pub(crate) fn text(document: Bytes) -> Result<ByteString, VerifyError> {
    if document.len() > MAX_DOCUMENT_BYTES {
        return Err(VerifyError::TooLarge {
            bytes: document.len(),
            limit: MAX_DOCUMENT_BYTES,
        });
    }
    if let Err(error) = std::str::from_utf8(&document) {
        let offset = error.valid_up_to();
        // A cut through a character is a cut, not a wrong encoding.
        return Err(match error.error_len() {
            None => VerifyError::Truncated {
                bytes: document.len(),
            },
            Some(_) => VerifyError::NotUtf8 { offset },
        });
    }
    ByteString::try_from(document).map_err(|_| VerifyError::NotUtf8 { offset: 0 })
}

/// Whether a JSON value without surrounding space is an object.
pub(crate) fn is_object(json: &str) -> bool {
    json.starts_with('{')
}

/// Milliseconds since 1970; none before.
pub(crate) fn to_millis(time: SystemTime) -> Option<u64> {
    let elapsed = time.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(elapsed.as_millis()).ok()
}

/// The inverse of [`to_millis`]; a time that the platform cannot hold becomes 1970.
pub(crate) fn from_millis(millis: u64) -> SystemTime {
    UNIX_EPOCH
        .checked_add(Duration::from_millis(millis))
        .unwrap_or(UNIX_EPOCH)
}
