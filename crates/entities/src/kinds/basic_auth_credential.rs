//! Names and passwords of consumers (the `basic-auth` plugin).

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::format::pem::hexadecimal;
use crate::schema::lookup::get;
use crate::schema::{Field, Schema, Transformation, typedefs};
use crate::{Object, Reference};

/// A name and its password.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct BasicAuthCredential {
    /// Identity.
    pub id: Uuid,
    /// Owner.
    pub consumer: Reference,
    /// The name.
    pub username: String,
    /// SHA-1 of the password followed by the owner's id, in hexadecimal digits.
    pub password: String,
    /// Labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}

/// Leaves the password out.
impl std::fmt::Debug for BasicAuthCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BasicAuthCredential")
            .field("id", &self.id)
            .field("consumer", &self.consumer)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// The schema of `basicauth_credentials`.
pub(crate) fn schema() -> Schema {
    Schema::new(
        "basicauth_credentials",
        [
            typedefs::id(),
            typedefs::seconds("created_at"),
            super::owner(),
            Field::string("username").required(),
            Field::string("password").required().encrypted(),
            typedefs::tags(),
        ],
    )
    .endpoint_key("username")
    .admin_names("basic-auths", "basic-auth")
    .cache_key(&["username"])
    .unique_key("username", &["username"])
    .transformation(Transformation {
        input: &["password"],
        needs: &["consumer.id"],
        write: hash,
    })
}

/// Replaces the password by the digest that Kong stores: SHA-1, salted with the consumer's id.
fn hash(entity: &mut Object) {
    let salt = get(entity, "consumer.id").and_then(serde_json::Value::as_str);
    if let (Some(password), Some(salt)) = (super::text(entity, "password"), salt) {
        let salted = format!("{password}{salt}");
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, salted.as_bytes());
        let digest = hexadecimal(digest.as_ref());
        entity.insert("password".to_owned(), digest.into());
    }
}
