//! `udp-log`: sends a record about every request in a datagram.

pub(crate) mod config;
pub(crate) mod handler;

#[cfg(test)]
mod tests;
