//! Shared secrets of consumers (the `hmac-auth` plugin).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Reference;
use crate::schema::{Field, Schema, typedefs};

/// A name and the secret that its requests are signed with.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct HmacAuthCredential {
    /// Identity.
    pub id: Uuid,
    /// Owner.
    pub consumer: Reference,
    /// The name.
    pub username: String,
    /// The secret.
    #[serde(default)]
    pub secret: Option<String>,
    /// Labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}

/// Leaves the secret out.
impl std::fmt::Debug for HmacAuthCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HmacAuthCredential")
            .field("id", &self.id)
            .field("consumer", &self.consumer)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// The schema of `hmacauth_credentials`.
pub(crate) fn schema() -> Schema {
    Schema::new(
        "hmacauth_credentials",
        [
            typedefs::id(),
            typedefs::seconds("created_at"),
            super::owner(),
            Field::string("username").required(),
            Field::string("secret").auto(),
            typedefs::tags(),
        ],
    )
    .endpoint_key("username")
    .admin_names("hmac-auths", "hmac-auth")
    .cache_key(&["username"])
    .unique_key("username", &["username"])
}
