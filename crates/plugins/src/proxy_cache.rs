//! `proxy-cache`: answers with earlier responses of the upstream.

mod cache_control;
pub(crate) mod config;
pub(crate) mod handler;
mod key;
mod media_type;
pub(crate) mod store;

#[cfg(test)]
mod tests;
