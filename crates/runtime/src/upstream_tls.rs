//! How TLS is spoken to upstreams.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxHashMap;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use uuid::Uuid;

/// A way of speaking TLS to upstreams. Connections made with one profile serve requests of the
/// same profile only, so that an unverified connection is never reused where verification is asked.
pub struct TlsProfile {
    /// Unique in this process.
    pub id: u64,
    /// For rustls.
    pub config: Arc<ClientConfig>,
}

impl fmt::Debug for TlsProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsProfile")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What tells profiles apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ask {
    pub(crate) verify: bool,
    pub(crate) depth: Option<u8>,
    /// Authorities of the service itself; empty means those of the node.
    pub(crate) authorities: Vec<CertificateDer<'static>>,
    /// The certificate shown to the upstream, by id and content.
    pub(crate) client: Option<(Uuid, Vec<CertificateDer<'static>>)>,
}

/// Profiles of one snapshot; those that the one before had are kept, with their TLS sessions.
#[derive(Debug, Default)]
pub(crate) struct Profiles(FxHashMap<Ask, Arc<TlsProfile>>);

impl Profiles {
    pub(crate) fn get(
        &mut self,
        ask: Ask,
        client: Option<Arc<CertifiedKey>>,
        node: &Arc<RootCertStore>,
        previous: Option<&Self>,
    ) -> Result<Arc<TlsProfile>, String> {
        if let Some(known) = self.0.get(&ask) {
            return Ok(Arc::clone(known));
        }
        let profile = match previous.and_then(|previous| previous.0.get(&ask)) {
            Some(known) => Arc::clone(known),
            None => Arc::new(build(&ask, client, node)?),
        };
        self.0.insert(ask, Arc::clone(&profile));
        Ok(profile)
    }
}

fn build(
    ask: &Ask,
    client: Option<Arc<CertifiedKey>>,
    node: &Arc<RootCertStore>,
) -> Result<TlsProfile, String> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = if ask.verify {
        let roots = if ask.authorities.is_empty() {
            Arc::clone(node)
        } else {
            let mut roots = RootCertStore::empty();
            for authority in &ask.authorities {
                roots
                    .add(authority.clone())
                    .map_err(|error| format!("a CA certificate cannot be used: {error}"))?;
            }
            Arc::new(roots)
        };
        if roots.is_empty() {
            // Nothing can be verified, and nothing may pass unverified.
            Arc::new(Refuse(provider.signature_verification_algorithms))
        } else {
            let inner = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                .build()
                .map_err(|error| format!("no trust anchor can be used: {error}"))?;
            Arc::new(Verify {
                inner,
                depth: ask.depth,
            })
        }
    } else {
        Arc::new(Trust(provider.signature_verification_algorithms))
    };
    Ok(TlsProfile {
        id: NEXT.fetch_add(1, Ordering::Relaxed),
        config: Arc::new(config(provider, verifier, client)?),
    })
}

fn config(
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
    client: Option<Arc<CertifiedKey>>,
) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(match client {
        Some(key) => {
            let key = CertifiedKey::clone(&key);
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
        }
        None => builder.with_no_client_auth(),
    })
}

/// Verifies the chain, the name and, where asked, how long the chain is.
#[derive(Debug)]
struct Verify {
    inner: Arc<WebPkiServerVerifier>,
    depth: Option<u8>,
}

impl ServerCertVerifier for Verify {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self
            .depth
            .is_some_and(|depth| intermediates.len() > usize::from(depth))
        {
            return Err(rustls::Error::General(format!(
                "the certificate chain has {} intermediates, more than tls_verify_depth allows",
                intermediates.len()
            )));
        }
        self.inner
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// A verifier that decides about every certificate alike; the handshake's signatures are checked.
macro_rules! constant_verifier {
    ($(#[$doc:meta])* $name:ident, $decision:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        struct $name(WebPkiSupportedAlgorithms);

        impl ServerCertVerifier for $name {
            fn verify_server_cert(
                &self,
                _end_entity: &CertificateDer<'_>,
                _intermediates: &[CertificateDer<'_>],
                _server_name: &ServerName<'_>,
                _ocsp_response: &[u8],
                _now: UnixTime,
            ) -> Result<ServerCertVerified, rustls::Error> {
                $decision
            }

            fn verify_tls12_signature(
                &self,
                message: &[u8],
                cert: &CertificateDer<'_>,
                dss: &DigitallySignedStruct,
            ) -> Result<HandshakeSignatureValid, rustls::Error> {
                rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0)
            }

            fn verify_tls13_signature(
                &self,
                message: &[u8],
                cert: &CertificateDer<'_>,
                dss: &DigitallySignedStruct,
            ) -> Result<HandshakeSignatureValid, rustls::Error> {
                rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0)
            }

            fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
                self.0.supported_schemes()
            }
        }
    };
}

constant_verifier!(
    /// Takes any certificate (`tls_verify` is off).
    Trust,
    Ok(ServerCertVerified::assertion())
);
constant_verifier!(
    /// Takes no certificate: verification is on and there is nothing to verify against.
    Refuse,
    Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
);
