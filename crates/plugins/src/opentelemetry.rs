//! `opentelemetry`: passes traces on, and sends spans and records of requests to an OpenTelemetry
//! collector (OTLP over HTTP).

pub(crate) mod config;
pub(crate) mod handler;
mod otlp;
mod protobuf;
mod span;

#[cfg(test)]
mod tests;
