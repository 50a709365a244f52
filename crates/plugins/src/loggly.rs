//! `loggly`: sends a record about every request to Loggly, in syslog's form.

pub(crate) mod config;
pub(crate) mod handler;

#[cfg(test)]
mod tests;
