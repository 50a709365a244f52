//! Snapshots through the public interface: built, carried, attacked.

#![allow(clippy::unwrap_used)]

mod attacks;
mod authority;
mod publications;
mod round_trip;
mod sealing;
mod support;
