//! `request-size-limiting`: refuses large request bodies.

pub(crate) mod config;
pub(crate) mod handler;

#[cfg(test)]
mod tests;
