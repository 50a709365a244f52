//! Snapshots through the public interface: built, carried, attacked.

#![allow(clippy::unwrap_used)]

mod attacks;
mod round_trip;
mod support;
