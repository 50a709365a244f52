//! Certificates with their private keys.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A certificate chain and its key, in PEM.
#[derive(Clone, Serialize, Deserialize)]
pub struct Certificate {
    /// Identity.
    pub id: Uuid,
    /// Certificate chain.
    pub cert: String,
    /// Private key.
    pub key: String,
    /// Second chain, of another key type.
    #[serde(default)]
    pub cert_alt: Option<String>,
    /// Key of the second chain.
    #[serde(default)]
    pub key_alt: Option<String>,
    /// Labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}

/// Leaves the keys out.
impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
