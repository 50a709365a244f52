//! Trusted certificate authorities.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A trusted certificate authority.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaCertificate {
    /// Identity.
    pub id: Uuid,
    /// The certificate, in PEM.
    pub cert: String,
    /// SHA-256 of the certificate, in hexadecimal.
    #[serde(default)]
    pub cert_digest: Option<String>,
    /// Labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}
