//! Consumers: the clients that credentials belong to.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::schema::{CheckRule, Field, Schema, typedefs};

/// A known client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Consumer {
    /// Identity.
    pub id: Uuid,
    /// Unique name.
    #[serde(default)]
    pub username: Option<String>,
    /// Unique id in another system.
    #[serde(default)]
    pub custom_id: Option<String>,
    /// Labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}

/// The schema of `consumers`.
pub(crate) fn schema() -> Schema {
    Schema::new(
        "consumers",
        [
            typedefs::id(),
            typedefs::seconds("created_at"),
            typedefs::seconds("updated_at"),
            Field::string("username").description(
                "What the client is called here; unique. Needed unless `custom_id` is given.",
            ),
            Field::string("custom_id").description(
                "What the client is called in a system of yours; unique. Needed unless `username` \
                 is given.",
            ),
            typedefs::tags(),
        ],
    )
    .endpoint_key("username")
    .unique_key("username", &["username"])
    .unique_key("custom_id", &["custom_id"])
    .check(CheckRule::at_least_one_of(&["custom_id", "username"]))
}
