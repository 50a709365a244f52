//! Snapshots: the whole configuration of a cluster at one moment, as immutable bytes with an
//! identity.

pub mod identity;

pub use identity::{Digest, Identity};
