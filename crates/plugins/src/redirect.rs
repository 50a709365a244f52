//! `redirect`: sends clients elsewhere.

pub(crate) mod config;
pub(crate) mod handler;

#[cfg(test)]
mod tests;
