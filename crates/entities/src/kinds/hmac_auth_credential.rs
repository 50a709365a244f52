//! Shared secrets of consumers (the `hmac-auth` plugin).

use crate::schema::{Field, Schema, typedefs};

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
