//! `session`: who has logged in once is known by a cookie from then on.

pub(crate) mod config;
mod content;
mod cookie;
pub(crate) mod handler;
mod seal;
mod storage;

#[cfg(test)]
mod tests;
