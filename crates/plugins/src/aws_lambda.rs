//! `aws-lambda`: a function of AWS Lambda answers in place of the upstream.

mod answer;
pub(crate) mod config;
mod credentials;
pub(crate) mod handler;
mod payload;
mod signature;
#[cfg(test)]
mod tests;
