//! Groups of consumers (the `acl` plugin).

use crate::schema::{Field, Schema, typedefs};

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
