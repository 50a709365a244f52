//! What a document says of its signature, for people to see.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::document::Document;
use crate::statement::Statement;

/// Who claims to have signed a document. Whether that is true is for
/// [`Verifier::verify`](crate::Verifier::verify) to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signature {
    /// Algorithm, as JWS names it: `ES384`, `PS256`, `EdDSA`, …
    pub algorithm: String,
    /// SHA-256 of the signer's certificate, in base64url: what tools print as `x5t#S256`.
    pub certificate_sha256: String,
    /// Subject of the certificate, such as `CN=kong_clustering`; empty when it is not there.
    pub subject: String,
    /// When the certificate ends; seconds since 1970.
    #[serde(serialize_with = "seconds")]
    pub not_after: Option<SystemTime>,
}

impl Signature {
    /// The signature that a document carries; none when it is unsigned or cannot be read.
    pub fn of(document: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(document).ok()?;
        let provenance = Document::parse(text).ok()?.keelgate?;
        let compact = provenance.statement?;
        let statement = Statement::parse(&compact).ok()?;
        let chain = statement.chain().ok()?;
        let own = chain
            .first()
            .and_then(|own| X509Certificate::from_der(own).ok());
        let (subject, not_after) = match &own {
            Some((_, certificate)) => (
                certificate.subject().to_string(),
                u64::try_from(certificate.validity().not_after.timestamp())
                    .ok()
                    .and_then(|at| UNIX_EPOCH.checked_add(Duration::from_secs(at))),
            ),
            None => (String::new(), None),
        };
        Some(Self {
            algorithm: statement.algorithm().chars().take(16).collect(),
            certificate_sha256: statement.thumbprint().chars().take(64).collect(),
            subject,
            not_after,
        })
    }
}

fn seconds<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()) {
        Some(since) => serializer.serialize_u64(since.as_secs()),
        None => serializer.serialize_none(),
    }
}
