//! The record of a snapshot that a person published past the control plane.

use serde::{Deserialize, Serialize};

use crate::Identity;

/// Who published a snapshot by hand (an emergency publish, a rollback), why, and in place of what.
/// It is part of what is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Who: `USER@HOST` of the one who ran the command.
    pub by: String,
    /// Why, in that person's words.
    pub reason: String,
    /// The snapshot that was the newest until then; none in an empty storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Identity>,
    /// The older snapshot whose configuration this one brings back; none for an emergency publish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<Identity>,
}
