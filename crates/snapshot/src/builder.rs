//! From a configuration to a snapshot.

use std::sync::Arc;
use std::time::SystemTime;

use bytestring::ByteString;
use serde::Serialize;

use crate::config_hash::Hashes;
use crate::document::{self, Claims, KIND, MAX_DOCUMENT_BYTES, Provenance, SCHEMA};
use crate::form::Form;
use crate::snapshot::Parts;
use crate::statement::Payload;
use crate::{BuildError, Digest, Fragments, Identity, Position, Publication, Signer, Snapshot};

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
    identify(&config, position, version, created_at, None, signer)
}

/// Makes a snapshot that a person publishes past the control plane: as [`build`], and the record of
/// who, why and in place of what is part of what `signer` signs. `config` is the JSON text of the
/// configuration and stands in the document as it is, so that a rollback brings back the same bytes.
///
/// # Errors
///
/// As [`build`].
pub fn publish(
    config: &str,
    position: Position,
    publication: Publication,
    version: &str,
    created_at: SystemTime,
    signer: &Signer,
) -> Result<Snapshot, BuildError> {
    let publication = Some(publication);
    identify(
        config,
        position,
        version,
        created_at,
        publication,
        Some(signer),
    )
}

/// Makes a snapshot of a configuration in fragments: as [`build`], but what the configuration has in
/// common with that of `base` is not hashed again, and the document is written only when somebody
/// asks for it.
///
/// # Errors
///
/// As [`build`].
pub fn build_after(
    fragments: Fragments,
    base: Option<&Fragments>,
    position: Position,
    version: &str,
    created_at: SystemTime,
    signer: Option<&Signer>,
) -> Result<Snapshot, BuildError> {
    let created_at = document::to_millis(created_at).ok_or(BuildError::Clock)?;
    let hashes = fragments.hashes_after(base)?;
    let claims = Claims {
        schema: SCHEMA,
        identity: Identity {
            cluster_id: position.cluster_id,
            epoch: position.epoch,
            revision: position.revision,
            sha256: fragments.digest_after(base),
        },
        version: version.to_owned(),
        created_at,
        publication: None,
    };
    let payload = Payload {
        claims,
        config_hash: hashes.config.clone(),
    };
    join(fragments, &hashes, payload, signer)
}

/// Gives a configuration its identity, and writes the document.
fn identify(
    config: &str,
    position: Position,
    version: &str,
    created_at: SystemTime,
    publication: Option<Publication>,
    signer: Option<&Signer>,
) -> Result<Snapshot, BuildError> {
    if !document::is_object(config) {
        return Err(BuildError::NotATable);
    }
    let created_at = document::to_millis(created_at).ok_or(BuildError::Clock)?;
    let hashes = Hashes::of(config)?;
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
        publication,
    };
    let payload = Payload {
        claims,
        config_hash: hashes.config.clone(),
    };
    assemble(config, &hashes, payload, signer)
}

/// Vouches for a snapshot that its maker did not sign: the same configuration, byte for byte, with
/// the same identity, hash and time, and a statement of `signer` over them. `version` is that of the
/// software that signs.
///
/// # Errors
///
/// When the snapshot is too large with a statement, or cannot be signed.
pub fn vouch(snapshot: &Snapshot, version: &str, signer: &Signer) -> Result<Snapshot, BuildError> {
    restate(snapshot, version, snapshot.created_at(), signer)
}

/// Says anew of a snapshot that it is what configures its cluster: everything that [`vouch`] keeps,
/// and a fresh time. It goes through the same places as the first document and is no change: equal
/// identities are never swapped.
///
/// # Errors
///
/// When the snapshot is too large with a statement, or cannot be signed.
pub fn restate(
    snapshot: &Snapshot,
    version: &str,
    created_at: SystemTime,
    signer: &Signer,
) -> Result<Snapshot, BuildError> {
    let created_at = document::to_millis(created_at).ok_or(BuildError::Clock)?;
    let payload = Payload {
        claims: Claims {
            schema: snapshot.claims().schema,
            identity: *snapshot.identity(),
            version: version.to_owned(),
            created_at,
            publication: snapshot.publication().cloned(),
        },
        config_hash: snapshot.config_hash().to_owned(),
    };
    if snapshot.is_built()
        && let Some(fragments) = snapshot.fragments()
    {
        let hashes = fragments.hashes_after(None)?;
        return join(fragments.clone(), &hashes, payload, Some(signer));
    }
    let config = snapshot.config_json();
    assemble(config, &Hashes::of(config)?, payload, Some(signer))
}

/// The same snapshot in this software's envelope, unsigned: what a control plane of Kong sent gets
/// its identity, and with it a digest, written down.
///
/// # Errors
///
/// When the snapshot is too large with it.
pub fn envelop(snapshot: &Snapshot) -> Result<Snapshot, BuildError> {
    let payload = Payload {
        claims: snapshot.claims().clone(),
        config_hash: snapshot.config_hash().to_owned(),
    };
    let config = snapshot.config_json();
    assemble(config, &Hashes::of(config)?, payload, None)
}

/// The time stamp of Kong, in milliseconds: for what Kong made it is the revision, whatever happened
/// since.
fn timestamp(claims: &Claims) -> u64 {
    match claims.identity.epoch {
        0 => claims.identity.revision,
        _ => claims.created_at,
    }
}

/// What stands in a document before the configuration, and what it says.
struct Begun {
    head: String,
    claims: Claims,
    config_hash: String,
    signed: bool,
}

/// Begins a document whose configuration has so many bytes.
fn begin(
    config: usize,
    hashes: &Hashes,
    payload: Payload,
    signer: Option<&Signer>,
) -> Result<Begun, BuildError> {
    const LAST: &str = ",\"config_table\":";
    let statement = signer.map(|signer| signer.state(&payload)).transpose()?;
    let signed = statement.is_some();
    let keelgate = Provenance {
        claims: payload.claims,
        statement,
    };
    let mut head = serde_json::to_string(&Head {
        kind: KIND,
        timestamp: timestamp(&keelgate.claims) as f64 / 1000.0,
        config_hash: &payload.config_hash,
        hashes,
        keelgate: &keelgate,
    })?;
    head.pop();
    head.push_str(LAST);
    let bytes = head.len() + config + 1;
    if bytes > MAX_DOCUMENT_BYTES {
        let limit = MAX_DOCUMENT_BYTES;
        return Err(BuildError::TooLarge { bytes, limit });
    }
    Ok(Begun {
        head,
        claims: keelgate.claims,
        config_hash: payload.config_hash,
        signed,
    })
}

/// Writes the document.
fn assemble(
    config: &str,
    hashes: &Hashes,
    payload: Payload,
    signer: Option<&Signer>,
) -> Result<Snapshot, BuildError> {
    let begun = begin(config.len(), hashes, payload, signer)?;
    let mut document = String::with_capacity(begun.head.len() + config.len() + 1);
    document.push_str(&begun.head);
    let start = document.len();
    document.push_str(config);
    document.push('}');
    let document = ByteString::from(document);
    let config = document.slice_ref(&document[start..document.len() - 1]);
    Ok(Snapshot::new(Parts {
        form: Arc::new(Form::whole(document, config)),
        claims: begun.claims,
        config_hash: begun.config_hash,
        signed: begun.signed,
    }))
}

/// Leaves the document to be written when somebody asks for it.
fn join(
    fragments: Fragments,
    hashes: &Hashes,
    payload: Payload,
    signer: Option<&Signer>,
) -> Result<Snapshot, BuildError> {
    let begun = begin(fragments.bytes(), hashes, payload, signer)?;
    Ok(Snapshot::new(Parts {
        form: Arc::new(Form::fragments(begun.head, fragments)),
        claims: begun.claims,
        config_hash: begun.config_hash,
        signed: begun.signed,
    }))
}
