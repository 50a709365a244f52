//! API keys of consumers (the `key-auth` plugin).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Reference;
use crate::schema::{Field, Schema, typedefs};

/// An API key.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyAuthCredential {
    /// Identity.
    pub id: Uuid,
    /// Owner.
    pub consumer: Reference,
    /// The secret.
    pub key: String,
    /// Labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}

/// Leaves the secret out.
impl std::fmt::Debug for KeyAuthCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyAuthCredential")
            .field("id", &self.id)
            .field("consumer", &self.consumer)
            .finish_non_exhaustive()
    }
}

/// The schema of `keyauth_credentials`.
pub(crate) fn schema() -> Schema {
    Schema::new(
        "keyauth_credentials",
        [
            typedefs::id(),
            typedefs::seconds("created_at"),
            super::owner(),
            Field::string("key").optional().auto(),
            typedefs::tags(),
        ],
    )
    .endpoint_key("key")
    .admin_names("key-auths", "key-auth")
    .cache_key(&["key"])
    .unique_key("key", &["key"])
    .ttl()
}
