//! Traces that go on from service to service: what requests bring, and what upstreams are told.
//!
//! | module | its one reason |
//! |---|---|
//! | `context` | the place of a request in a trace |
//! | `format` | the formats that headers have |
//! | `extract` | from headers to a context |
//! | `inject` | from a context to headers |
//! | `propagation` | what a configuration wants of all that |

pub(crate) mod context;
mod extract;
pub(crate) mod format;
mod inject;
pub(crate) mod propagation;

#[cfg(test)]
mod tests;
