//! `file-log`: writes a record about every request to a file.

pub(crate) mod config;
pub(crate) mod handler;

#[cfg(test)]
mod tests;
