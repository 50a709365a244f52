//! Logs and metrics.
//!
//! [`logging`] sets up the node's own log: level, form and destination, with a
//! [`LogHandle`] that changes the level and reopens the file while it runs.
//! [`LineSink`] takes finished lines, such as those of an access log, off the
//! request path. [`metrics`] renders what is known of a node for Prometheus.
//!
//! No state is global but the subscriber of `tracing`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod destination;
mod level;
mod line_sink;
pub mod logging;
pub mod metrics;

pub use destination::{Destination, OpenError};
pub use level::{Level, UnknownLevel};
pub use line_sink::LineSink;
pub use logging::{Format, LogHandle, LogOptions, LoggingError};
