//! Upstreams: virtual host names that balance over targets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Reference;

/// How a target is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// Weighted turns.
    #[default]
    RoundRobin,
    /// By a hash of a request attribute.
    ConsistentHashing,
    /// The fewest open requests per weight.
    LeastConnections,
    /// The lowest moving average of latencies.
    Latency,
}

/// The request attribute that is hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HashOn {
    /// Nothing.
    #[default]
    None,
    /// The consumer or credential.
    Consumer,
    /// The client address.
    Ip,
    /// A header.
    Header,
    /// A cookie, made when absent.
    Cookie,
    /// The request path.
    Path,
    /// A query argument.
    QueryArg,
    /// A capture of the route's path.
    UriCapture,
}

/// A virtual host name that balances over targets.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upstream {
    /// Identity.
    pub id: Uuid,
    /// The host name that services use.
    pub name: String,
    /// How a target is chosen.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// What is hashed.
    #[serde(default)]
    pub hash_on: HashOn,
    /// What is hashed when the first is absent.
    #[serde(default)]
    pub hash_fallback: HashOn,
    /// Header for [`HashOn::Header`].
    #[serde(default)]
    pub hash_on_header: Option<String>,
    /// Header for the fallback.
    #[serde(default)]
    pub hash_fallback_header: Option<String>,
    /// Cookie for [`HashOn::Cookie`].
    #[serde(default)]
    pub hash_on_cookie: Option<String>,
    /// Path of the cookie.
    #[serde(default)]
    pub hash_on_cookie_path: Option<String>,
    /// Argument for [`HashOn::QueryArg`].
    #[serde(default)]
    pub hash_on_query_arg: Option<String>,
    /// Argument for the fallback.
    #[serde(default)]
    pub hash_fallback_query_arg: Option<String>,
    /// Capture for [`HashOn::UriCapture`].
    #[serde(default)]
    pub hash_on_uri_capture: Option<String>,
    /// Capture for the fallback.
    #[serde(default)]
    pub hash_fallback_uri_capture: Option<String>,
    /// Slots of the hash ring, 10 to 65536.
    #[serde(default = "ten_thousand")]
    pub slots: u32,
    /// `Host` sent upstream instead of the target's.
    #[serde(default)]
    pub host_header: Option<String>,
    /// Certificate presented to targets.
    #[serde(default)]
    pub client_certificate: Option<Reference>,
    /// Whether SRV names are used.
    #[serde(default)]
    pub use_srv_name: bool,
    /// Active and passive checks.
    #[serde(default)]
    pub healthchecks: HealthChecks,
    /// Labels.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
}

/// Active and passive health checks of an upstream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthChecks {
    /// Least percentage of available weight below which the whole upstream is unhealthy.
    pub threshold: f64,
    /// Probes.
    pub active: ActiveChecks,
    /// Conclusions from proxied traffic.
    pub passive: PassiveChecks,
}

/// Probes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ActiveChecks {
    /// `http`, `https`, `tcp`, `grpc` or `grpcs`.
    pub r#type: Option<String>,
    /// Seconds per probe.
    pub timeout: f64,
    /// Probes at once.
    pub concurrency: u32,
    /// Path of HTTP probes.
    pub http_path: Option<String>,
    /// SNI of HTTPS probes.
    pub https_sni: Option<String>,
    /// Whether HTTPS probes verify the certificate.
    pub https_verify_certificate: Option<bool>,
    /// Headers of HTTP probes.
    pub headers: Option<BTreeMap<String, Vec<String>>>,
    /// When a target counts as healthy.
    pub healthy: Thresholds,
    /// When a target counts as unhealthy.
    pub unhealthy: Thresholds,
}

/// Conclusions from proxied traffic.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PassiveChecks {
    /// `http`, `https`, `tcp`, `grpc` or `grpcs`.
    pub r#type: Option<String>,
    /// When a target counts as healthy.
    pub healthy: Thresholds,
    /// When a target counts as unhealthy.
    pub unhealthy: Thresholds,
}

/// Counts that change a target's health; 0 switches one off.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Thresholds {
    /// Seconds between probes (active checks).
    pub interval: f64,
    /// Statuses that count.
    pub http_statuses: Vec<u16>,
    /// Successes in a row.
    pub successes: u32,
    /// TCP failures in a row.
    pub tcp_failures: u32,
    /// Time-outs in a row.
    pub timeouts: u32,
    /// HTTP failures in a row.
    pub http_failures: u32,
}

fn ten_thousand() -> u32 {
    10_000
}
