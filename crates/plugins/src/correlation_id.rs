//! `correlation-id`: marks requests so that their traces can be found together.

pub(crate) mod config;
pub(crate) mod handler;

#[cfg(test)]
mod tests;
