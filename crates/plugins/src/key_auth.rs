//! `key-auth`: lets requests through that carry an API key.

pub(crate) mod config;
pub(crate) mod handler;

#[cfg(test)]
mod tests;
