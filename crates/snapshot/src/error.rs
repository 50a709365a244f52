//! Why a snapshot could not be made, or was refused.

use crate::Digest;

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
    #[error("the document is not a snapshot: {0}")]
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
    /// A member differs from what was signed.
    #[error("the snapshot was tampered with: `{member}` differs from the signed statement")]
    Tampered {
        /// Name of the member beside `statement`.
        member: &'static str,
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
    /// The certificate of the signer has a key that this build cannot use.
    #[error("the certificate of the signer cannot be used: {0}")]
    Key(String),
    /// The signature is not of this key over this statement.
    #[error("the signature does not verify with the key of the certificate")]
    Signature,
}
