//! `response-transformer`: changes headers and JSON bodies of responses.

pub(crate) mod config;
pub(crate) mod handler;
pub(crate) mod headers;
pub(crate) mod json;

#[cfg(test)]
mod tests;
