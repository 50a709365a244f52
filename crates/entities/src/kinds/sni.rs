//! Server names that select a certificate.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Reference;
use crate::schema::{Field, Schema, typedefs};

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

/// The schema of `snis`.
pub(crate) fn schema() -> Schema {
    Schema::new(
        "snis",
        [
            typedefs::id(),
            typedefs::wildcard_host("name").required(),
            typedefs::seconds("created_at"),
            typedefs::seconds("updated_at"),
            typedefs::tags(),
            Field::foreign("certificate", "certificates")
                .required()
                .description("The certificate that is presented for this server name."),
        ],
    )
    .endpoint_key("name")
    .unique_key("name", &["name"])
}
