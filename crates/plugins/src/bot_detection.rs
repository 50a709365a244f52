//! `bot-detection`: refuses clients whose `User-Agent` is that of a program.

pub(crate) mod config;
pub(crate) mod handler;
mod rules;

#[cfg(test)]
mod tests;
