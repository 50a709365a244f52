//! `tcp-log`: sends a record about every request over TCP or TLS, one per line.

pub(crate) mod config;
pub(crate) mod handler;

#[cfg(test)]
mod tests;
