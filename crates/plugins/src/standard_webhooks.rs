//! `standard-webhooks`: lets requests through that are signed as Standard Webhooks are.

pub(crate) mod config;
pub(crate) mod handler;

#[cfg(test)]
mod tests;
