//! Sessions of those who have logged in (the `session` plugin with `storage: kong`).

use crate::schema::{Field, Schema, typedefs};

/// The collection.
pub(super) const SESSIONS: &str = "sessions";

/// The schema of `sessions`.
pub(crate) fn schema() -> Schema {
    Schema::new(
        SESSIONS,
        [
            typedefs::id(),
            Field::string("session_id").required(),
            Field::integer("expires"),
            Field::string("data"),
            typedefs::seconds("created_at"),
        ],
    )
    .endpoint_key("session_id")
    .cache_key(&["session_id"])
    .unique_key("session_id", &["session_id"])
    .record()
}
