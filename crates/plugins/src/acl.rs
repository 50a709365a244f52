//! `acl`: lets consumers of some groups through, and others not.

pub(crate) mod config;
pub(crate) mod handler;

#[cfg(test)]
mod tests;
