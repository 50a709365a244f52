//! Why a snapshot could not be made, or was refused.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use crate::{Digest, Identity};

/// A reason that quotes foreign text, cut so that nobody can fill a log with it.
pub(crate) fn bounded(reason: &impl Display) -> String {
    const LONGEST: usize = 200;
    let mut text = reason.to_string();
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}

/// Names, for a sentence.
fn list(names: &[String]) -> String {
    match names {
        [] => "nobody".to_owned(),
        names => names.join(" or "),
    }
}

/// A certificate or key that cannot be used to sign or verify snapshots.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text holds no certificate.
    #[error("no certificate in the PEM text: expected a block `-----BEGIN CERTIFICATE-----`")]
    NoCertificate,
    /// A block that calls itself a certificate is none.
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    /// The text holds no private key, or one that cannot be read.
    #[error(
        "the private key cannot be read: expected an unencrypted PEM block of PKCS#8, SEC 1 or PKCS#1"
    )]
    PrivateKey,
    /// A kind of key for which there is no signature algorithm here.
    #[error(
        "a certificate with a key of kind {0} cannot sign snapshots: use EC P-256, P-384 or P-521, RSA of 2048 to 8192 bits, or Ed25519"
    )]
    Unsupported(String),
    /// A name of a signatory is no name.
    #[error("`{name}` is neither a DNS name nor an address")]
    Name {
        /// What was given.
        name: String,
    },
    /// Nobody may sign: then nothing could be believed.
    #[error(
        "no name of those who may sign snapshots: set cluster_server_name, cluster_control_plane or cluster_fallback_config_signers"
    )]
    NoSignatory,
    /// Key and certificate are not a pair.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
    /// The cryptographic library refused to sign.
    #[error("signing failed")]
    Signing,
}

/// A snapshot that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The configuration has no JSON form.
    #[error("the configuration cannot be written as JSON: {0}")]
    Serialize(#[from] serde_json::Error),
    /// The configuration is not a JSON object of collections.
    #[error("the configuration must be a JSON object of collections")]
    NotATable,
    /// No reader would accept it.
    #[error("the snapshot has {bytes} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Size of the document.
        bytes: usize,
        /// [`crate::MAX_DOCUMENT_BYTES`].
        limit: usize,
    },
    /// The time of creation lies before 1970.
    #[error("the time of creation lies before 1970: set the clock of this node")]
    Clock,
    /// The signature could not be made.
    #[error("the snapshot cannot be signed: {0}")]
    Sign(#[from] KeyError),
}

/// A verified snapshot whose configuration this build does not understand.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be decoded: {0}")]
pub struct DecodeError(#[from] pub(crate) serde_json::Error);

/// Bytes that are no acceptable snapshot, and the check that failed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Larger than any snapshot may be.
    #[error("the document has {bytes} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Size of the document.
        bytes: usize,
        /// [`crate::MAX_DOCUMENT_BYTES`].
        limit: usize,
    },
    /// Text in JSON is UTF-8.
    #[error("the document is not UTF-8: invalid at byte {offset}")]
    NotUtf8 {
        /// Offset of the first invalid byte.
        offset: usize,
    },
    /// The document ends in the middle: an interrupted write or transfer.
    #[error(
        "the document is truncated: it ends after {bytes} bytes in the middle of the JSON text"
    )]
    Truncated {
        /// Bytes that are there.
        bytes: usize,
    },
    /// Not JSON, or not of the shape of a snapshot.
    #[error("the document is not a snapshot: {}", bounded(.0))]
    Malformed(serde_json::Error),
    /// A message of another kind.
    #[error("the document is of type `{found}`, expected `reconfigure`")]
    Kind {
        /// What stands in `type`.
        found: String,
    },
    /// `config_table` is not an object.
    #[error("`config_table` must be a JSON object of collections")]
    NotATable,
    /// A verifier is configured, and the document carries no signature.
    #[error(
        "the snapshot is unsigned: it was not written by a Keelgate control plane, or its signature was removed"
    )]
    Unsigned,
    /// Written by a build too old for this one.
    #[error("the snapshot has schema {found}, this build reads {oldest} and newer")]
    SchemaTooOld {
        /// Schema of the document.
        found: u32,
        /// Oldest one that this build reads.
        oldest: u32,
    },
    /// Written by a newer build.
    #[error("the snapshot has schema {found}, this build reads at most {newest}: update this node")]
    SchemaTooNew {
        /// Schema of the document.
        found: u32,
        /// Newest one that this build reads.
        newest: u32,
    },
    /// The signed statement is not good.
    #[error("the signature of the snapshot is refused: {0}")]
    Statement(#[from] StatementError),
    /// Sealed, and it cannot be opened.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A member differs from what was signed.
    #[error("the snapshot was tampered with: `{member}` differs from the signed statement")]
    Tampered {
        /// Name of the member beside `statement`.
        member: &'static str,
    },
    /// Older than the reader's bound.
    #[error(
        "no control plane has stood behind snapshot {identity} since {}, which is longer than cluster_fallback_config_max_age ({} s) allows: it is away, or somebody withholds what it writes",
        httpdate::fmt_http_date(*stated_at),
        max_age.as_secs()
    )]
    Stale {
        /// What it is.
        identity: Identity,
        /// When it was made, restated, or confirmed over a connection.
        stated_at: SystemTime,
        /// What the reader accepts.
        max_age: Duration,
    },
    /// The configuration is not the one that the identity names.
    #[error("the configuration has SHA-256 {found}, its identity says {expected}")]
    DigestMismatch {
        /// From the identity.
        expected: Digest,
        /// Of the bytes that are there.
        found: Digest,
    },
}

impl VerifyError {
    /// A short word for reports and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::Seal(SealError::TooLarge { .. }) => "too_large",
            Self::Truncated { .. } | Self::Seal(SealError::Truncated { .. }) => "truncated",
            Self::NotUtf8 { .. }
            | Self::Malformed(_)
            | Self::Kind { .. }
            | Self::NotATable
            | Self::Seal(SealError::Malformed(_)) => "malformed",
            Self::Unsigned => "unsigned",
            Self::SchemaTooOld { .. } | Self::SchemaTooNew { .. } => "schema",
            Self::Statement(_) => "bad_signature",
            Self::Tampered { .. } | Self::DigestMismatch { .. } => "tampered",
            Self::Seal(SealError::NoKeys { .. } | SealError::UnknownKey { .. }) => "sealed",
            Self::Seal(_) => "bad_seal",
            Self::Stale { .. } => "stale",
        }
    }
}

/// Why a signed statement (a compact JWS) is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Not a compact JWS of this kind.
    #[error("the statement is malformed: {0}")]
    Malformed(&'static str),
    /// The header claims another algorithm than the key has.
    #[error("the statement claims algorithm `{found}`, the key signs with `{expected}`")]
    Algorithm {
        /// `alg` of the header.
        found: String,
        /// The only algorithm that the key is good for.
        expected: &'static str,
    },
    /// Signed by a certificate that is not the cluster's.
    #[error("signed by another certificate than the cluster certificate (SHA-256 {found})")]
    WrongCertificate {
        /// `x5t#S256` of the header.
        found: String,
    },
    /// The header carries no certificate chain, which a verifier with an authority needs.
    #[error("the statement carries no certificate chain, which `cluster_ca_cert` needs")]
    NoChain,
    /// The chain does not lead to the authority.
    #[error("the certificate of the signer is not trusted: {0}")]
    Untrusted(String),
    /// The authority issued the certificate, and in another name than those who may sign.
    #[error(
        "signed with a certificate in the name of {}, expected {}: set cluster_server_name, or add the name to cluster_fallback_config_signers",
        list(found),
        list(expected)
    )]
    Stranger {
        /// DNS names of the certificate, the first few.
        found: Vec<String>,
        /// Names of those who may sign, the first few.
        expected: Vec<String>,
    },
    /// The certificate of the signer has a key that this build cannot use.
    #[error("the certificate of the signer cannot be used: {0}")]
    Key(String),
    /// The signature is not of this key over this statement.
    #[error("the signature does not verify with the key of the certificate")]
    Signature,
}

/// A list of sealing keys that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealingKeyError {
    /// The list is empty.
    #[error("the list of sealing keys is empty")]
    None,
    /// The id is empty, too long, or has other characters.
    #[error("sealing key {place} of the list: an id has 1 to 64 letters, digits, `-`, `_` and `.`")]
    Id {
        /// Place in the list, from 1.
        place: usize,
    },
    /// Two keys have one id.
    #[error("two sealing keys have the id `{id}`: give every key an id of its own")]
    Duplicate {
        /// The id.
        id: String,
    },
}

/// Why a document cannot be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Larger than any document may be.
    #[error("the sealed document has {bytes} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Size of the sealed document.
        bytes: usize,
        /// [`crate::MAX_DOCUMENT_BYTES`].
        limit: usize,
    },
    /// The document ends in the middle.
    #[error("the sealed document is truncated: it ends after {bytes} bytes")]
    Truncated {
        /// Bytes that are there.
        bytes: usize,
    },
    /// No JWE of this form.
    #[error("the sealed document is malformed: {0}")]
    Malformed(String),
    /// This node has no keys.
    #[error(
        "the document is sealed with the key `{key_id}` and this node has no keys: set cluster_fallback_config_encryption_keys"
    )]
    NoKeys {
        /// The id that the document names.
        key_id: String,
    },
    /// This node has other keys.
    #[error(
        "the document is sealed with the key `{key_id}`, which this node does not have: add it to cluster_fallback_config_encryption_keys"
    )]
    UnknownKey {
        /// The id that the document names.
        key_id: String,
    },
    /// Altered, or sealed with another key under this id.
    #[error(
        "the sealed document does not open with the key `{key_id}`: it was altered, or another node has another key under this id"
    )]
    Broken {
        /// The id that the document names.
        key_id: String,
    },
    /// What stands outside is not what lies inside.
    #[error("the sealed document claims to be {claimed} and holds another")]
    Mislabelled {
        /// What the header claims.
        claimed: Identity,
    },
    /// The cryptographic library refused.
    #[error("sealing failed")]
    Sealing,
}
