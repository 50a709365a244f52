//! Publishing: the newest snapshot into every storage, forward only, read back before it counts.
//!
//! `machine` decides and does no I/O; `driver` does what it decides; `election` keeps several
//! publishers from doing the same work.

mod driver;
mod machine;
#[cfg(test)]
mod simulation;
mod status;

pub use driver::{DEFAULT_LEASE, Prepare, Publisher, PublisherSettings};
pub use machine::{Blocked, PublishSettings};
pub use status::{PublisherState, PublisherStatus, Success, Trouble};
