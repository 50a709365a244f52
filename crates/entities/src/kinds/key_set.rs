//! Sets of keys.

use crate::schema::{Field, Schema, typedefs};

/// The schema of `key_sets`.
pub(crate) fn schema() -> Schema {
    Schema::new(
        "key_sets",
        [
            typedefs::id(),
            Field::string("name")
                .optional()
                .description("An optional, unique label for a group of keys."),
            typedefs::tags(),
            typedefs::seconds("created_at"),
            typedefs::seconds("updated_at"),
        ],
    )
    .endpoint_key("name")
    .admin_names("key-sets", "key-sets")
    .unique_key("name", &["name"])
}
