//! Election of the node that publishes into one storage: registering files and one lease.
//!
//! The election saves work; it is no part of safety, which rests on the comparison in every write
//! of `config.json`. `machine` decides, `driver` does.

mod driver;
mod lease;
pub(crate) mod machine;
mod roster;
#[cfg(test)]
mod simulation;

pub(crate) use driver::{Candidacy, Leadership};
pub use lease::{Lease, Registration};
