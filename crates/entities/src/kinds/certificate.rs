//! Certificates with their private keys.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Object;
use crate::format::pem;
use crate::schema::{CheckRule, Field, ITEM, Schema, typedefs};

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

/// The schema of `certificates`.
pub(crate) fn schema() -> Schema {
    Schema::new(
        "certificates",
        [
            typedefs::id(),
            typedefs::seconds("created_at"),
            typedefs::seconds("updated_at"),
            typedefs::certificate("cert").required().referenceable(),
            typedefs::key("key").required().referenceable().encrypted(),
            typedefs::certificate("cert_alt").optional().referenceable(),
            typedefs::key("key_alt")
                .optional()
                .referenceable()
                .encrypted(),
            typedefs::tags(),
            Field::array("snis", typedefs::wildcard_host(ITEM))
                .optional()
                .transient(),
        ],
    )
    .check(CheckRule::mutually_required(&["cert_alt", "key_alt"]))
    .check(CheckRule::custom(&["cert", "key"], key_belongs))
    .check(CheckRule::custom(
        &["cert_alt", "key_alt"],
        other_key_belongs,
    ))
    .check(CheckRule::custom(&["cert", "cert_alt"], types_differ))
}

fn key_belongs(entity: &Object) -> Result<(), String> {
    belong(entity, "cert", "key", "certificate does not match key")
}

fn other_key_belongs(entity: &Object) -> Result<(), String> {
    let message = "alternative certificate does not match key";
    belong(entity, "cert_alt", "key_alt", message)
}

fn belong(entity: &Object, cert: &str, key: &str, message: &str) -> Result<(), String> {
    match (super::text(entity, cert), super::text(entity, key)) {
        (Some(cert), Some(key)) if !pem::belong_together(cert, key) => Err(message.to_owned()),
        _ => Ok(()),
    }
}

fn types_differ(entity: &Object) -> Result<(), String> {
    let key_type = |name| super::text(entity, name).and_then(pem::key_type);
    match (key_type("cert"), key_type("cert_alt")) {
        (Some(one), Some(other)) if one == other => Err(
            "certificate and alternative certificate need to have different type (e.g. RSA and \
             ECDSA), the provided certificates were both of the same type"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}
