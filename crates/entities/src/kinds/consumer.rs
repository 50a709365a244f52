//! Consumers: the clients that credentials belong to.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

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
