//! From received bytes to a snapshot, or the check that failed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::authority::{Authority, Signatories};
use crate::config_hash::{EMPTY_CONFIG_HASH, Hashes};
use crate::document::{self, Claims, Document, Provenance};
use crate::form::Form;
use crate::key::{self, PublicKey};
use crate::migration::MIGRATION;
use crate::snapshot::Parts;
use crate::statement::{self, Payload, Statement};
use crate::{Digest, Identity, KeyError, Snapshot, StatementError, VerifyError};

/// Whom to believe about snapshots.
pub struct Verifier(Trust);

enum Trust {
    /// Certificates of the cluster: thumbprint and key.
    Shared(Vec<(String, PublicKey)>),
    /// Certificates of an authority, in the names of those who may sign.
    Authority(Authority),
}

impl Verifier {
    /// Believes the holder of the cluster certificate (`cluster_mtls = shared`). Several
    /// certificates in the text are each good, so that one can be exchanged for another.
    ///
    /// # Errors
    ///
    /// When the text holds no certificate or one whose key cannot sign snapshots.
    pub fn shared(cert_pem: &str) -> Result<Self, KeyError> {
        let keys = key::certificates(cert_pem)?
            .iter()
            .map(|certificate| {
                Ok((
                    statement::thumbprint(certificate),
                    PublicKey::of(certificate)?,
                ))
            })
            .collect::<Result<_, KeyError>>()?;
        Ok(Self(Trust::Shared(keys)))
    }

    /// Believes holders of certificates that the authority issued in certain names
    /// (`cluster_mtls = pki`): an authority issues to others too, and a data plane must not be able
    /// to write the configuration of its cluster. [`Signatories`] says who may.
    ///
    /// The certificate must have been valid when the snapshot was made: one that expires during
    /// an outage does not take the last configuration with it.
    ///
    /// # Errors
    ///
    /// When the text holds no certificate or one that cannot be an authority, there is no name, or
    /// a name is no DNS name and no address.
    pub fn authority(ca_pem: &str, signatories: &Signatories<'_>) -> Result<Self, KeyError> {
        Authority::new(ca_pem, signatories).map(|authority| Self(Trust::Authority(authority)))
    }

    /// Accepts a snapshot that a trusted holder of a key signed, whole and unchanged.
    ///
    /// Whether it belongs to the cluster ([`Identity::belongs_to`]) and is newer than what is
    /// served is for the caller to decide.
    ///
    /// # Errors
    ///
    /// Says which check failed. An unsigned document is refused.
    pub fn verify(&self, document: Bytes) -> Result<Snapshot, VerifyError> {
        let text = document::text(document)?;
        let parsed = Document::parse(&text)?;
        let config = text.slice_ref(parsed.config_table.get());
        let signed = self.signed(parsed)?;
        check_digest(&signed.claims, &config)?;
        Ok(Snapshot::new(Parts {
            form: Arc::new(Form::whole(text, config)),
            claims: signed.claims,
            config_hash: signed.config_hash,
            signed: true,
        }))
    }

    /// What a trusted holder of a key has said of a document, if the document says the same. That its
    /// configuration is the one that was signed is still to be checked.
    pub(crate) fn signed(&self, document: Document<'_>) -> Result<Payload, VerifyError> {
        let config_hash = document.config_hash.ok_or(VerifyError::Unsigned)?;
        let Some(Provenance {
            claims,
            statement: Some(statement),
        }) = document.keelgate
        else {
            return Err(VerifyError::Unsigned);
        };
        MIGRATION.check(claims.schema)?;
        let signed = self.believe(Statement::parse(&statement)?)?;
        let payload = Payload {
            claims,
            config_hash,
        };
        compare(&payload, &signed)?;
        Ok(signed)
    }

    fn believe(&self, statement: Statement<'_>) -> Result<Payload, StatementError> {
        match &self.0 {
            Trust::Shared(keys) => {
                let found = statement.thumbprint();
                let Some((_, key)) = keys.iter().find(|(own, _)| own == found) else {
                    return Err(StatementError::WrongCertificate {
                        found: found.chars().take(64).collect(),
                    });
                };
                statement.verify(key)
            }
            Trust::Authority(authority) => {
                let chain = statement.chain()?;
                let at = Duration::from_millis(statement.payload.claims.created_at);
                let own = authority.believe(&chain, at)?;
                let key =
                    PublicKey::of(own).map_err(|error| StatementError::Key(error.to_string()))?;
                statement.verify(&key)
            }
        }
    }
}

/// Names the first member that differs from what was signed.
fn compare(found: &Payload, signed: &Payload) -> Result<(), VerifyError> {
    let (left, right) = (&found.claims, &signed.claims);
    let members = [
        ("identity", left.identity == right.identity),
        ("version", left.version == right.version),
        ("created_at", left.created_at == right.created_at),
        ("schema", left.schema == right.schema),
        ("publication", left.publication == right.publication),
        ("config_hash", found.config_hash == signed.config_hash),
    ];
    match members.into_iter().find(|(_, same)| !same) {
        Some((member, _)) => Err(VerifyError::Tampered { member }),
        None => Ok(()),
    }
}

fn check_digest(claims: &Claims, config: &str) -> Result<(), VerifyError> {
    let found = Digest::of(config.as_bytes());
    let expected = claims.identity.sha256;
    if found != expected {
        return Err(VerifyError::DigestMismatch { expected, found });
    }
    Ok(())
}

/// Accepts a snapshot without a proof of its own, from a sender that proved itself: a Kong control
/// plane over mutual TLS, or a declarative file of this node.
///
/// A document of Kong has no identity: it gets epoch 0, its time stamp in milliseconds as
/// revision, and the cluster that its parameters name (or none: the nil UUID). A statement that is
/// there is not looked at.
///
/// # Errors
///
/// Says which check failed.
pub fn accept_unsigned(document: Bytes) -> Result<Snapshot, VerifyError> {
    let text = document::text(document)?;
    let parsed = Document::parse(&text)?;
    let config = text.slice_ref(parsed.config_table.get());
    let claims = match parsed.keelgate {
        Some(Provenance { claims, statement }) => {
            MIGRATION.check(claims.schema)?;
            check_digest(&claims, &config)?;
            // In an envelope around a document of Kong, everything can be told twice.
            if claims.identity.epoch == 0 && statement.is_none() {
                let told = foreign_claims(&config, parsed.timestamp)?;
                if told.identity != claims.identity || claims.created_at < told.created_at {
                    return Err(VerifyError::Tampered { member: "identity" });
                }
            }
            claims
        }
        None => foreign_claims(&config, parsed.timestamp)?,
    };
    // A data plane tells its control plane with it what it runs, which must be able to read it.
    let told = parsed.config_hash.filter(|hash| is_hash(hash));
    let config_hash = match told {
        Some(hash) => hash,
        None => Hashes::of(&config).map_err(VerifyError::Malformed)?.config,
    };
    Ok(Snapshot::new(Parts {
        form: Arc::new(Form::whole(text, config)),
        claims,
        config_hash,
        signed: false,
    }))
}

/// Whether a text has the form of Kong's hash.
fn is_hash(text: &str) -> bool {
    text.len() == EMPTY_CONFIG_HASH.len() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// What a document of Kong tells about itself.
fn foreign_claims(config: &str, timestamp: Option<f64>) -> Result<Claims, VerifyError> {
    #[derive(serde::Deserialize)]
    struct Table {
        #[serde(default)]
        parameters: Option<Vec<Parameter>>,
    }
    #[derive(serde::Deserialize)]
    struct Parameter {
        key: Option<String>,
        value: Option<String>,
    }
    let table: Table = serde_json::from_str(config).map_err(VerifyError::Malformed)?;
    let cluster_id = table
        .parameters
        .unwrap_or_default()
        .into_iter()
        .find(|parameter| parameter.key.as_deref() == Some("cluster_id"))
        .and_then(|parameter| parameter.value?.parse().ok())
        .unwrap_or(Uuid::nil());
    // The cast saturates, so that no time stamp can overflow.
    let created_at = (timestamp.unwrap_or_default() * 1000.0).round() as u64;
    Ok(Claims {
        schema: document::SCHEMA,
        identity: Identity {
            cluster_id,
            epoch: 0,
            revision: created_at,
            sha256: Digest::of(config.as_bytes()),
        },
        version: String::new(),
        created_at,
        publication: None,
    })
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Trust::Shared(_) => "Verifier::Shared",
            Trust::Authority(_) => "Verifier::Authority",
        })
    }
}
