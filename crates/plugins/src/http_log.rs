//! `http-log`: sends a record about every request to an HTTP server.

pub(crate) mod config;
pub(crate) mod handler;

#[cfg(test)]
mod tests;
