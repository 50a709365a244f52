//! `prometheus`: counts requests for Prometheus, which reads the counts at `/metrics` of the status
//! API and the Admin API.

pub(crate) mod config;
mod exposition;
pub(crate) mod handler;
mod histogram;
pub(crate) mod metrics;

#[cfg(test)]
mod tests;
