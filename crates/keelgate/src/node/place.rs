//! What a process needs to be a node among the processes before and after it.

use std::path::PathBuf;

use crate::command::Claim;
use crate::handover::{Inheritance, Successor};

/// What a process needs to be a node among the processes before and after it.
pub(crate) struct Place {
    /// Stands for this process, or for the one before until this one is the node.
    pub(crate) claim: Claim,
    /// The directory of the node.
    pub(crate) prefix: PathBuf,
    /// What the process before handed over; none at a start from nothing.
    pub(crate) inheritance: Option<Inheritance>,
    /// How the process after is started.
    pub(crate) successor: Successor,
}
