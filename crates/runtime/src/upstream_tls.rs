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
    let verifier = verifier(ask, &provider, node)?;
    Ok(TlsProfile {
        id: NEXT.fetch_add(1, Ordering::Relaxed),
        config: Arc::new(config(provider, verifier, client)?),
    })
}

fn verifier(
    ask: &Ask,
    provider: &Arc<CryptoProvider>,
    node: &Arc<RootCertStore>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let algorithms = provider.signature_verification_algorithms;
    if !ask.verify {
        return Ok(Arc::new(Trust(algorithms)));
    }
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
        return Ok(Arc::new(Refuse(algorithms)));
    }
    let depth = ask.depth.map(|most| Depth {
        most: usize::from(most),
        roots: Arc::clone(&roots),
        algorithms,
    });
    let inner = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map_err(|error| format!("no trust anchor can be used: {error}"))?;
    Ok(Arc::new(Verify { inner, depth }))
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
    depth: Option<Depth>,
}

/// How many certificates may stand between an upstream's own and that of an authority. Those that it sends
/// without need do not count.
#[derive(Debug)]
struct Depth {
    most: usize,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Depth {
    fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let within = |path: &webpki::VerifiedPath<'_>| {
            let between = path.intermediate_certificates().count();
            match between <= self.most {
                true => Ok(()),
                false => Err(webpki::Error::MaximumPathDepthExceeded),
            }
        };
        let refused = |error: webpki::Error| {
            rustls::Error::General(format!(
                "no chain with at most {} intermediates (tls_verify_depth) leads to an authority: {error}",
                self.most
            ))
        };
        webpki::EndEntityCert::try_from(end_entity)
            .map_err(refused)?
            .verify_for_usage(
                self.algorithms.all,
                &self.roots.roots,
                intermediates,
                now,
                webpki::KeyUsage::server_auth(),
                None,
                Some(&within),
            )
            .map_err(refused)?;
        Ok(())
    }
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
        let verified = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        if let Some(depth) = &self.depth {
            depth.check(end_entity, intermediates, now)?;
        }
        Ok(verified)
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

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority(name: &str, by: Option<&Authority>) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        match by {
            None => CertifiedIssuer::self_signed(params, key).unwrap(),
            Some(by) => CertifiedIssuer::signed_by(params, key, by).unwrap(),
        }
    }

    #[test]
    fn the_depth_counts_what_the_chain_needs_and_not_what_was_sent() {
        let root = authority("root", None);
        let first = authority("first", Some(&root));
        let second = authority("second", Some(&first));
        let spare = authority("spare", Some(&root));
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        let own = own.signed_by(&key, &second).unwrap();
        let sent = [&second, &spare, &first, &root].map(|one| one.der().clone());
        let verified = |depth| {
            let ask = Ask {
                verify: true,
                depth,
                authorities: vec![root.der().clone()],
                client: None,
            };
            let provider = Arc::new(aws_lc_rs::default_provider());
            let node = Arc::new(RootCertStore::empty());
            let verifier = verifier(&ask, &provider, &node).unwrap();
            let name = ServerName::try_from("a.test").unwrap();
            let now = UnixTime::now();
            verifier.verify_server_cert(own.der(), &sent, &name, &[], now)
        };
        for enough in [None, Some(2), Some(9)] {
            assert!(verified(enough).is_ok(), "{enough:?}");
        }
        for small in [0, 1] {
            let refused = verified(Some(small)).unwrap_err().to_string();
            assert!(refused.contains("tls_verify_depth"), "{refused}");
        }
    }
}
