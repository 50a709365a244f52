//! What the `acme` plugin keeps with `storage: kong`: accounts, certificates, challenges.

use crate::schema::{Field, Schema, typedefs};

/// The collection.
pub(super) const STORAGE: &str = "acme_storage";

/// The schema of `acme_storage`.
pub(crate) fn storage() -> Schema {
    Schema::new(
        STORAGE,
        [
            typedefs::id(),
            Field::string("key").required().auto(),
            Field::string("value").required().auto(),
            typedefs::seconds("created_at"),
        ],
    )
    .cache_key(&["key"])
    .unique_key("key", &["key"])
    .record()
}
