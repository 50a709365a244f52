//! `zipkin`: passes traces on, and sends spans of requests to a Zipkin server.

pub(crate) mod config;
pub(crate) mod handler;
mod span;
mod tags;

#[cfg(test)]
mod tests;
