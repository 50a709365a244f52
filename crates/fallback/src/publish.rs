//! Publishing: the newest snapshot into every storage, forward only, read back before it counts.
//!
//! | module | what it knows |
//! |---|---|
//! | `edition`, `picture` | what is compared with what, and what follows |
//! | `machine` | what to do next, and when; no I/O, no clock |
//! | `settings` | the times that it keeps |
//! | `archive` | how documents are read, judged, written and pruned |
//! | `release` | what is published of a snapshot |
//! | `lane` | one storage: does what the machine decides, keeps the status |
//! | `driver` | all storages, each with a probe, a candidate and a lane |
//! | `once` | the same by hand |

mod archive;
mod blocked;
mod driver;
pub(crate) mod edition;
mod lane;
pub(crate) mod machine;
mod once;
pub(crate) mod picture;
mod release;
mod settings;
mod status;

pub use blocked::Blocked;
pub use driver::{DEFAULT_LEASE, Publisher, PublisherSettings};
pub use once::{PruneError, PublishError, Published, forget, prune, publish_once};
pub use release::{Prepare, Seal};
pub use settings::PublishSettings;
pub use status::{PublisherState, PublisherStatus, Success, Trouble};
