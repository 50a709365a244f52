//! `ip-restriction`: lets some addresses through, and others not.

mod addresses;
pub(crate) mod config;
pub(crate) mod handler;

#[cfg(test)]
mod tests;
