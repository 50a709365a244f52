//! Keys that consumers sign tokens with (the `jwt` plugin).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Reference;
use crate::format::pem;
use crate::schema::{CheckRule, Field, Schema, typedefs};

/// A key that a consumer signs tokens with.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct JwtSecret {
    /// Identity.
    pub id: Uuid,
    /// Owner.
    pub consumer: Reference,
    /// What a token names the key by.
    #[serde(default)]
    pub key: Option<String>,
    /// The shared secret, for HMAC.
    #[serde(default)]
    pub secret: Option<String>,
    /// A public key in PEM (RSA, ECDSA or Ed25519), or the private one that it belongs to.
    #[serde(default)]
    pub rsa_public_key: Option<String>,
    /// The one algorithm that tokens may be signed with; HS256 where none is named.
    #[serde(default)]
    pub algorithm: Option<String>,
    /// Labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}

impl JwtSecret {
    /// The public key, in a form that verifiers read: a `SubjectPublicKeyInfo` in DER, or the bare
    /// bits where a private key was given. `None` when there is no key, or none that is readable.
    pub fn public_key(&self) -> Option<Vec<u8>> {
        pem::verification_key(self.rsa_public_key.as_deref()?)
    }
}

/// Leaves the secrets out.
impl std::fmt::Debug for JwtSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtSecret")
            .field("id", &self.id)
            .field("consumer", &self.consumer)
            .field("key", &self.key)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Algorithms that need a public key. Those with elliptic curves are not asked for one, as in Kong.
const ASYMMETRIC: [&str; 7] = [
    "^RS256$", "^RS384$", "^RS512$", "^PS256$", "^PS384$", "^PS512$", "^EdDSA$",
];

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
        |f| f.match_any(&ASYMMETRIC, ""),
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
