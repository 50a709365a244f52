//! `hmac-auth`: lets requests through that are signed with a shared secret (HTTP signatures).

pub(crate) mod config;
pub(crate) mod handler;
mod parameters;

#[cfg(test)]
mod tests;
