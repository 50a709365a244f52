//! Consumers: the clients that credentials belong to.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::schema::{CheckRule, Field, Schema, typedefs};

/// A known client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Consumer {
    /// Identity.
    pub id: Uuid,
    /// Unique name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Unique id in another system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_id: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<i64>,
    /// Seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<i64>,
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
