//! Snapshots through the public interface: built, carried, attacked.

mod attacks;
mod round_trip;
mod support;
