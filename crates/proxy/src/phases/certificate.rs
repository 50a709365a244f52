//! `certificate`: which certificate answers a TLS connection. Runs once per connection, before
//! there is a request.

use std::fmt;
use std::sync::Arc;

use keelgate_runtime::Shared;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Answers with the certificates of the runtime that serves at the moment.
struct BySni(Arc<Shared>);

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let runtime = self.0.load();
        let schemes = hello.signature_schemes();
        Some(runtime.certificates().resolve(hello.server_name(), schemes))
    }
}

impl fmt::Debug for BySni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BySni")
    }
}

/// How TLS is spoken to clients.
///
/// # Errors
/// When the cryptography provider lacks the default protocol versions.
pub(crate) fn server_config(
    shared: Arc<Shared>,
    http2: bool,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(BySni(shared)));
    if http2 {
        config.alpn_protocols.push(b"h2".to_vec());
    }
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(Arc::new(config))
}

/// How TLS is spoken to clients of streams. What they speak inside is not asked.
///
/// # Errors
/// As [`server_config`].
pub(crate) fn stream_config(shared: Arc<Shared>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::clone(&*server_config(shared, false)?);
    config.alpn_protocols.clear();
    Ok(Arc::new(config))
}
