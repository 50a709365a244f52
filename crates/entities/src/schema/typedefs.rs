//! Fields that many schemas share.

use super::field::{Field, ITEM};

/// Every protocol of routes, services and plugins, sorted.
pub const PROTOCOLS: [&str; 8] = [
    "grpc",
    "grpcs",
    "http",
    "https",
    "tcp",
    "tls",
    "tls_passthrough",
    "udp",
];

/// A protocol.
pub fn protocol(name: &'static str) -> Field {
    Field::string(name).one_of(PROTOCOLS)
}

/// The protocols that a plugin runs for: by default those of HTTP.
pub fn protocols(name: &'static str) -> Field {
    Field::set(name, protocol(ITEM))
        .required()
        .default(vec!["grpc", "grpcs", "http", "https"])
}
