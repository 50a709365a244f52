//! `ldap-auth`: lets requests through whose name and password an LDAP server knows.

mod binder;
pub(crate) mod config;
pub(crate) mod handler;
pub(crate) mod verdicts;

#[cfg(test)]
mod tests;
