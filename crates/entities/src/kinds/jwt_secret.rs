//! Keys that consumers sign tokens with (the `jwt` plugin).

use crate::format::pem;
use crate::schema::{CheckRule, Field, Schema, typedefs};

/// The schema of `jwt_secrets`.
pub(crate) fn schema() -> Schema {
    Schema::new(
        "jwt_secrets",
        [
            typedefs::id(),
            typedefs::seconds("created_at"),
            super::owner(),
            Field::string("key").optional().auto(),
            Field::string("secret").auto(),
            Field::string("rsa_public_key"),
            Field::string("algorithm").default("HS256").one_of([
                "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512",
                "PS256", "PS384", "PS512", "EdDSA",
            ]),
            typedefs::tags(),
        ],
    )
    .endpoint_key("key")
    .admin_names("jwts", "jwt")
    .cache_key(&["key"])
    .unique_key("key", &["key"])
    .check(CheckRule::conditional(
        "algorithm",
        |f| f.matches("^(RS256|RS384|RS512|PS256|PS384|PS512|EdDSA)$"),
        "rsa_public_key",
        |f| f.required().custom(verification_key),
    ))
}

fn verification_key(text: &str) -> Result<(), String> {
    if pem::public_key(text) || pem::private_key(text) {
        Ok(())
    } else {
        Err("invalid key".to_owned())
    }
}
