//! `response-ratelimiting`: what responses say they cost, up to so much per second, minute, hour,
//! day, month and year.

pub(crate) mod config;
pub(crate) mod handler;

#[cfg(test)]
mod tests;
