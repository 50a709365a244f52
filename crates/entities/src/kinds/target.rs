//! Targets: the addresses behind an upstream.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Reference;

/// An address behind an upstream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Identity.
    pub id: Uuid,
    /// The upstream it belongs to.
    pub upstream: Reference,
    /// `host:port`.
    pub target: String,
    /// Share of the load, 0 to 65535; 0 takes it out.
    #[serde(default = "hundred")]
    pub weight: u32,
    /// Labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}

fn hundred() -> u32 {
    100
}
