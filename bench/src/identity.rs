//! A server certificate for `localhost`, and clients that trust it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;

/// A server certificate for `localhost` in files, and clients that trust it.
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// TLS 1.3 alone.
    client: ClientConfig,
}

impl Identity {
    pub(crate) fn make(directory: &Path) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        let (certificate, key) = (directory.join("server.crt"), directory.join("server.key"));
        std::fs::write(&certificate, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(made.cert.der().to_vec()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            certificate,
            key,
            client,
        })
    }

    /// A client that resumes sessions, or makes every handshake whole.
    pub(crate) fn client(&self, resumes: bool) -> Arc<ClientConfig> {
        let mut client = self.client.clone();
        client.resumption = if resumes {
            Resumption::in_memory_sessions(256)
        } else {
            Resumption::disabled()
        };
        Arc::new(client)
    }

    /// A client of HTTP/2.
    pub(crate) fn http2_client(&self) -> Arc<ClientConfig> {
        let mut client = self.client.clone();
        client.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(client)
    }
}
