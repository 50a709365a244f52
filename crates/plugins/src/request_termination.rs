//! `request-termination`: answers instead of the upstream.

pub(crate) mod config;
pub(crate) mod echo;
pub(crate) mod handler;

#[cfg(test)]
mod tests;
