//! Groups of consumers (the `acl` plugin).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Reference;
use crate::schema::{Field, Schema, typedefs};

/// The membership of a consumer in a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Acl {
    /// Identity.
    pub id: Uuid,
    /// The member.
    pub consumer: Reference,
    /// Name of the group.
    pub group: String,
    /// Labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}

/// The schema of `acls`.
pub(crate) fn schema() -> Schema {
    Schema::new(
        "acls",
        [
            typedefs::id(),
            typedefs::seconds("created_at"),
            super::owner(),
            Field::string("group").required(),
            typedefs::tags(),
        ],
    )
    .admin_names("acls", "acls")
    .cache_key(&["consumer", "group"])
}
