//! The data plane's choice of configuration: which snapshot serves, from which source, and why.
//!
//! | module | what it knows |
//! |---|---|
//! | `machine` | the choice: events in, decisions out, no I/O and no clock |
//! | `notice` | what the machine wants an operator to know |
//! | `arbiter` | the running choice, as the rest of the node sees it |
//! | `driver` | the thin task that reads, verifies, activates and reports |
//! | `age` | how old a configuration may be that no control plane stands behind |
//! | `cache` | the last good documents on this node's disk |
//! | `crash` | which snapshot was being activated when the process died |
//! | `report` | what is told to operators |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod activator;
mod age;
mod arbiter;
mod cache;
mod crash;
mod driver;
mod durable;
#[cfg(test)]
mod lives;
pub mod machine;
mod notice;
mod offer;
mod report;
#[cfg(test)]
mod simulation;

pub use activator::{ActivationError, Activator};
pub use age::{AgeBound, StalePolicy};
pub use arbiter::{Arbiter, ControlPlaneLink, SourceSettings, Verifiers, VerifyDelta};
pub use cache::CacheError;
pub use notice::Notice;
pub use offer::{Offer, Source};
pub use report::{Report, Serving, State, Tried};
