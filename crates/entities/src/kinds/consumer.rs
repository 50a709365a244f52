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
                "The unique username of the Consumer. You must send at least one of username or \
                 custom_id with the request.",
            ),
            Field::string("custom_id").description(
                "Stores the existing unique ID of the consumer. You must send at least one of \
                 username or custom_id with the request.",
            ),
            typedefs::tags(),
        ],
    )
    .endpoint_key("username")
    .unique_key("username", &["username"])
    .unique_key("custom_id", &["custom_id"])
    .check(CheckRule::at_least_one_of(&["custom_id", "username"]))
}
