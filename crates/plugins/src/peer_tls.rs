//! TLS towards servers that plugins ask.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

/// Whose certificates the node believes in: nobody's, unless it is told.
#[derive(Clone, Debug)]
pub(crate) struct Trust(Arc<RootCertStore>);

impl Default for Trust {
    fn default() -> Self {
        Self(Arc::new(RootCertStore::empty()))
    }
}

impl Trust {
    pub(crate) fn new(authorities: Arc<RootCertStore>) -> Self {
        Self(authorities)
    }

    /// How to speak TLS with a server: one that these authorities vouch for, or any.
    pub(crate) fn client(&self, verify: bool) -> Arc<ClientConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = verify.then(|| {
            let roots = Arc::clone(&self.0);
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()
        });
        let verifier: Arc<dyn ServerCertVerifier> = match verifier {
            Some(Ok(verifier)) => verifier,
            // Nothing can be verified against no authority, and nothing may pass unverified.
            Some(Err(_)) => Arc::new(Alike::refusing(Arc::clone(&provider))),
            None => Arc::new(Alike::believing(Arc::clone(&provider))),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Arc::new(config)
    }
}

/// Decides about all certificates alike; that the server has the certificate's key is always
/// checked.
#[derive(Debug)]
struct Alike {
    believes: bool,
    provider: Arc<CryptoProvider>,
}

impl Alike {
    fn believing(provider: Arc<CryptoProvider>) -> Self {
        Self {
            believes: true,
            provider,
        }
    }

    fn refusing(provider: Arc<CryptoProvider>) -> Self {
        Self {
            believes: false,
            provider,
        }
    }
}

impl ServerCertVerifier for Alike {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.believes {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer,
            )),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
