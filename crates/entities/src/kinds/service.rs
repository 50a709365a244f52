//! Services: the upstream applications that routes lead to.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Protocol;
use crate::Reference;

/// An upstream application.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Service {
    /// Identity.
    pub id: Uuid,
    /// Unique name, if any.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether the service answers; routes of a disabled service do not match.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How to speak to the upstream.
    pub protocol: Protocol,
    /// Host name, address, or the name of an upstream entity.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Prefix of the path sent upstream, with a leading slash.
    #[serde(default)]
    pub path: Option<String>,
    /// How many further attempts follow a failed one.
    #[serde(default = "five")]
    pub retries: u32,
    /// Milliseconds to establish a connection.
    #[serde(default = "minute")]
    pub connect_timeout: u64,
    /// Milliseconds between two successful writes.
    #[serde(default = "minute")]
    pub write_timeout: u64,
    /// Milliseconds between two successful reads.
    #[serde(default = "minute")]
    pub read_timeout: u64,
    /// Certificate presented to the upstream.
    #[serde(default)]
    pub client_certificate: Option<Reference>,
    /// Whether the upstream's certificate is verified; unset means the node's default.
    #[serde(default)]
    pub tls_verify: Option<bool>,
    /// Longest accepted chain of the upstream's certificate.
    #[serde(default)]
    pub tls_verify_depth: Option<u8>,
    /// Ids of the authorities that the upstream's certificate is verified against.
    #[serde(default)]
    pub ca_certificates: Option<Vec<Uuid>>,
    /// Labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}

fn yes() -> bool {
    true
}

fn five() -> u32 {
    5
}

fn minute() -> u64 {
    60_000
}
