//! Exhaustive search over publishers and storages, without clocks.
//!
//! **Publishers** are the production machines with every delay set to zero: what they may do at
//! some time they may do at any time. **Leases** may run out at any moment, whether or not the
//! holder was told, and be won by anybody; so any publisher may believe to lead at any moment. A
//! publisher that is not chosen for a while is paused, follows, or is slow: the search does not
//! tell them apart. **A request** is decided, executed and answered in one step, because between
//! deciding and the answer a publisher takes no news: a delayed request is the same as a delayed
//! decision. What is left are requests that are executed *after* the publisher has given them up,
//! and those executed a second time: both go to the network, which delivers them at any later
//! moment or never.
//!
//! **Versions** are made of the content alone, as entity tags on S3 are: the weakest that the
//! protocol allows.

mod lanes;
mod store;
mod tests;
