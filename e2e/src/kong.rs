//! Kong at the other end of the hybrid protocol (version 1), as little of it as speaks for it.
//!
//! - [`control_plane`]: sends unsigned tables and answers pings
//! - [`data_plane`]: tells what it can run, and shows the frames that it is sent
//! - [`hash`]: Kong's hash of a table

pub mod control_plane;
pub mod data_plane;
pub mod hash;

pub use control_plane::ControlPlane;
pub use data_plane::DataPlane;
pub use hash::hashes;

use std::path::Path;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The plugins of Kong 3.9.1 that a data plane lists.
pub const PLUGINS: &[&str] = &[
    "acl",
    "acme",
    "ai-prompt-decorator",
    "ai-prompt-guard",
    "ai-prompt-template",
    "ai-proxy",
    "ai-request-transformer",
    "ai-response-transformer",
    "aws-lambda",
    "azure-functions",
    "basic-auth",
    "bot-detection",
    "correlation-id",
    "cors",
    "datadog",
    "file-log",
    "grpc-gateway",
    "grpc-web",
    "hmac-auth",
    "http-log",
    "ip-restriction",
    "jwt",
    "key-auth",
    "ldap-auth",
    "loggly",
    "oauth2",
    "opentelemetry",
    "post-function",
    "pre-function",
    "prometheus",
    "proxy-cache",
    "rate-limiting",
    "request-size-limiting",
    "request-termination",
    "request-transformer",
    "response-ratelimiting",
    "response-transformer",
    "session",
    "standard-webhooks",
    "statsd",
    "syslog",
    "tcp-log",
    "udp-log",
    "zipkin",
];

/// The hash of a data plane that runs nothing.
pub const NO_HASH: &str = "00000000000000000000000000000000";

fn identity(
    certificate: &Path,
    key: &Path,
) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_file_iter(certificate)
        .expect("read the cluster certificate")
        .collect::<Result<_, _>>()
        .expect("the cluster certificate is PEM");
    let key = PrivateKeyDer::from_pem_file(key).expect("the cluster key is PEM");
    (chain, key)
}
