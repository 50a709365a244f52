//! `jwt`: lets requests through that carry a signed token (RFC 7519).

pub(crate) mod algorithm;
pub(crate) mod config;
pub(crate) mod handler;
mod token;

#[cfg(test)]
mod tests;
