//! `request-transformer`: changes method, path, headers, query and body of requests.

pub(crate) mod body;
pub(crate) mod changes;
pub(crate) mod config;
pub(crate) mod handler;
pub(crate) mod template;

#[cfg(test)]
mod tests;
