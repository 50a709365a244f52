//! Request facts to route. Pure: no I/O, no clock.

pub mod facts;

pub use facts::Facts;
