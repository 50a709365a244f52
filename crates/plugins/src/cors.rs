//! `cors`: tells browsers which pages of other origins may call.

pub(crate) mod config;
pub(crate) mod handler;
pub(crate) mod origin;

#[cfg(test)]
mod tests;
