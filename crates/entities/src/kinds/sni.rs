//! Server names that select a certificate.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Reference;

/// A server name, `*` at one end allowed, and the certificate that answers for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sni {
    /// Identity.
    pub id: Uuid,
    /// The server name.
    pub name: String,
    /// The certificate.
    pub certificate: Reference,
    /// Labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}
