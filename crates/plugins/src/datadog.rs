//! `datadog`: sends counts and times of requests to a Datadog agent.

pub(crate) mod config;
pub(crate) mod handler;

#[cfg(test)]
mod tests;
