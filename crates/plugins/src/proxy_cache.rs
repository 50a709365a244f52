//! `proxy-cache`: answers with earlier responses of the upstream.

mod cache_control;
pub(crate) mod config;
pub(crate) mod handler;
mod kept;
mod key;
mod media_type;
pub(crate) mod store;

pub use kept::KeptResponses;

#[cfg(test)]
mod tests;
