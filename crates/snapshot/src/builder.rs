//! From a configuration to a snapshot.

use std::time::SystemTime;

use bytestring::ByteString;
use serde::Serialize;

use crate::config_hash::Hashes;
use crate::document::{self, Claims, KIND, MAX_DOCUMENT_BYTES, Provenance, SCHEMA};
use crate::snapshot::Parts;
use crate::statement::Payload;
use crate::{BuildError, Digest, Identity, Position, Signer, Snapshot};

/// The members before the configuration, in the order in which they are written.
#[derive(Serialize)]
struct Head<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: f64,
    config_hash: &'a str,
    hashes: &'a Hashes,
    keelgate: &'a Provenance,
}

/// Makes a snapshot of a configuration (flat tables, as [`keelgate_entities`] writes them).
///
/// `version` is that of the software; `created_at` is cut to the millisecond.
///
/// # Errors
///
/// When the configuration is not a JSON object, is too large, or cannot be signed.
pub fn build(
    config_table: &impl Serialize,
    position: Position,
    version: &str,
    created_at: SystemTime,
    signer: Option<&Signer>,
) -> Result<Snapshot, BuildError> {
    let config = serde_json::to_string(config_table)?;
    if !document::is_object(&config) {
        return Err(BuildError::NotATable);
    }
    let created_at = document::to_millis(created_at).ok_or(BuildError::Clock)?;
    let hashes = Hashes::of(&config)?;
    let claims = Claims {
        schema: SCHEMA,
        identity: Identity {
            cluster_id: position.cluster_id,
            epoch: position.epoch,
            revision: position.revision,
            sha256: Digest::of(config.as_bytes()),
        },
        version: version.to_owned(),
        created_at,
    };
    let payload = Payload {
        claims,
        config_hash: hashes.config.clone(),
    };
    assemble(&config, &hashes, payload, signer)
}

/// Vouches for a snapshot that its maker did not sign: the same configuration, byte for byte, with
/// the same identity, hash and time, and a statement of `signer` over them. `version` is that of the
/// software that signs.
///
/// # Errors
///
/// When the snapshot is too large with a statement, or cannot be signed.
pub fn vouch(snapshot: &Snapshot, version: &str, signer: &Signer) -> Result<Snapshot, BuildError> {
    let created_at = document::to_millis(snapshot.created_at()).ok_or(BuildError::Clock)?;
    let payload = Payload {
        claims: Claims {
            schema: SCHEMA,
            identity: *snapshot.identity(),
            version: version.to_owned(),
            created_at,
        },
        config_hash: snapshot.config_hash().to_owned(),
    };
    let config = snapshot.config_json();
    assemble(config, &Hashes::of(config)?, payload, Some(signer))
}

/// Writes the document.
fn assemble(
    config: &str,
    hashes: &Hashes,
    payload: Payload,
    signer: Option<&Signer>,
) -> Result<Snapshot, BuildError> {
    const LAST: &str = ",\"config_table\":";
    let statement = signer.map(|signer| signer.state(&payload)).transpose()?;
    let signed = statement.is_some();
    let keelgate = Provenance {
        claims: payload.claims,
        statement,
    };
    let head = serde_json::to_string(&Head {
        kind: KIND,
        timestamp: keelgate.claims.created_at as f64 / 1000.0,
        config_hash: &payload.config_hash,
        hashes,
        keelgate: &keelgate,
    })?;
    let open = head.strip_suffix('}').unwrap_or(&head);
    let bytes = open.len() + LAST.len() + config.len() + 1;
    if bytes > MAX_DOCUMENT_BYTES {
        let limit = MAX_DOCUMENT_BYTES;
        return Err(BuildError::TooLarge { bytes, limit });
    }
    let mut document = String::with_capacity(bytes);
    document.push_str(open);
    document.push_str(LAST);
    let start = document.len();
    document.push_str(config);
    document.push('}');
    let document = ByteString::from(document);
    let config = document.slice_ref(&document[start..document.len() - 1]);
    Ok(Snapshot::new(Parts {
        document,
        config,
        claims: keelgate.claims,
        config_hash: payload.config_hash,
        signed,
    }))
}
