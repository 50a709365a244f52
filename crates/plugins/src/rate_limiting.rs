//! `rate-limiting`: at most so many requests per second, minute, hour, day, month and year.

pub(crate) mod caller;
pub(crate) mod cluster;
pub(crate) mod config;
pub(crate) mod counters;
pub(crate) mod handler;
pub(crate) mod period;
pub(crate) mod shared;
pub(crate) mod tally;

#[cfg(test)]
mod tests;
