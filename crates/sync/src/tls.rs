//! Mutual TLS between control plane and data plane.

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore,
    SignatureScheme,
};

/// The name that a data plane asks for when all nodes share one certificate.
const SHARED_NAME: &str = "kong_clustering";

/// Whom a node believes at the other end (`cluster_mtls`).
#[derive(Clone, Debug)]
pub enum Trust {
    /// The holder of the same certificate.
    Shared,
    /// Holders of certificates that an authority issued.
    Authority {
        /// Certificates of the authority (`cluster_ca_cert`).
        ca_pem: String,
        /// The name in the certificate of the control plane (`cluster_server_name`); without it,
        /// the host of the address that is dialled.
        server_name: Option<String>,
    },
}

/// Certificates or keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The cluster certificate cannot be read.
    #[error("the cluster certificate cannot be read: expected PEM blocks `CERTIFICATE`")]
    Certificate,
    /// The key of the cluster certificate cannot be read.
    #[error("the cluster certificate key cannot be read: expected an unencrypted PEM private key")]
    Key,
    /// The certificate of the authority cannot be read.
    #[error("the cluster CA certificate cannot be used: {0}")]
    Authority(String),
    /// The server name is no name.
    #[error("`{0}` is not a server name")]
    ServerName(String),
    /// Certificate and key do not fit together, or are of a kind that is not supported.
    #[error("the cluster certificate and its key cannot be used: {0}")]
    Rustls(#[from] rustls::Error),
}

/// The certificate chain and key of this node.
struct Own {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Own {
    fn read(cert_pem: &str, key_pem: &str) -> Result<Self, TlsError> {
        Ok(Self {
            chain: certificates(cert_pem).ok_or(TlsError::Certificate)?,
            key: PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|_| TlsError::Key)?,
        })
    }

    fn certificate(&self) -> Result<CertificateDer<'static>, TlsError> {
        self.chain.first().cloned().ok_or(TlsError::Certificate)
    }
}

/// TLS of a control plane: a client without a good certificate gets no further than the handshake.
pub(crate) fn server(
    cert_pem: &str,
    key_pem: &str,
    trust: &Trust,
) -> Result<rustls::ServerConfig, TlsError> {
    let own = Own::read(cert_pem, key_pem)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ClientCertVerifier> = match trust {
        Trust::Shared => Arc::new(SharedCertificate::new(own.certificate()?, &provider)),
        Trust::Authority { ca_pem, .. } => {
            let roots = Arc::new(roots(ca_pem)?);
            WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
                .build()
                .map_err(|error| TlsError::Authority(error.to_string()))?
        }
    };
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(own.chain, own.key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Connections last for days: a full handshake each time costs nothing, and no session outlives
    // a certificate.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// TLS of a data plane, and the name that it asks for (none: the host that it dials).
pub(crate) fn client(
    cert_pem: &str,
    key_pem: &str,
    trust: &Trust,
) -> Result<(rustls::ClientConfig, Option<ServerName<'static>>), TlsError> {
    let own = Own::read(cert_pem, key_pem)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let (verifier, name): (Arc<dyn ServerCertVerifier>, _) = match trust {
        Trust::Shared => (
            Arc::new(SharedCertificate::new(own.certificate()?, &provider)),
            Some(SHARED_NAME),
        ),
        Trust::Authority {
            ca_pem,
            server_name,
        } => {
            let roots = Arc::new(roots(ca_pem)?);
            let verifier =
                WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                    .build()
                    .map_err(|error| TlsError::Authority(error.to_string()))?;
            (verifier, server_name.as_deref())
        }
    };
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(own.chain, own.key)?;
    config.resumption = Resumption::disabled();
    let name = name
        .map(|name| {
            ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(name.to_owned()))
        })
        .transpose()?;
    Ok((config, name))
}

fn certificates(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .ok()?;
    (!chain.is_empty()).then_some(chain)
}

fn roots(ca_pem: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let certificates = certificates(ca_pem)
        .ok_or_else(|| TlsError::Authority("expected PEM blocks `CERTIFICATE`".to_owned()))?;
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|error| TlsError::Authority(error.to_string()))?;
    }
    Ok(roots)
}

/// Believes the one certificate that all nodes of the cluster hold, and its key; names, dates and
/// extensions do not matter.
#[derive(Debug)]
struct SharedCertificate {
    certificate: CertificateDer<'static>,
    algorithms: rustls::crypto::WebPkiSupportedAlgorithms,
}

impl SharedCertificate {
    fn new(certificate: CertificateDer<'static>, provider: &CryptoProvider) -> Self {
        Self {
            certificate,
            algorithms: provider.signature_verification_algorithms,
        }
    }

    fn check(&self, theirs: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        if self.certificate.as_ref() == theirs.as_ref() {
            return Ok(());
        }
        Err(CertificateError::Other(OtherError(Arc::new(NotShared))).into())
    }
}

/// What is wrong with a connection, in words; and whether TLS says so.
pub(crate) fn explain(error: &io::Error) -> (String, bool) {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let text = match inner {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(reason)))) => {
            format!("invalid peer certificate: {reason}")
        }
        _ => error.to_string(),
    };
    (text, inner.is_some())
}

/// Whether the other end is gone, with or without the end that TLS asks for.
pub(crate) fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

/// A certificate that is not the one of this cluster.
#[derive(Debug, thiserror::Error)]
#[error("it is not the cluster certificate of this node")]
struct NotShared;

impl ClientCertVerifier for SharedCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        theirs: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(theirs)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for SharedCertificate {
    fn verify_server_cert(
        &self,
        theirs: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(theirs)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
