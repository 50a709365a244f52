//! `azure-functions`: a function of Azure answers in place of the upstream.

pub(crate) mod config;
pub(crate) mod handler;
#[cfg(test)]
mod tests;
