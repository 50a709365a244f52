//! What the plugins share that let a function of a cloud answer in place of an upstream.
//!
//! | module | its one reason |
//! |---|---|
//! | `client` | HTTP towards functions |
//! | `answer` | from what a function says to a response |

pub(crate) mod answer;
pub(crate) mod client;
