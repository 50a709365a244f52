//! `syslog`: gives a record about every request to the machine's log.

pub(crate) mod config;
pub(crate) mod handler;

#[cfg(test)]
mod tests;
