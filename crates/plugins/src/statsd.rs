//! `statsd`: sends counts and times of requests to a StatsD server.

pub(crate) mod config;
pub(crate) mod handler;
mod lines;

#[cfg(test)]
mod tests;
