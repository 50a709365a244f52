//! Certificates of the listeners, and whom the proxy trusts.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keelgate_proxy::Resumption;
use keelgate_settings::{AuthorityBundle, Certificate, PrivateKey, Settings, TlsVersion};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};

use super::client_certificates;
use super::served::Lasting;

/// The certificate of a listener: the first that is set, else one that the node makes and keeps
/// under its prefix.
pub(crate) fn listener(
    prefix: &Path,
    name: &str,
    certificates: &[Certificate],
    keys: &[PrivateKey],
) -> anyhow::Result<Arc<CertifiedKey>> {
    if let (Some(certificate), Some(key)) = (certificates.first(), keys.first()) {
        return certified(certificate.pem.as_bytes(), key.pem.expose().as_bytes())
            .with_context(|| format!("the certificate of the {name} listener cannot be used"));
    }
    let (certificate, key) = made(prefix, name)?;
    certified(&certificate, &key).with_context(|| {
        format!(
            "the {name} certificate that this node made under {} cannot be used; remove it",
            prefix.display()
        )
    })
}

/// A certificate with its key, as TLS uses it.
pub(crate) fn certified(certificate: &[u8], key: &[u8]) -> anyhow::Result<Arc<CertifiedKey>> {
    let chain = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<Vec<_>, _>>()
        .context("the certificate is not PEM")?;
    ensure!(!chain.is_empty(), "there is no certificate in the PEM text");
    let key = PrivateKeyDer::from_pem_slice(key).context("the key is not PEM")?;
    let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .context("certificate and key do not fit")?;
    Ok(Arc::new(certified))
}

/// Reads the self-signed certificate that an earlier start has made, or makes it.
fn made(prefix: &Path, name: &str) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let directory = prefix.join("ssl");
    let (cert_path, key_path) = (
        directory.join(format!("{name}-default.crt")),
        directory.join(format!("{name}-default.key")),
    );
    if let (Ok(certificate), Ok(key)) = (fs::read(&cert_path), fs::read(&key_path)) {
        return Ok((certificate, key));
    }
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])
        .context("cannot make a self-signed certificate")?;
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    fs::write(&cert_path, &certificate)
        .with_context(|| format!("cannot write {}", cert_path.display()))?;
    fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&key_path)
        .and_then(|mut file| file.write_all(key.as_bytes()))
        .with_context(|| format!("cannot write {}", key_path.display()))?;
    Ok((certificate.into_bytes(), key.into_bytes()))
}

/// The authorities of `lua_ssl_trusted_certificate`.
pub(crate) fn trusted(settings: &Settings) -> anyhow::Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for bundle in &settings.tls.lua_ssl_trusted_certificate {
        match bundle {
            AuthorityBundle::System => {
                let found = rustls_native_certs::load_native_certs();
                for error in &found.errors {
                    tracing::warn!("a trusted certificate of this system cannot be read: {error}");
                }
                roots.add_parsable_certificates(found.certs);
            }
            AuthorityBundle::Certificates(bundle) => {
                for certificate in CertificateDer::pem_slice_iter(bundle.pem.as_bytes()) {
                    let certificate =
                        certificate.context("lua_ssl_trusted_certificate is not PEM")?;
                    roots.add(certificate).context(
                        "lua_ssl_trusted_certificate holds a certificate that cannot be used",
                    )?;
                }
            }
        }
    }
    Ok(Arc::new(roots))
}

/// The authorities of `lua_ssl_trusted_certificate` but those of the system, in PEM.
pub(crate) fn trusted_bundles(settings: &Settings) -> impl Iterator<Item = &str> {
    let bundles = &settings.tls.lua_ssl_trusted_certificate;
    bundles.iter().filter_map(|bundle| match bundle {
        AuthorityBundle::System => None,
        AuthorityBundle::Certificates(certificates) => Some(certificates.pem.as_str()),
    })
}

/// All authorities of `lua_ssl_trusted_certificate`, in PEM. Those of the system that cannot be
/// used are left out.
pub(crate) fn trusted_pem(settings: &Settings) -> String {
    let mut pem = String::new();
    let bundles = &settings.tls.lua_ssl_trusted_certificate;
    if bundles.contains(&AuthorityBundle::System) {
        for certificate in rustls_native_certs::load_native_certs().certs {
            if RootCertStore::empty().add(certificate.clone()).is_ok() {
                pem.push_str(BEGIN);
                pem.push_str(&STANDARD.encode(&certificate));
                pem.push_str(END);
            }
        }
    }
    for bundle in trusted_bundles(settings) {
        pem.push_str(bundle);
        pem.push('\n');
    }
    pem
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----\n";
const END: &str = "\n-----END CERTIFICATE-----\n";

/// TLS of an API listener with one certificate. With `clients`, clients must show a certificate of
/// one of these authorities.
pub(crate) fn server(
    settings: &Settings,
    certificate: Arc<CertifiedKey>,
    clients: Option<&Certificate>,
) -> anyhow::Result<Arc<ServerConfig>> {
    #[derive(Debug)]
    struct One(Arc<CertifiedKey>);
    impl ResolvesServerCert for One {
        fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = ciphers(settings);
    let provider = Arc::new(provider);
    let verifier = match clients {
        Some(authorities) => client_verifier(authorities, Arc::clone(&provider))?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(settings))
        .context("ssl_protocols names no version that can be spoken")?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(One(certificate)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn client_verifier(
    authorities: &Certificate,
    provider: Arc<CryptoProvider>,
) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities.pem.as_bytes()) {
        let certificate = certificate.context("admin_ssl_client_ca is not PEM")?;
        roots
            .add(certificate)
            .context("admin_ssl_client_ca holds a certificate that cannot be used")?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .context("admin_ssl_client_ca cannot be used")
}

/// TLS of the proxy's listeners.
pub(crate) fn proxy(settings: &Settings, lasting: &Lasting) -> anyhow::Result<keelgate_proxy::Tls> {
    /// Memory that one remembered session takes, roughly.
    const SESSION: u64 = 250;
    let tls = &settings.tls;
    let certificates = tls
        .ssl_cert
        .iter()
        .zip(&tls.ssl_cert_key)
        .map(|(certificate, key)| {
            certified(certificate.pem.as_bytes(), key.pem.expose().as_bytes()).context("ssl_cert")
        });
    let timeout = tls.ssl_session_timeout.0;
    let remembered = match timeout.is_zero() {
        true => 0,
        false => usize::try_from(tls.ssl_session_cache_size.0 / SESSION).unwrap_or(usize::MAX),
    };
    Ok(keelgate_proxy::Tls {
        versions: versions(settings),
        ciphers: ciphers(settings),
        own_order: tls.ciphers().1,
        resumption: match tls.ssl_session_tickets.0 && !timeout.is_zero() {
            true => Resumption::Tickets(lasting.ticketer(timeout)?),
            false => Resumption::Memory(remembered),
        },
        client_verifier: client_certificates::verifier(tls)?,
        certificates: certificates.collect::<anyhow::Result<_>>()?,
    })
}

/// The cipher suites of the settings, as rustls names them: those of TLS 1.2 that were chosen, and
/// all of TLS 1.3.
fn ciphers(settings: &Settings) -> Vec<SupportedCipherSuite> {
    use aws_lc_rs::cipher_suite as suite;
    let spoken = settings.tls.ciphers().0.spoken;
    let chosen = spoken.iter().filter_map(|cipher| match cipher.name {
        "ECDHE-ECDSA-AES256-GCM-SHA384" => Some(suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
        "ECDHE-ECDSA-AES128-GCM-SHA256" => Some(suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        "ECDHE-ECDSA-CHACHA20-POLY1305" => {
            Some(suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256)
        }
        "ECDHE-RSA-AES256-GCM-SHA384" => Some(suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
        "ECDHE-RSA-AES128-GCM-SHA256" => Some(suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
        "ECDHE-RSA-CHACHA20-POLY1305" => Some(suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
        _ => None,
    });
    let all = aws_lc_rs::default_provider().cipher_suites;
    let newest = all.into_iter().filter(|suite| suite.tls13().is_some());
    newest.chain(chosen).collect()
}

/// The TLS versions of the settings, as rustls names them.
pub(crate) fn versions(settings: &Settings) -> Vec<&'static SupportedProtocolVersion> {
    let versions = settings.tls.versions();
    versions
        .into_iter()
        .filter_map(|version| match version {
            TlsVersion::V1_2 => Some(&rustls::version::TLS12),
            TlsVersion::V1_3 => Some(&rustls::version::TLS13),
            _ => None,
        })
        .collect()
}
