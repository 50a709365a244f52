//! `grpc-gateway`: lets clients of plain HTTP and JSON call services of gRPC.

mod binding;
pub(crate) mod config;
pub(crate) mod handler;
mod payload;
mod template;

#[cfg(test)]
mod tests;
