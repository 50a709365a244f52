//! `grpc-web`: lets browsers call services of gRPC.

pub(crate) mod config;
mod form;
pub(crate) mod handler;

#[cfg(test)]
mod tests;
