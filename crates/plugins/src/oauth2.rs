//! `oauth2`: applications that act for users, by tokens that the gateway gives them (RFC 6749).

mod answer;
mod authorization;
mod bearer;
pub(crate) mod config;
mod grant;
pub(crate) mod handler;
mod parameters;
pub(crate) mod recent;
mod redirect;
mod scope;
mod stored;
mod token;

#[cfg(test)]
mod tests;
