//! The choice of configuration through the public interface.

#![allow(clippy::unwrap_used)]

mod attacks;
mod deltas;
mod outage;
mod support;
