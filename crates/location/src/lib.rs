//! Where a fallback storage is: the URLs of `cluster_fallback_config_storage`.
//!
//! The settings check a location with this, and the storages are opened by it: there is one
//! reading of a storage's URL.
//!
//! | module | what it knows |
//! |---|---|
//! | `location` | the kinds of storage, and how each is written as a URL |
//! | `parse` | how a URL becomes a location |
//! | `error` | what can be wrong with a URL, and how to mend it |

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod location;
mod parse;

pub use error::{LocationError, Problem};
pub use location::Location;
