//! `basic-auth`: lets requests through that carry a name and its password.

pub(crate) mod config;
pub(crate) mod handler;

#[cfg(test)]
mod tests;
