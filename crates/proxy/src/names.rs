//! Host names to addresses, for the whole node.
//!
//! One task asks name servers ([`asking`]); workers read what it has learnt without a lock
//! ([`Names`]). An answer that has run out still serves while a new one is sought, and while name
//! servers fail, so that a request waits only for a name that nobody has asked for before.
//!
//! | module | its one reason |
//! |---|---|
//! | `answer` | how long what was heard counts |
//! | `memory` | what is known, shared by all workers |
//! | `asking` | who asks, each name once at a time |
//! | `lookup` | the kinds of record, in their order |
//! | `hosts` | the file of fixed names |
//! | `host_names` | the same for others than workers |
//! | `resolver` | one worker's view |

mod answer;
pub(crate) mod asking;
mod host_names;
mod hosts;
mod lookup;
mod memory;
mod resolver;

pub(crate) use answer::Answer;
pub use answer::NotResolved;
pub use host_names::HostNames;
pub(crate) use memory::{Asks, Names};
pub(crate) use resolver::Resolver;
